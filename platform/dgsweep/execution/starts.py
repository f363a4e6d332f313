"""Before the first trial: do the weights of earlier trials fit the networks that are to start from them?"""

from collections.abc import Sequence

import torch

from dgsweep.errors import CaseError, PlanError, Problems, TrialFailedError
from dgsweep.plan.trial import TrialSpec, content_id
from dgsweep.storage.place import place
from dgsweep.training.assemble import build_context
from dgsweep.training.checkpoint import load_checkpoint
from dgsweep.training.runtime import Runtime


def require_fitting_starts(specs: Sequence[TrialSpec]) -> None:
    """Give each kind of network its weights once, on the CPU.

    Raises:
        PlanError: with every trial whose weights do not fit, and the names that do and do not.
    """
    problems, seen = Problems(), set[str]()
    for spec in (spec for spec in specs if spec.given):
        key = content_id([dict(spec.given), spec.method, spec.network, dict(spec.network_options)])
        if key in seen:
            continue
        seen.add(key)
        try:
            _try(spec)
        except (TrialFailedError, CaseError) as error:
            problems.add(f"{spec.method} on {spec.network}, init_from.trial", str(error))
    problems.raise_if_any(PlanError, "the sweep cannot start from the trials that it names")


def _try(spec: TrialSpec) -> None:
    cpu = torch.device("cpu")
    saved = load_checkpoint(place(spec.given["checkpoint"]), cpu)
    if saved is None:
        raise TrialFailedError(f"{spec.given['checkpoint']} is no longer there", kind="dependency")
    build_context(spec, Runtime(device=cpu), saved["context"]["network"])
