"""Take the README's picture from the report of `make demo`. Needs Chromium; `make picture` runs it."""

import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
REPORT = ROOT / "runs" / "demo" / "sweep" / "report" / "report.html"
PICTURE = Path(__file__).with_name("matrix.png")
ONLY_THE_MATRIX = """<style>
header, section:not(#matrix), h2, section > p, details { display: none !important }
main { padding: 0 .8rem; margin: 0 } section { border: 0 !important; margin: 0 !important; padding: 0 !important }
</style></head>"""
SIZE_PX = (970, 300)


def main() -> None:
    """Write `matrix.png`: the source x target matrices alone, at twice the screen's resolution."""
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "matrix.html"
        page.write_text(REPORT.read_text(encoding="utf-8").replace("</head>", ONLY_THE_MATRIX, 1), encoding="utf-8")
        command = [
            "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
            "--force-device-scale-factor=2", f"--user-data-dir={folder}/profile", f"--screenshot={PICTURE}",
            f"--window-size={SIZE_PX[0]},{SIZE_PX[1]}", page.as_uri(),
        ]  # fmt: skip
        subprocess.run(command, check=True, timeout=120, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
