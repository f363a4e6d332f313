"""Search spaces and draws."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from dgsweep.config.search_space import SearchSpace, default_folders, draw, grid, grid_size, load_space
from dgsweep.errors import ConfigError

SPACE = SearchSpace(
    method="m",
    distributions={
        "rate": FloatDistribution(1e-4, 1.0, log=True),
        "share": FloatDistribution(0.2, 0.6),
        "layers": IntDistribution(2, 4),
        "width": IntDistribution(1, 64, log=True),
        "kind": CategoricalDistribution(("a", "b", "c")),
    },
)
MANY = range(1, 2001)


def read(folder: Path, text: str) -> SearchSpace:
    (folder / "m.yaml").write_text(text)
    return load_space("m", [folder])


def test_trial_0_is_the_defaults() -> None:
    assert draw(SPACE, "m", 0) == {}
    assert draw(SPACE, "m", 1) != {}


def test_a_draw_does_not_move_when_another_hyperparameter_is_added() -> None:
    alone = SearchSpace(method="m", distributions={"share": SPACE.distributions["share"]})
    assert [draw(alone, "m", i)["share"] for i in MANY] == [draw(SPACE, "m", i)["share"] for i in MANY]


def test_draws_of_two_methods_two_names_and_two_indices_differ() -> None:
    twice = SearchSpace(method="m", distributions={name: FloatDistribution(0, 1) for name in ("x", "y")})
    assert len({*draw(twice, "m", 1).values(), *draw(twice, "n", 1).values(), *draw(twice, "m", 2).values()}) == 6


@given(st.text(max_size=8), st.integers(1, 10_000))
def test_every_draw_lies_inside_its_distribution(method: str, index: int) -> None:
    row = draw(SPACE, method, index)
    for name, distribution in SPACE.distributions.items():
        assert distribution._contains(distribution.to_internal_repr(row[name]))


def test_draws_are_spread_as_declared() -> None:
    rows = [draw(SPACE, "m", i) for i in MANY]
    mean_exponent = sum(math.log10(row["rate"]) for row in rows) / len(rows)
    assert mean_exponent == pytest.approx(-2.0, abs=0.1)  # the middle of [-4, 0]; standard error 0.026
    assert sum(row["share"] for row in rows) / len(rows) == pytest.approx(0.4, abs=0.01)  # standard error 0.0026
    for value in (2, 3, 4):
        assert sum(row["layers"] == value for row in rows) == pytest.approx(667, abs=90)  # four standard deviations
    for value in "abc":
        assert sum(row["kind"] == value for row in rows) == pytest.approx(667, abs=90)


def test_a_whole_number_on_a_log_axis_is_drawn_by_its_share_of_the_axis() -> None:
    ones = sum(draw(SPACE, "m", i)["width"] == 1 for i in MANY)
    expected = len(MANY) * math.log(1.5 / 0.5) / math.log(64.5 / 0.5)  # 452
    assert ones == pytest.approx(expected, abs=80)


def test_the_forms_of_the_file_become_distributions(tmp_path: Path) -> None:
    space = read(
        tmp_path,
        "a: {uniform: [0, 1], source: a paper}\nb: {loguniform: [1e-3, 1]}\nc: {int: [1, 5]}\nd: {int_log: [1, 8]}\n"
        "e: {choice: [[1], [1, 3]]}\ntraining.weight_decay: {loguniform: [1e-6, 1e-4]}\n",
    )
    assert space.distributions["e"].choices == ((1,), (1, 3))
    assert {name: found for name, found in space.distributions.items() if name != "e"} == {
        "a": FloatDistribution(0, 1),
        "b": FloatDistribution(1e-3, 1, log=True),
        "c": IntDistribution(1, 5),
        "d": IntDistribution(1, 8, log=True),
        "training.weight_decay": FloatDistribution(1e-6, 1e-4, log=True),
    }


def test_every_problem_of_a_space_file_is_reported_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(
            tmp_path,
            "a: {uniform: [1, 0]}\nb: {loguniform: [0, 1]}\nc: {int: [1.5, 2]}\nd: 3\ne: {choice: [1], int: [1, 2]}\n"
            "training.batsh: {int: [1, 2]}\nf: {uniform: [0, 1], grid: [0.5, 2]}\ng: {choice: [a, a]}\n",
        )
    assert [problem.where for problem in caught.value.problems] == ["a", "b", "c", "d", "e", "training.batsh", "f", "g"]
    assert caught.value.problems[5].fix == "did you mean `training.batch`?"


def test_a_method_without_a_file_has_an_empty_space(tmp_path: Path) -> None:
    assert not load_space("m", [tmp_path]).distributions


def test_the_first_folder_that_has_the_file_wins(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "m.yaml").write_text(f"{name}: {{uniform: [0, 1]}}")
    assert list(load_space("m", [tmp_path / "first", tmp_path / "second"]).distributions) == ["first"]


def test_every_shipped_space_can_be_read() -> None:
    folder = next(folder for folder in default_folders() if folder.is_dir())
    names = sorted(path.stem for path in folder.glob("*.yaml"))
    assert "erm" in names
    assert all(load_space(name, default_folders()).distributions for name in names)


def test_the_grid_starts_with_the_defaults_and_runs_the_last_name_fastest(tmp_path: Path) -> None:
    space = read(tmp_path, "a: {uniform: [0, 1], grid: [0.1, 0.9]}\nb: {choice: [x, y]}\n")
    rows = [{}, *({"a": a, "b": b} for a in (0.1, 0.9) for b in "xy")]
    assert grid(space, 100) == rows
    assert grid(space, 3) == rows[:3]
    assert grid_size(space) == 4


def test_a_range_without_grid_values_gives_low_middle_and_high(tmp_path: Path) -> None:
    rows = grid(read(tmp_path, "a: {int: [1, 5]}\n"), 10)
    assert rows == [{}, {"a": 1}, {"a": 3}, {"a": 5}]
