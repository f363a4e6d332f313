"""From a sweep file to a plan: config, manifest, declarations, search spaces. Imports no torch."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.distributions import BaseDistribution

from dgsweep.config.anchor import HOME_VARIABLE, anchor_output, anchor_tracking, find_manifest
from dgsweep.config.composition import part_names, prefixed
from dgsweep.config.declaration import MethodDeclaration
from dgsweep.config.load import load_sweep
from dgsweep.config.schema import MethodConfig, SweepConfig
from dgsweep.config.search_space import SearchSpace, default_folders, load_space
from dgsweep.data.hashes import HashStore
from dgsweep.data.manifest import Manifest, read_manifest
from dgsweep.errors import ConfigError, Problems
from dgsweep.execution.proposals import known_now
from dgsweep.execution.ray_job import inside_ray_job
from dgsweep.method.catalog import declarations_for, network_declarations
from dgsweep.method.promptable.weights import known
from dgsweep.plan.build import build_plan
from dgsweep.plan.existing import Existing, KnownWeights
from dgsweep.plan.given import GivenTrial
from dgsweep.plan.trial import BASELINE, Plan
from dgsweep.records.given import read_given
from dgsweep.records.ledger import Ledger
from dgsweep.storage.place import AnyPath, is_remote, place, uri_problem
from dgsweep.storage.scratch import scratch_folder


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A sweep that is ready to be shown or run."""

    config: SweepConfig
    """With absolute manifest, output, cache and tracking address."""
    manifest: Manifest
    plan: Plan


def anchored(config: SweepConfig, sweep_file: Path) -> SweepConfig:
    """Replace every relative path of a sweep file by an absolute one.

    Raises:
        ConfigError: the manifest is not there, or a result would land in Ray's temporary copy.
    """
    job, home, cwd = inside_ray_job(), os.environ.get(HOME_VARIABLE), Path.cwd()
    manifest = find_manifest(config.data.manifest, sweep_file, cwd, home)
    output = anchor_output(config.output, inside_ray_job=job, home=home, cwd=cwd)
    uri = anchor_tracking(config.tracking.uri, inside_ray_job=job, home=home, cwd=cwd)
    cache = config.data.cache
    if cache is not None:
        cache = str(anchor_output(cache, inside_ray_job=job, home=home, cwd=cwd, field="data.cache"))
    return config.model_copy(
        update={
            "data": config.data.model_copy(update={"manifest": str(manifest), "cache": cache}),
            "output": str(output),
            "tracking": config.tracking.model_copy(update={"uri": uri}),
            "methods": tuple(_anchored_start(method, job=job, home=home, cwd=cwd) for method in config.methods),
        }
    )


def _anchored_start(method: MethodConfig, *, job: bool, home: str | None, cwd: Path) -> MethodConfig:
    start = method.init_from
    if start is None or start.trial is None:
        return method
    folder = anchor_output(start.trial, inside_ray_job=job, home=home, cwd=cwd, field="init_from.trial")
    return method.model_copy(update={"init_from": start.model_copy(update={"trial": str(folder)})})


def _given_trials(config: SweepConfig) -> dict[str, GivenTrial]:
    """Folder -> the finished trial in it, for every method that starts from one.

    Raises:
        ConfigError: with every folder that holds none.
    """
    problems, found = Problems(), dict[str, GivenTrial | None]()
    for index, method in enumerate(config.methods):
        folder = method.init_from.trial if method.init_from else None
        if folder is not None and folder not in found:
            found[folder] = read_given(place(folder), f"methods.{index}.init_from.trial", problems)
    problems.raise_if_any(ConfigError, f"the sweep {config.name} starts from what is not there")
    return {folder: trial for folder, trial in found.items() if trial is not None}


def prepare(sweep_file: Path, overrides: Sequence[str] = ()) -> Prepared:
    """Read a sweep file and everything that it names, and plan it.

    Raises:
        InputError: with every problem of the stage that found some.
    """
    config = anchored(load_sweep(sweep_file, overrides), sweep_file)
    hashes = HashStore(_hashes_file(place(config.output)))
    manifest = read_manifest(Path(config.data.manifest), config.data, hashes=hashes)
    folders = default_folders(config.search.spaces, sweep_file.absolute().parent)
    names = [method.name for method in config.methods]
    if config.controls.ceiling or config.controls.shuffled_labels:
        names = [*names, *([] if BASELINE in names else [BASELINE])]
    declared = declarations_for(names)
    plan = build_plan(
        config,
        [case.info for case in manifest.cases],
        manifest.labels,
        declared,
        network_declarations(),
        {name: _space_of(name, folders) for name in names},
        Existing(trials=_given_trials(config), weights=_known_weights(declared, names)),
    )
    config = config.model_copy(update={"selection": tuple(plan.config["selection"])})
    plan = known_now(config, plan, Ledger(place(config.output)))
    return Prepared(config=config, manifest=manifest, plan=plan)


def _hashes_file(output: AnyPath) -> Path | None:
    """Where fingerprints of scans are kept between runs; None before the output was made."""
    if not isinstance(output, Path):
        return scratch_folder() / "hashes.json"
    return output / "cache" / "hashes.json" if output.is_dir() else None


def _known_weights(declared: Mapping[str, MethodDeclaration], names: Sequence[str]) -> dict[str, KnownWeights]:
    """Registered weights, where a method of the sweep is not trained."""
    if all(declared[name].requires.trainable for name in names if name in declared):
        return {}
    return {record.name: KnownWeights(family=record.family, sha256=record.sha256) for record in known()}


def _space_of(name: str, folders: Sequence[Path]) -> SearchSpace:
    """Search space of a method; of a composition, those of its parts together."""
    parts = part_names(name)
    if len(parts) == 1:
        return load_space(name, folders)
    distributions: dict[str, BaseDistribution] = {}
    grids: dict[str, tuple[Any, ...]] = {}
    for part in parts:
        space = load_space(part, folders)
        distributions |= prefixed(part, space.distributions)
        grids |= prefixed(part, space.grid_values)
    return SearchSpace(method=name, distributions=distributions, grid_values=grids)


def tracking_of(target: Path, overrides: Sequence[str] = ()) -> str | None:
    """Tracking address that a sweep file names, with its password; None of an output, whose plan has none."""
    return None if names_output(target) else anchored(load_sweep(target, overrides), target).tracking.uri


def names_output(target: Path) -> bool:
    """Whether a target is an output, and not the sweep file of one."""
    found = place(target)
    return is_remote(found) or found.is_dir()


def output_of(target: Path, overrides: Sequence[str] = ()) -> AnyPath:
    """Output of a sweep, named by itself (a folder, `s3://...`) or by its sweep file with the overrides of its run.

    Raises:
        ConfigError: the address of the output cannot be used.
    """
    if not names_output(target):
        return place(anchored(load_sweep(target, overrides), target).output)
    found = place(target)
    problem = uri_problem(str(found), "output") if is_remote(found) else None
    if problem is not None:
        raise ConfigError("the output cannot be read", [problem])
    return found.absolute()
