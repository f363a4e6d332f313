"""The sweep file: defaults, overrides, and every problem at once."""

from pathlib import Path

import pytest

from dgsweep.config.load import load_sweep
from dgsweep.errors import ConfigError

MINIMAL = "data: {manifest: m.csv}\nmethods: [erm]\n"


def write(folder: Path, text: str, name: str = "cross.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def message(path: Path, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_sweep(path, overrides)
    return str(caught.value)


def test_a_minimal_file_takes_every_other_value_from_the_defaults(tmp_path: Path) -> None:
    config = load_sweep(write(tmp_path, MINIMAL))
    assert (config.name, config.output, config.tracking.experiment) == ("cross", "runs/cross", "cross")
    assert (config.seeds, config.budget.steps, config.networks[0].name) == ((0,), 25_000, "nnunet")


def test_a_name_in_the_file_wins_over_the_file_stem(tmp_path: Path) -> None:
    config = load_sweep(write(tmp_path, MINIMAL + "name: mine\n"))
    assert (config.name, config.output, config.tracking.experiment) == ("mine", "runs/mine", "mine")


def test_a_file_stem_with_spaces_still_gives_a_valid_name(tmp_path: Path) -> None:
    assert load_sweep(write(tmp_path, MINIMAL, "my first sweep.yaml")).name == "my-first-sweep"


def test_every_problem_of_a_file_broken_in_five_places_is_in_one_message(tmp_path: Path) -> None:
    text = """\
data: {manifest: m.csv, pacth: [64, 64, 32]}
methods: [erm]
batch: 4
seeds: [0, 0]
training: {optimizer: lion}
budget: {steps: 0}
"""
    path = write(tmp_path, text)
    assert message(path) == (
        f"{path} has 5 problems\n"
        "  - data.pacth: unknown key -> did you mean `patch`?\n"
        "  - seeds: found [0, 0] -> a value stands twice in the list\n"
        "  - budget.steps: found 0 -> must be greater than or equal to 1\n"
        "  - training.optimizer: found 'lion' -> must be 'sgd' or 'adamw'\n"
        "  - batch: unknown key -> did you mean `training.batch`?"
    )


def test_a_problem_of_the_file_and_one_of_an_override_are_reported_together(tmp_path: Path) -> None:
    path = write(tmp_path, MINIMAL + "seed: [1]\n")
    found = message(path, "budget.steps=none", "nonsense")
    assert "--set nonsense: is no `key=value`" in found
    assert "budget.steps: found 'none'" in found
    assert "seed: unknown key -> did you mean `seeds`?" in found


def test_a_missing_manifest_is_named_by_its_path(tmp_path: Path) -> None:
    assert "data.manifest: is missing" in message(write(tmp_path, "data: {}\nmethods: [erm]\n"))


def test_a_union_field_gives_one_problem(tmp_path: Path) -> None:
    found = message(write(tmp_path, "data: {manifest: m, target_labels: [[1]]}\nmethods: [erm]\n"))
    assert found.count("data.target_labels.0") == 1
    assert " has 1 problem\n" in found


def test_a_key_that_stands_twice_is_refused_with_its_line(tmp_path: Path) -> None:
    found = message(write(tmp_path, MINIMAL + "seeds: [0]\nseeds: [1]\n"))
    assert "cross.yaml, line 4: the key `seeds` stands twice" in found


def test_a_syntax_error_is_reported_with_its_line(tmp_path: Path) -> None:
    assert "cross.yaml, line 3: not valid YAML" in message(
        write(tmp_path, "data: {manifest: m}\nmethods: [erm\nname: x\n")
    )


@pytest.mark.parametrize(
    "text", ["", "- 1\n", "only text\n", "? [a]\n: b\n", "a: &x [*x]\n", "!!python/object:os.system {}\n"]
)
def test_no_text_ends_in_anything_but_a_config_error(tmp_path: Path, text: str) -> None:
    message(write(tmp_path, text))


def test_deep_nesting_ends_in_a_config_error(tmp_path: Path) -> None:
    assert "nested too deeply" in message(write(tmp_path, "a: " + "[" * 5000 + "]" * 5000))


def test_bytes_that_are_no_text_end_in_a_config_error(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xff\xfe\x00\x00")
    assert "is not UTF-8 text" in message(path)


def test_a_missing_file_and_a_folder_end_in_a_config_error(tmp_path: Path) -> None:
    assert "does not exist" in message(tmp_path / "none.yaml")
    assert "cannot be read" in message(tmp_path)


def test_an_override_sets_a_nested_key_and_a_list_item(tmp_path: Path) -> None:
    path = write(tmp_path, "data: {manifest: m.csv}\nmethods: [erm, gin]\n")
    config = load_sweep(
        path, ["budget.steps=500", "seeds=[3, 4]", "methods.1.hp.layers=2", "tracking.uri=sqlite:///a=b.db"]
    )
    assert (config.budget.steps, config.seeds) == (500, (3, 4))
    assert (config.methods[1].name, config.methods[1].hp) == ("gin", {"layers": 2})
    assert config.tracking.uri == "sqlite:///a=b.db"


def test_an_override_of_a_list_item_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    assert "--set methods.7.hp: `methods` has no item `7`" in message(write(tmp_path, MINIMAL), "methods.7.hp={}")


def test_numbers_and_switches_are_read_as_people_write_them(tmp_path: Path) -> None:
    config = load_sweep(
        write(tmp_path, MINIMAL.replace("[erm]", "[{name: gin, hp: {rate: 1e-3, kind: off, at: 1:30}}]"))
    )
    assert config.methods[0].hp == {"rate": 0.001, "kind": "off", "at": "1:30"}
    assert load_sweep(write(tmp_path, MINIMAL + "training: {amp: off}\n")).training.amp == "off"


def test_an_empty_section_is_an_absent_one(tmp_path: Path) -> None:
    assert load_sweep(write(tmp_path, MINIMAL + "training:\n")).training.batch == 2


def test_not_a_number_is_refused(tmp_path: Path) -> None:
    assert "training.weight_decay: found nan" in message(write(tmp_path, MINIMAL + "training: {weight_decay: .nan}\n"))
