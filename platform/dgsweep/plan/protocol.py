"""Protocols: which domains a model is trained on, and on which others it is scored."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from dgsweep.config.names import nearest_name
from dgsweep.config.schema import ProtocolConfig
from dgsweep.errors import PlanError, Problems
from dgsweep.plan.case import CaseInfo

Domains = Mapping[str, Sequence[CaseInfo]]


@dataclass(frozen=True, kw_only=True)
class DomainSplit:
    """One source set with its targets. A target that is a source too is scored in-domain."""

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    label: str
    """Short name of the source set for tables."""


def group_domains(cases: Sequence[CaseInfo], factors: tuple[str, ...]) -> dict[str, list[CaseInfo]]:
    """Cases by domain name, in the order of the names.

    Raises:
        PlanError: when a factor is no manifest column, or a value is empty or holds `/` or `+`, which join names.
    """
    problems = Problems()
    columns = {"center", "sequence"}.union(*(case.columns for case in cases))
    for factor in factors:
        _check_factor(factor, cases, columns, problems)
    problems.raise_if_any(PlanError, "the domains cannot be named")
    grouped: dict[str, list[CaseInfo]] = {}
    for case in cases:
        grouped.setdefault(case.domain(factors), []).append(case)
    return dict(sorted(grouped.items()))


def _check_factor(factor: str, cases: Sequence[CaseInfo], columns: set[str], problems: Problems) -> None:
    if factor not in columns:
        near = nearest_name(factor, columns)
        advice = f"did you mean `{near}`?" if near else f"columns: {', '.join(sorted(columns))}"
        problems.add("protocol.factors", f"the manifest has no column {factor!r}", advice)
        return
    values: dict[str, list[str]] = {}
    for case in cases:
        values.setdefault(case.factor(factor), []).append(case.case_id)
    for value, case_ids in values.items():
        if not value or "/" in value or "+" in value:
            what = f"{factor} is {value!r} in {len(case_ids)} case(s), such as {case_ids[0]}"
            problems.add("protocol.factors", what, "fill it with text without `/` and `+`, which join domain names")


def domain_splits(protocol: ProtocolConfig, domains: Domains) -> list[DomainSplit]:
    """Source and target domains of every row of the protocol's table; equal source sets are one row.

    Raises:
        PlanError: when a pattern matches no domain, a source set has no target, or the factors do not fit the kind.
    """
    problems = Problems()
    _check_factors_fit(protocol, problems)
    problems.raise_if_any(PlanError, f"the protocol {protocol.kind} does not fit the data")
    splits = _merged(_KINDS[protocol.kind](protocol, domains, problems))
    for split in splits:
        if not split.targets:
            found = f"the sources {split.label} have no target domain"
            problems.add(f"protocol ({protocol.kind})", found, "add scans of another domain, or choose kind in_domain")
    problems.raise_if_any(PlanError, f"the protocol {protocol.kind} does not fit the data")
    return splits


def _check_factors_fit(protocol: ProtocolConfig, problems: Problems) -> None:
    needed = {"cross_center": "center", "cross_sequence": "sequence"}.get(protocol.kind)
    if needed is not None and needed not in protocol.factors:
        problems.add("protocol.factors", f"{protocol.kind} needs the factor {needed!r}", "add it to the list")


def _in_domain(_protocol: ProtocolConfig, domains: Domains, _problems: Problems) -> list[DomainSplit]:
    return [DomainSplit(sources=(name,), targets=(name,), label=name) for name in domains]


def _single_source(_protocol: ProtocolConfig, domains: Domains, _problems: Problems) -> list[DomainSplit]:
    return [DomainSplit(sources=(name,), targets=_without(domains, name), label=name) for name in domains]


def _leave_one_out(_protocol: ProtocolConfig, domains: Domains, problems: Problems) -> list[DomainSplit]:
    if len(domains) < 2:
        problems.add("protocol (leave_one_domain_out)", "there is only one domain", "choose kind in_domain")
        return []
    return [DomainSplit(sources=_without(domains, name), targets=(name,), label=f"all but {name}") for name in domains]


def _cross_center(protocol: ProtocolConfig, domains: Domains, _problems: Problems) -> list[DomainSplit]:
    def same_elsewhere(name: str) -> tuple[str, ...]:
        here = domains[name][0]
        kept = [factor for factor in protocol.factors if factor == "sequence"]
        return tuple(
            other
            for other, cases in domains.items()
            if cases[0].center != here.center and all(cases[0].factor(f) == here.factor(f) for f in kept)
        )

    return [DomainSplit(sources=(name,), targets=same_elsewhere(name), label=name) for name in domains]


def _cross_sequence(_protocol: ProtocolConfig, domains: Domains, _problems: Problems) -> list[DomainSplit]:
    by_sequence: dict[str, list[str]] = {}
    for name, cases in domains.items():
        by_sequence.setdefault(cases[0].sequence, []).append(name)
    return [
        DomainSplit(sources=tuple(names), targets=tuple(d for d in domains if d not in names), label=sequence)
        for sequence, names in sorted(by_sequence.items())
    ]


def _explicit(protocol: ProtocolConfig, domains: Domains, problems: Problems) -> list[DomainSplit]:
    splits = []
    for index, row in enumerate(protocol.splits):
        where = f"protocol.splits.{index}"
        sources = _matching(row.sources, domains, f"{where}.sources", problems)
        targets = _matching(row.targets, domains, f"{where}.targets", problems)
        if sources and (targets or not row.targets):
            splits.append(DomainSplit(sources=sources, targets=targets, label="+".join(row.sources)))
    return splits


def _matching(patterns: Sequence[str], domains: Domains, where: str, problems: Problems) -> tuple[str, ...]:
    """Domains that match any shell pattern (`*` crosses `/`), or that are named literally."""
    found: set[str] = set()
    for pattern in patterns:
        matched = {name for name in domains if name == pattern or fnmatchcase(name, pattern)}
        if not matched:
            near = nearest_name(pattern, domains)
            advice = f"did you mean `{near}`?" if near else f"domains: {', '.join(domains)}"
            problems.add(where, f"{pattern!r} matches no domain", advice)
        found |= matched
    return tuple(name for name in domains if name in found)


def _without(domains: Domains, name: str) -> tuple[str, ...]:
    return tuple(other for other in domains if other != name)


def _merged(splits: Sequence[DomainSplit]) -> list[DomainSplit]:
    """One row for each source set: one trained model is scored on the targets of all its rows."""
    merged: dict[tuple[str, ...], DomainSplit] = {}
    for split in splits:
        known = merged.get(split.sources, split)
        targets = tuple(sorted({*known.targets, *split.targets}))
        merged[split.sources] = DomainSplit(sources=split.sources, targets=targets, label=known.label)
    return list(merged.values())


_KINDS: Mapping[str, Callable[[ProtocolConfig, Domains, Problems], list[DomainSplit]]] = {
    "in_domain": _in_domain,
    "cross_center": _cross_center,
    "cross_sequence": _cross_sequence,
    "single_source": _single_source,
    "leave_one_domain_out": _leave_one_out,
    "explicit": _explicit,
}
