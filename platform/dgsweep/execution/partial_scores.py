"""Scores of a trial that is still scoring, one line a case, so that a kill repeats one case and not hundreds."""

import json
from pathlib import Path
from typing import Any

from dgsweep.plan.trial import TrialSpec, content_id
from dgsweep.storage.files import names, read_bytes, remove_file, write_bytes
from dgsweep.storage.place import AnyPath


class PartialScores:
    """Append-only rows of one worker; a line is believed only if it is whole and its fingerprint is still wanted."""

    def __init__(self, folder: AnyPath, spec: TrialSpec, rank: int) -> None:
        self._spec = spec
        self._folder, self._rank = folder, rank
        self._rows: dict[str, list[dict[str, Any]]] = {}
        for path in _kept(folder):
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
        line = json.dumps({"case_id": case_id, "sha": self._spec.score_shas[case_id], "rows": rows}) + "\n"
        if not isinstance(self._folder, Path):  # nothing can be appended to an object
            write_bytes(self._folder / f"scores-{self._rank}-{content_id([case_id])}.jsonl", line.encode())
            return
        with (self._folder / f"scores-{self._rank}.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(line)

    @staticmethod
    def clear(folder: AnyPath) -> None:
        """Remove all, because the trial is done."""
        for path in _kept(folder):
            remove_file(path)

    def _read(self, path: AnyPath) -> None:
        for line in read_bytes(path).decode(errors="replace").splitlines():
            try:
                entry = json.loads(line)
            except ValueError:  # the last line of a killed worker
                continue
            if self._spec.score_shas.get(entry["case_id"]) == entry["sha"]:
                self._rows[entry["case_id"]] = entry["rows"]


def _kept(folder: AnyPath) -> list[AnyPath]:
    """Files of scores in a folder."""
    return [folder / name for name in names(folder) if name.startswith("scores-") and name.endswith(".jsonl")]
