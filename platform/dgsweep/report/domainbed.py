"""A sweep as folders that DomainBed's `collect_results` reads."""

import json

from dgsweep.analysis.domainbed import domainbed_records
from dgsweep.report.evidence import read_evidence
from dgsweep.storage.files import write_bytes
from dgsweep.storage.place import AnyPath, place


def write_domainbed(output: AnyPath, folder: AnyPath) -> int:
    """Write `<folder>/<trial id>/results.jsonl` and `done` for each finished trial; how many there are.

    Raises:
        InputError: there is no sweep under `output`.
    """
    evidence = read_evidence(place(output))
    records = domainbed_records(evidence.plan, evidence.cases)
    for trial_id, record in records.items():
        line = json.dumps(record, sort_keys=True, default=str) + "\n"
        write_bytes(folder / trial_id / "results.jsonl", line.encode())
        write_bytes(folder / trial_id / "done", b"done")
    return len(records)
