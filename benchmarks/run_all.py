"""`make bench`: every benchmark in one run, one table, and the same as JSON in runs/bench.json."""

import importlib
import json
import platform
import sys
from pathlib import Path
from typing import Any

BENCHMARKS = ("metrics", "embeddings", "patches", "training_step", "trial_overhead")
OUT = Path("runs/bench.json")


def flat(name: str, value: Any) -> list[tuple[str, Any]]:
    """Nested results as dotted names."""
    if isinstance(value, dict):
        return [pair for key, inner in value.items() for pair in flat(f"{name}.{key}", inner)]
    return [(name, value)]


def main() -> None:
    """Run all, print, write."""
    sys.path.insert(0, str(Path(__file__).parent))
    results: dict[str, Any] = {
        "machine": {"processor": platform.processor() or platform.machine(), "python": platform.python_version()}
    }
    for name in BENCHMARKS:
        print(f"running {name} ...", file=sys.stderr)
        results[name] = importlib.import_module(name).run()
        for key, value in flat(name, results[name]):
            print(f"{key:70s} {value:.3g}" if isinstance(value, float) else f"{key:70s} {value}")
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(results, indent=2, default=str))
    print(f"written: {OUT}")


if __name__ == "__main__":
    main()
