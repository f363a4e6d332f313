"""From a configuration and what is known of the cases to a plan: cells, trials, identities, refusals."""

from collections.abc import Mapping, Sequence
from typing import Any

import dgsweep
from dgsweep.config.declaration import MethodDeclaration, NetworkDeclaration
from dgsweep.config.names import name_advice
from dgsweep.config.schema import SweepConfig
from dgsweep.config.search_space import SearchSpace
from dgsweep.config.secrets import without_password
from dgsweep.errors import PlanError, Problems
from dgsweep.plan.case import CaseInfo
from dgsweep.plan.controls import Ground, control_trials
from dgsweep.plan.draws import MethodEntry, method_entries
from dgsweep.plan.existing import Existing
from dgsweep.plan.given import GivenStart, strangers, unfit_start
from dgsweep.plan.grid import NetworkEntry, nearest_patch, patch_problem
from dgsweep.plan.group import Group, group_searches, group_trials, starts_of
from dgsweep.plan.hyperparameters import resolve_values
from dgsweep.plan.inner import inner_trials
from dgsweep.plan.needs import Terms, refusal_reason
from dgsweep.plan.pretrain import Start
from dgsweep.plan.protocol import domain_splits, group_domains
from dgsweep.plan.recipe import resolved_training
from dgsweep.plan.rows import SourceRow, WantedImages, source_rows, usable_selection
from dgsweep.plan.search import CellSearch
from dgsweep.plan.split import assign_roles
from dgsweep.plan.trial import Plan, Refusal, TrialSpec
from dgsweep.plan.zero_shot import check_protocols, check_weights, zero_shot_trials

NOTHING = Existing()


def build_plan(
    config: SweepConfig,
    cases: Sequence[CaseInfo],
    labels: Mapping[str, int],
    methods: Mapping[str, MethodDeclaration],
    networks: Mapping[str, NetworkDeclaration],
    spaces: Mapping[str, SearchSpace],
    existing: Existing = NOTHING,
) -> Plan:
    """Every trial of the sweep.

    Args:
        config: The validated sweep file.
        cases: Every case of the manifest.
        labels: Structures to segment: name -> value in the label files; class k is the k-th.
        methods: Declarations of the methods by name.
        networks: Declarations of the backbones by name.
        spaces: Search spaces by method name.
        existing: Finished trials and registered weights that methods may start from.

    Raises:
        PlanError: with every reason why the protocol, the methods and the data do not fit together.
    """
    problems, notes = Problems(), list[str]()
    entries = method_entries(config, methods, spaces, existing.trials, problems, notes)
    backbones = _network_entries(config, networks, problems)
    _check_inputs(cases, labels, problems)
    check_weights(entries, existing.weights, problems)
    check_protocols(entries, config, problems)
    problems.raise_if_any(PlanError, f"the sweep {config.name} cannot be planned")
    domains = group_domains(cases, config.protocol.factors)
    roles = assign_roles(cases, config.protocol.factors, config.protocol.folds)
    splits = domain_splits(config.protocol, domains)
    images = WantedImages(
        unlabelled={entry.unlabelled for entry in entries if entry.unlabelled != "none"},
        pretraining={entry.start.data for entry in entries if isinstance(entry.start, Start)},
    )
    rows = source_rows(config, splits, domains, roles=roles, images=images, problems=problems, notes=notes)
    problems.raise_if_any(PlanError, f"the sweep {config.name} cannot be planned")
    config = usable_selection(config, rows)
    notes += [*_test_time_notes(entries), *_search_notes(config)]
    patients = {case.case_id: case.patient_id for case in cases}
    notes += _stranger_notes(entries, patients)
    planned, searches, first, refusals = _trials(config, labels, rows, entries, backbones, patients)
    ground = Ground(
        config=config, labels=labels, domains=domains, roles=roles, rows=rows, networks=backbones, terms=_terms(config)
    )
    planned += inner_trials(ground, entries, planned, problems, notes)
    problems.raise_if_any(PlanError, f"the sweep {config.name} cannot be planned")
    planned += control_trials(ground, methods, planned, notes)
    planned = [*planned, *zero_shot_trials(config, labels, rows, entries, existing.weights, planned)]
    _check_not_all_refused(config, planned, refusals)
    return Plan(
        sweep=config.name,
        config=_resolved(config),
        trials=tuple(planned),
        pretraining=tuple(first),
        refusals=tuple(refusals),
        notes=tuple(dict.fromkeys(notes)),
        version=dgsweep.__version__,
        splits={str(fold): dict(patients) for fold, patients in roles.items()},
        searches=tuple(searches),
    )


def _stranger_notes(entries: Sequence[MethodEntry], patients: Mapping[str, str]) -> list[str]:
    """What nobody can check of trials that methods start from."""
    starts = [entry.start for entry in entries if isinstance(entry.start, GivenStart)]
    counts = {start.label: strangers(start, patients) for start in starts}
    return [
        f"init_from: {count} of the scans that {label} learnt from are not in this manifest; whether their patients "
        "are scored here cannot be told"
        for label, count in counts.items()
        if count
    ]


