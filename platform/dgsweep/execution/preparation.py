"""What the driver prepares before the first trial: jobs, the list of scans for reports, and room on the disk."""

from collections.abc import Mapping, Sequence

from dgsweep.analysis.observers import read_twice
from dgsweep.config.schema import SweepConfig
from dgsweep.config.umask import current_umask
from dgsweep.data.cache import forecast_bytes, require_space
from dgsweep.data.manifest import Case, Manifest
from dgsweep.errors import PlanError, Problem
from dgsweep.execution.job import TrialJob
from dgsweep.execution.resources import TrialResources
from dgsweep.plan.trial import TrialSpec, content_id
from dgsweep.records.atomic import write_json
from dgsweep.storage.place import AnyPath, is_remote, place

CASES_FILE = "cases.json"


def cache_folder(config: SweepConfig) -> AnyPath | None:
    """Where the preprocess cache lies: `data.cache`, else inside the output.

    None when the output lies in an object store: then each node has its own, in its scratch folder.
    """
    if config.data.cache:
        return place(config.data.cache).absolute()
    output = place(config.output)
    return None if is_remote(output) else output.absolute() / "cache"


def write_case_list(manifest: Manifest, output: AnyPath) -> None:
    """Write `cases.json`, {case_id: {image, label, label_values}}, so that reports find the scans and read the labels.

    Paths are absolute; `label_values` is {structure: value in this case's label file}, which differs between domains.
    A case that was read twice has `second_labels`, {observer: who, where, label, key by content}, too.
    """
    twice = _second_labels(manifest)
    listed = {
        case.info.case_id: {
            "image": str(case.image.absolute()),
            "label": None if case.label is None else str(case.label.absolute()),
            "label_values": dict(case.label_values),
            **({"second_labels": twice[case.info.case_id]} if case.info.case_id in twice else {}),
        }
        for case in manifest.cases
    }
    write_json(output / CASES_FILE, listed)


def _second_labels(manifest: Manifest) -> dict[str, dict[str, dict[str, str]]]:
    found: dict[str, dict[str, dict[str, str]]] = {}
    for pair in read_twice(manifest):
        found.setdefault(pair.case_id, {})[pair.observer] = {
            **{name: getattr(pair, name) for name in ("patient_id", "center", "sequence", "key")},
            "label": str(pair.second.absolute()),
        }
    return found


def build_jobs(
    specs: Sequence[TrialSpec], manifest: Manifest, config: SweepConfig, resources: TrialResources
) -> list[TrialJob]:
    """Give each trial what its workers need.

    Raises:
        PlanError: A trial names a case that the manifest does not hold.
    """
    cases = {case.info.case_id: case for case in manifest.cases}
    return [
        TrialJob(
            spec=spec.to_json(),
            output=place(config.output).absolute(),
            cache=cache_folder(config),
            cases=_cases_of(spec, cases),
            threads=resources.threads,
            device=resources.device,
            umask=current_umask(),
            gpus=resources.gpus_per_worker,
            hang_timeout_s=config.resources.hang_timeout_s,
            prunable=config.search.scheduler == "asha" and spec.phase == "train",
        )
        for spec in specs
    ]


def require_room(specs: Sequence[TrialSpec], manifest: Manifest, cache: AnyPath | None) -> None:
    """Check that the disk holds the preprocessed scans of every trial.

    What the cache already holds is counted again: the check errs on the safe side.

    Raises:
        ResourceError: The disk is too small.
    """
    cases = {case.info.case_id: case for case in manifest.cases}
    needed: dict[str, tuple[TrialSpec, dict[str, Case]]] = {}
    for spec in (spec for spec in specs if spec.phase != "zero_shot"):  # they read scans as they are
        grid = spec.preprocessing
        key = content_id([list(grid.spacing_mm), dict(grid.labels), grid.normalisation, grid.version])
        needed.setdefault(key, (spec, {}))[1].update(_cases_of(spec, cases))
    total = sum(forecast_bytes(list(used.values()), spec.preprocessing) for spec, used in needed.values())
    require_space(cache, total)


def _cases_of(spec: TrialSpec, cases: Mapping[str, Case]) -> dict[str, Case]:
    split = spec.split
    wanted = dict.fromkeys([*split.train, *split.val, *split.test, *split.target, *split.unlabelled])
    if missing := [case_id for case_id in wanted if case_id not in cases]:
        problem = Problem(
            where=f"trial {spec.name}", found=f"{len(missing)} cases are not in the manifest, first {missing[0]!r}",
            fix="make the plan again from this manifest",
        )  # fmt: skip
        raise PlanError("the plan and the manifest do not belong together:", [problem])
    return {case_id: cases[case_id] for case_id in wanted}
