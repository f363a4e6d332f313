"""The one division of the patients."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dgsweep.errors import PlanError
from dgsweep.plan.split import SINGLE_FOLD_BUCKETS, VAL_SHARE, assign_roles, unit_hash

FACTORS = ("center", "sequence")
NAMES = st.lists(st.text("abcdef0123", min_size=1, max_size=6), min_size=1, max_size=40, unique=True)


def cases_of(world, patients, center="C1", sequences=("T1W", "T2W")):
    return [world.case(patient, center, sequence) for patient in patients for sequence in sequences]


def by_hash_alone(patient: str, folds: int, fold: int) -> str:
    """The rule of the design without any repair."""
    if int(unit_hash(patient) * (folds if folds > 1 else SINGLE_FOLD_BUCKETS)) == fold:
        return "test"
    return "val" if unit_hash(patient, salt="val\0") < VAL_SHARE else "train"


def needs_repair(patients, folds: int) -> bool:
    """Whether the hash alone leaves some role of the group empty in some fold."""
    return any({by_hash_alone(p, folds, fold) for p in patients} != {"train", "val", "test"} for fold in range(folds))


@settings(deadline=None)
@given(patients=NAMES, folds=st.integers(1, 5))
def test_every_patient_has_exactly_one_role_in_every_fold(world, patients, folds) -> None:
    for roles in assign_roles(cases_of(world, patients), FACTORS, folds).values():
        assert set(roles) == set(patients)
        assert set(roles.values()) <= {"train", "val", "test"}


@settings(deadline=None)
@given(patients=NAMES, folds=st.integers(2, 5))
def test_folds_test_every_patient_exactly_once(world, patients, folds) -> None:
    divided = assign_roles(cases_of(world, patients), FACTORS, folds)
    tested = Counter(patient for roles in divided.values() for patient, role in roles.items() if role == "test")
    assert tested == dict.fromkeys(patients, 1)


@settings(deadline=None)
@given(patients=NAMES.filter(lambda names: len(names) >= 6), folds=st.sampled_from([1, 3, 5]))
def test_no_role_of_a_large_enough_domain_is_empty(world, patients, folds) -> None:
    for roles in assign_roles(cases_of(world, patients), FACTORS, folds).values():
        assert set(roles.values()) == {"train", "val", "test"}


@settings(deadline=None)
@given(patients=NAMES, folds=st.integers(1, 5))
def test_where_no_role_would_be_empty_the_role_follows_from_the_patient_alone(world, patients, folds) -> None:
    divided = assign_roles(cases_of(world, patients), FACTORS, folds)
    if len(patients) >= max(folds, 3) and not needs_repair(patients, folds):
        expected = {fold: {p: by_hash_alone(p, folds, fold) for p in patients} for fold in range(folds)}
        assert divided == expected


@pytest.mark.parametrize("folds", [1, 4])
def test_adding_a_patient_moves_no_other(world, folds) -> None:
    patients = [f"p{index}" for index in range(60)]
    assert not needs_repair(patients, folds)
    before = assign_roles(cases_of(world, patients), FACTORS, folds)
    for new in ("new1", "new2", "new3"):
        after = assign_roles(cases_of(world, [*patients, new]), FACTORS, folds)
        assert all(after[fold][patient] == role for fold, roles in before.items() for patient, role in roles.items())


def test_adding_a_patient_moves_another_only_where_a_role_was_empty(world) -> None:
    outside = [
        f"p{i}" for i in range(200) if unit_hash(f"p{i}") >= 0.25 and unit_hash(f"p{i}", salt="val\0") >= VAL_SHARE
    ]
    inside = next(f"p{i}" for i in range(200) if unit_hash(f"p{i}") < 0.25)
    patients = outside[:8]
    before = assign_roles(cases_of(world, patients), FACTORS, 1)[0]
    (stand_in,) = [patient for patient, role in before.items() if role == "test"]
    assert by_hash_alone(stand_in, 1, 0) != "test"
    after = assign_roles(cases_of(world, [*patients, inside]), FACTORS, 1)[0]
    assert after[inside] == "test"
    assert after[stand_in] != "test"


def test_adding_a_patient_to_one_domain_moves_nobody_of_another(world) -> None:
    elsewhere = cases_of(world, [f"q{index}" for index in range(5)], "C2")
    before = assign_roles([*cases_of(world, ["a", "b", "c"]), *elsewhere], FACTORS, 1)[0]
    after = assign_roles([*cases_of(world, ["a", "b", "c", "d", "e"]), *elsewhere], FACTORS, 1)[0]
    assert {p: r for p, r in after.items() if p.startswith("q")} == {
        p: r for p, r in before.items() if p.startswith("q")
    }


def test_the_order_of_the_manifest_does_not_matter(world) -> None:
    cases = world.data_set(5)
    assert assign_roles(cases, FACTORS, 3) == assign_roles(cases[::-1], FACTORS, 3)


def test_shares_are_a_quarter_for_testing_and_a_fifth_of_the_rest_for_validation(world) -> None:
    roles = assign_roles(cases_of(world, [f"p{i}" for i in range(2000)], sequences=("T1W",)), FACTORS, 1)[0]
    count = Counter(roles.values())
    assert count["test"] == pytest.approx(500, abs=80)
    assert count["val"] == pytest.approx(300, abs=65)


def test_small_domains_are_pooled_so_that_no_role_of_the_pool_is_empty(world) -> None:
    cases = [case for index in range(9) for case in cases_of(world, [f"p{index}"], f"C{index}")]
    assert set(assign_roles(cases, FACTORS, 1)[0].values()) == {"train", "val", "test"}


@pytest.mark.parametrize(("count", "roles"), [(2, ["test", "train"]), (3, ["test", "train", "val"])])
def test_two_patients_are_train_and_test_and_three_fill_every_role(world, count, roles) -> None:
    for start in range(20):
        patients = [f"{start}-{index}" for index in range(count)]
        assert sorted(assign_roles(cases_of(world, patients), FACTORS, 1)[0].values()) == roles


def test_the_official_split_is_honoured_and_patients_without_one_follow_the_hash(world) -> None:
    official = {"a": "test", "b": "val", "c": "train", "d": "train"}
    free = [f"p{index}" for index in range(60)]
    cases = [world.case(patient, "C1", "T1W", split=role) for patient, role in official.items()]
    roles = assign_roles([*cases, *cases_of(world, free)], FACTORS, 1)[0]
    assert {patient: roles[patient] for patient in official} == official
    assert {patient: roles[patient] for patient in free} == {patient: by_hash_alone(patient, 1, 0) for patient in free}


def test_an_official_role_of_one_case_holds_for_all_cases_of_its_patient(world) -> None:
    cases = [world.case("a", "C1", "T1W", split="test"), world.case("a", "C1", "T2W"), world.case("b", "C1", "T1W")]
    assert assign_roles(cases, FACTORS, 1)[0]["a"] == "test"


def test_every_contradiction_of_an_official_split_is_reported_at_once(world) -> None:
    cases = [
        world.case("a", "C1", "T1W", split="train"),
        world.case("a", "C1", "T2W", split="test"),
        world.case("b", "C1", "T1W", split="holdout"),
    ]
    with pytest.raises(PlanError) as caught:
        assign_roles(cases, FACTORS, 2)
    assert [problem.where for problem in caught.value.problems] == ["patient a", "patient b", "protocol.folds"]
