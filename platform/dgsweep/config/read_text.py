"""Read a small text file that a person wrote, with an answer instead of a traceback."""

from pathlib import Path

from dgsweep.config.yaml_text import MAX_TEXT_BYTES
from dgsweep.errors import Problems


def read_text(path: Path, problems: Problems) -> str | None:
    """UTF-8 text of `path`; None, with a problem noted, when it cannot be read."""
    try:
        if path.stat().st_size > MAX_TEXT_BYTES:
            problems.add(str(path), f"is larger than {MAX_TEXT_BYTES} bytes", "name a YAML file")
            return None
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        problems.add(str(path), "does not exist", "check the path")
    except UnicodeDecodeError:
        problems.add(str(path), "is not UTF-8 text", "name a YAML file, saved as UTF-8")
    except OSError as error:
        problems.add(str(path), f"cannot be read: {error.strerror}", "check the path and its permissions")
    return None
