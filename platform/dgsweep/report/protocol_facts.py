"""What this sweep measured, in the aspects in which papers differ."""

from collections.abc import Iterator

from dgsweep.analysis.reference import Paper
from dgsweep.report.evidence import Evidence
from dgsweep.report.texts import count, listed
from dgsweep.report.totals import budget

_SCORED = {"test": "test patients", "all": "every patient who takes no part in training"}


def our_protocol(evidence: Evidence) -> dict[str, str]:
    """Aspect -> what this sweep did; the aspects of `analysis.reference.Paper.protocol`."""
    cases = evidence.cases
    scored = cases[cases["role"].isin(["in_domain", "target"])]
    protocol = evidence.plan.config.get("protocol") or {}
    folds = int(protocol.get("folds") or 1)
    centers = sorted(set(scored["center"]))
    patients, scans = scored["patient_id"].nunique(), scored["case_id"].nunique()
    nothing = "nothing is scored yet"
    return {
        "organ": ", ".join(_structures(evidence)),
        "sequence": ", ".join(sorted(set(scored["sequence"]))) or nothing,
        "centers": f"{len(centers)}: {listed(centers, 12)}" if centers else nothing,
        "metrics": "Dice from 0 to 1, mean over cases with an interval over patients; HD95 (the larger of the two "
        "95th percentiles) and ASSD in mm, in the scan's own grid",
        "splits": f"{protocol.get('kind', 'cross_sequence')}, {count(folds, 'fold')}; patients never on two sides; "
        f"targets scored on {_SCORED[protocol.get('target_cases', 'test')]}",
        "budget": budget(evidence.plan)[1],
        "tested": f"{count(patients, 'patient')}, {count(scans, 'case')}; a missed structure counts as Dice 0 and the "
        "image's diagonal",
    }


def warnings(paper: Paper, evidence: Evidence) -> Iterator[str]:
    """Differences that forbid to set the numbers beside each other at all."""
    organs = _structures(evidence)
    if organs and not any(paper.protocol["organ"] in name.lower() for name in organs):
        yield f"This sweep segments {', '.join(organs)}, the paper the {paper.protocol['organ']}: another question."
    theirs = paper.protocol["sequence"].lower()
    foreign = sorted(name for name in set(evidence.cases["sequence"]) if str(name).lower() not in theirs)
    if foreign:
        yield f"The paper names no sequence {listed(foreign)}: rows of it have no counterpart there."


def _structures(evidence: Evidence) -> list[str]:
    return sorted({name for spec in evidence.plan.trials for name in spec.preprocessing.labels})
