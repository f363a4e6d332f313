"""Scores of a trial that is still scoring, one line a case, so that a kill repeats one case and not hundreds."""

import json
from pathlib import Path
from typing import Any

from dgsweep.plan.trial import TrialSpec


class PartialScores:
    """Append-only rows of one worker; a line is believed only if it is whole and its fingerprint is still wanted."""

    def __init__(self, folder: Path, spec: TrialSpec, rank: int) -> None:
        self._spec = spec
        self._path = folder / f"scores-{rank}.jsonl"
        self._rows: dict[str, list[dict[str, Any]]] = {}
        for path in sorted(folder.glob("scores-*.jsonl")):
            self._read(path)

    def has(self, case_id: str) -> bool:
        """Whether the case was scored."""
        return case_id in self._rows

    def rows(self, case_id: str) -> list[dict[str, Any]]:
        """Rows of one case; [] when it was not scored."""
        return self._rows.get(case_id, [])

    def add(self, case_id: str, rows: list[dict[str, Any]]) -> None:
        """Append the rows of one case."""
        self._rows[case_id] = rows
        line = json.dumps({"case_id": case_id, "sha": self._spec.score_shas[case_id], "rows": rows})
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(line + "\n")

    @staticmethod
    def clear(folder: Path) -> None:
        """Remove all, because the trial is done."""
        for path in folder.glob("scores-*.jsonl"):
            path.unlink()

    def _read(self, path: Path) -> None:
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                entry = json.loads(line)
            except ValueError:  # the last line of a killed worker
                continue
            if self._spec.score_shas.get(entry["case_id"]) == entry["sha"]:
                self._rows[entry["case_id"]] = entry["rows"]