def _test_time_notes(entries: Sequence[MethodEntry]) -> list[str]:
    """What a reader of the table must know of methods that learn from the test case itself, if there are any."""
    names = sorted({entry.declaration.name for entry in entries if entry.declaration.requires.test_time})
    if not names:
        return []
    verb = "change" if len(names) > 1 else "changes"
    return [f"{', '.join(names)} {verb} the network for each test case, from its image alone; other methods do not"]


def _search_notes(config: SweepConfig) -> list[str]:
    """What a scheduler that never stops anything should have said before the sweep."""
    first = config.search.min_steps or int(resolved_training(config.training, config.budget.steps)["eval_every"])
    if config.search.scheduler != "asha" or config.search.trials == 1 or first < config.budget.steps:
        return []
    return [f"search.scheduler: asha stops nothing, because its first rung ({first} steps) is the whole budget"]


def _check_inputs(cases: Sequence[CaseInfo], labels: Mapping[str, int], problems: Problems) -> None:
    if not cases:
        problems.add("data.manifest", "has no case", "add rows")
    if not labels:
        problems.add("data.target_labels", "there is no structure to segment", "name one of dataset.yaml")


def _network_entries(
    config: SweepConfig, networks: Mapping[str, NetworkDeclaration], problems: Problems
) -> list[NetworkEntry]:
    entries: dict[str, NetworkEntry] = {}
    for index, wanted in enumerate(config.networks):
        where = f"networks.{index}"
        if wanted.name not in networks:
            problems.add(f"{where}.name", f"no network {wanted.name!r}", name_advice(wanted.name, networks))
        elif wanted.name in entries:
            problems.add(where, f"{wanted.name!r} stands twice", "tables tell networks apart by name: keep one")
        else:
            declaration = networks[wanted.name]
            options = resolve_values(declaration.options, wanted.options, f"{where}.options", problems, what="option")
            entries[wanted.name] = NetworkEntry(declaration=declaration, options=options)
            _check_patch(config, entries[wanted.name], problems)
    return list(entries.values())


def _check_patch(config: SweepConfig, network: NetworkEntry, problems: Problems) -> None:
    if config.data.patch is None:
        return
    found = patch_problem(config.data.patch, network)
    if found:
        nearest = list(nearest_patch(config.data.patch, network))
        problems.add("data.patch", found, f"the nearest patch is {nearest}")


def _trials(
    config: SweepConfig,
    labels: Mapping[str, int],
    rows: Sequence[SourceRow],
    entries: Sequence[MethodEntry],
    backbones: Sequence[NetworkEntry],
    patients: Mapping[str, str],
) -> tuple[list[TrialSpec], list[CellSearch], list[TrialSpec], list[Refusal]]:
    """Trials in the order of running (defaults first, methods alike), searches, what they start from, refusals."""
    specs: list[TrialSpec] = []
    searches: list[CellSearch] = []
    first: dict[str, TrialSpec] = {}
    refusals: dict[tuple[str, ...], Refusal] = {}
    terms = _terms(config)
    groups = [(row, network, entry) for row in rows for network in backbones for entry in entries if _is_trained(entry)]
    for shared_row, network, entry in groups:
        row = shared_row.given(entry.unlabelled)
        reason = refusal_reason(entry.declaration.requires, network.declaration, row.cases, terms)
        if not reason and isinstance(entry.start, GivenStart):
            reason = unfit_start(entry.start, network, labels, row.cases, patients)
        names = (entry.declaration.name, network.declaration.name)
        if reason:
            refused = Refusal(method=names[0], network=names[1], sources=row.split.sources, reason=reason)
            refusals.setdefault((*names, *refused.sources, reason), refused)
        else:
            group = Group(config=config, labels=labels, row=row, method=entry, network=network)
            starts = starts_of(group)
            first |= {start.trial_id: start for start in starts.values()}
            members = list(group_trials(group, starts))
            specs += members
            searches += group_searches(group, members, starts)
    seeds = {seed: position for position, seed in enumerate(config.seeds)}
    specs.sort(key=lambda spec: (spec.trial, seeds[spec.seed], spec.fold))
    return specs, searches, list(first.values()), list(refusals.values())


def _terms(config: SweepConfig) -> Terms:
    resolved = resolved_training(config.training, config.budget.steps)
    return Terms(
        factors=config.protocol.factors, budget_steps=config.budget.steps, eval_every=int(resolved["eval_every"])
    )


def _is_trained(entry: MethodEntry) -> bool:
    return entry.declaration.requires.trainable


def _check_not_all_refused(config: SweepConfig, trials: Sequence[TrialSpec], refusals: Sequence[Refusal]) -> None:
    problems = Problems()
    if not trials:
        for refusal in refusals:
            problems.add(f"{refusal.method} on {'+'.join(refusal.sources)}", refusal.reason, "choose another protocol")
    problems.raise_if_any(PlanError, f"every cell of the sweep {config.name} is refused")


def _resolved(config: SweepConfig) -> dict[str, Any]:
    """The sweep file in plain JSON types, with every value that planning resolved."""
    plain = config.model_dump(mode="json")
    tracking = {**plain["tracking"], "uri": without_password(config.tracking.uri)}  # the plan is written down and shown
    return {**plain, "tracking": tracking, "training": resolved_training(config.training, config.budget.steps)}
