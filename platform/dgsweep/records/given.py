"""Reading a finished trial of any sweep, to start another training from it."""

from collections.abc import Iterator

from dgsweep.errors import InputError, Problems
from dgsweep.plan.given import GivenTrial
from dgsweep.plan.trial import TrialSpec
from dgsweep.records.atomic import RecordError, file_sha256
from dgsweep.records.ledger import Ledger
from dgsweep.storage.files import exists
from dgsweep.storage.place import AnyPath, place

ADVICE = "give the folder of a finished trial: <output>/trials/<trial id>"


def read_given(folder: AnyPath, where: str, problems: Problems) -> GivenTrial | None:
    """The trial in a folder; None where there is no finished one, and `problems` says why, at `where`."""
    try:
        spec = Ledger(folder.parent.parent).spec(folder.name)
    except (RecordError, InputError, TypeError, KeyError, ValueError) as error:
        problems.add(where, f"{folder}: its spec.json cannot be read ({error})", ADVICE)
        return None
    if spec is None:
        problems.add(where, f"{folder}: no spec.json there", ADVICE)
        return None
    return _with_weights(folder, spec, where, problems)


def _with_weights(folder: AnyPath, spec: TrialSpec, where: str, problems: Problems) -> GivenTrial | None:
    weights = Ledger(folder.parent.parent).paths(folder.name).final_weights
    if not exists(weights):
        problems.add(
            where, f"{folder}: no {weights.parent.name}/{weights.name}, so it has not finished training", ADVICE
        )
        return None
    ancestors = tuple(_ancestors(folder, spec))
    return GivenTrial(spec=spec, checkpoint=str(weights.absolute()), sha256=file_sha256(weights), ancestors=ancestors)


def _ancestors(folder: AnyPath, spec: TrialSpec) -> Iterator[TrialSpec]:
    """What a trial started from, and what that started from; what is no longer there is left out."""
    folders = [folder.parent / name for name in spec.depends_on]
    folders += [place(spec.given["checkpoint"]).parent.parent] if spec.given else []
    for earlier in folders:
        found = Ledger(earlier.parent.parent).spec(earlier.name)
        if found is not None:
            yield found
            yield from _ancestors(earlier, found)
