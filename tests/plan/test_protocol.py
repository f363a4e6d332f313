"""Protocols: the table of the design, patterns and what is refused."""

import pytest

from dgsweep.config.schema import ProtocolConfig
from dgsweep.errors import PlanError
from dgsweep.plan.protocol import DomainSplit, domain_splits, group_domains

FACTORS = ("center", "sequence")


def rows(world, kind, cases=None, **settings) -> list[DomainSplit]:
    protocol = ProtocolConfig(kind=kind, **settings)
    return domain_splits(protocol, group_domains(world.data_set(2) if cases is None else cases, protocol.factors))


def by_label(found: list[DomainSplit]) -> dict[str, DomainSplit]:
    return {split.label: split for split in found}


@pytest.mark.parametrize(
    ("kind", "cells"),
    [
        ("in_domain", 12),
        ("cross_center", 12),
        ("cross_sequence", 3),
        ("single_source", 12),
        ("leave_one_domain_out", 12),
    ],
)
def test_three_sequences_in_four_centers_give_the_rows_of_the_table(world, kind, cells) -> None:
    assert len(rows(world, kind)) == cells


def test_in_domain_has_itself_as_its_target(world) -> None:
    assert all(split.sources == split.targets and len(split.sources) == 1 for split in rows(world, "in_domain"))


def test_cross_center_goes_from_one_center_to_the_same_sequence_elsewhere(world) -> None:
    split = by_label(rows(world, "cross_center"))["C1/T1W"]
    assert (split.sources, split.targets) == (("C1/T1W",), ("C2/T1W", "C3/T1W", "C4/T1W"))


def test_cross_sequence_pools_all_centers_and_goes_to_every_other_sequence(world) -> None:
    split = by_label(rows(world, "cross_sequence"))["T1W"]
    assert split.sources == ("C1/T1W", "C2/T1W", "C3/T1W", "C4/T1W")
    assert split.targets == tuple(f"C{center}/{sequence}" for center in (1, 2, 3, 4) for sequence in ("OOP", "T2W"))


def test_single_source_goes_to_every_other_domain(world) -> None:
    split = by_label(rows(world, "single_source"))["C2/OOP"]
    assert split.sources == ("C2/OOP",)
    assert len(split.targets) == 11
    assert "C2/OOP" not in split.targets


def test_leave_one_domain_out_trains_on_all_the_others(world) -> None:
    split = by_label(rows(world, "leave_one_domain_out"))["all but C2/OOP"]
    assert split.targets == ("C2/OOP",)
    assert len(split.sources) == 11
    assert "C2/OOP" not in split.sources


def test_explicit_patterns_choose_domains_as_a_shell_does(world) -> None:
    splits = [{"sources": ["*/T1W"], "targets": ["C3/T2W", "*/OOP"]}, {"sources": ["C[12]/T2W"], "targets": ["C?/T1W"]}]
    found = rows(world, "explicit", splits=splits)
    assert found[0].sources == ("C1/T1W", "C2/T1W", "C3/T1W", "C4/T1W")
    assert found[0].targets == ("C1/OOP", "C2/OOP", "C3/OOP", "C3/T2W", "C4/OOP")
    assert found[1].sources == ("C1/T2W", "C2/T2W")
    assert found[1].targets == ("C1/T1W", "C2/T1W", "C3/T1W", "C4/T1W")


def test_equal_source_sets_are_one_row_with_the_targets_of_both(world) -> None:
    splits = [{"sources": ["C1/T1W"], "targets": ["C1/T2W"]}, {"sources": ["C1/T1W"], "targets": ["C1/OOP"]}]
    (split,) = rows(world, "explicit", splits=splits)
    assert split.targets == ("C1/OOP", "C1/T2W")


def test_every_pattern_that_matches_nothing_is_reported_with_the_nearest_domain(world) -> None:
    splits = [{"sources": ["C1/T1"], "targets": ["*/CT"]}]
    with pytest.raises(PlanError) as caught:
        rows(world, "explicit", splits=splits)
    assert [problem.where for problem in caught.value.problems] == [
        "protocol.splits.0.sources",
        "protocol.splits.0.targets",
    ]
    assert caught.value.problems[0].fix == "did you mean `C1/T1W`?"


@pytest.mark.parametrize("kind", ["cross_sequence", "cross_center", "single_source", "leave_one_domain_out"])
def test_a_single_domain_has_no_target_and_is_refused_except_in_domain(world, kind) -> None:
    cases = world.data_set(4, 1, ("T1W",))
    with pytest.raises(PlanError, match="choose kind in_domain"):
        rows(world, kind, cases)
    assert len(rows(world, "in_domain", cases)) == 1


def test_an_explicit_row_without_targets_is_refused(world) -> None:
    with pytest.raises(PlanError, match="no target domain"):
        rows(world, "explicit", splits=[{"sources": ["C1/T1W"]}])


def test_any_manifest_column_can_be_a_factor(world) -> None:
    cases = [world.case(f"p{i}", "C1", "T1W", columns={"vendor": vendor}) for i, vendor in enumerate("ABAB")]
    assert [split.label for split in rows(world, "single_source", cases, factors=("vendor",))] == ["A", "B"]


def test_an_unknown_factor_is_reported_with_the_nearest_column(world) -> None:
    cases = [world.case("p", "C1", "T1W", columns={"vendor": "A"})]
    with pytest.raises(PlanError, match=r"no column 'vendr' -> did you mean `vendor`\?"):
        rows(world, "in_domain", cases, factors=("vendr",))


@pytest.mark.parametrize("value", ["", "T1/T2", "T1+C"])
def test_a_factor_value_that_would_break_domain_names_is_refused_with_its_case(world, value) -> None:
    with pytest.raises(PlanError, match=r"such as p-"):
        group_domains([world.case("p", "C1", value)], FACTORS)


def test_cross_sequence_without_the_sequence_as_a_factor_is_refused(world) -> None:
    with pytest.raises(PlanError, match="needs the factor 'sequence'"):
        rows(world, "cross_sequence", factors=("center",))
