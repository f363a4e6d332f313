"""Files beside the code: valid YAML, links that lead somewhere, no machine's own paths; and the frozen verbs."""

import re
import subprocess
from pathlib import Path

import pytest
import typer
import yaml
from code_shape import ROOT

from dgsweep.cli.app import app
from dgsweep.config.load import load_sweep
from dgsweep.config.schema import TrainingConfig
from dgsweep.config.search_space import load_space
from dgsweep.method.catalog import method_declaration, method_declarations

SPACES = sorted((ROOT / "search_spaces").glob("*.yaml"))
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:work|root|tmp(?!/ray/))/\w")
"""Ray's own folder is the same on every machine."""
VERBS = {
    "data check", "data phantom", "methods check", "methods list", "methods new", "methods show", "networks check",
    "networks list", "networks show", "plan", "report", "run", "status",
}  # fmt: skip
"""Scripts rely on them: verbs may be added, none may go."""


def committed(suffixes: tuple[str, ...] = ()) -> list[Path]:
    """Files that git holds and that still exist."""
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, cwd=ROOT, check=True)
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file() and (not suffixes or path.suffix in suffixes)]


def dead_links(path: Path, text: str) -> list[str]:
    found = [target for target in LINK.findall(text) if not re.match(r"[a-z]+:", target)]
    return [target for target in found if not (path.parent / target).exists()]


def verbs(command: object, prefix: str = "") -> set[str]:
    """Every verb of the command line, groups opened."""
    children = getattr(command, "commands", {})
    if not children:
        return {prefix.strip()}
    return {verb for name, child in children.items() for verb in verbs(child, f"{prefix} {name}")}


@pytest.mark.parametrize("path", SPACES, ids=lambda path: path.stem)
def test_the_keys_of_a_search_space_are_fields_of_its_method_or_of_training(path):
    declaration = method_declaration(path.stem)
    space = load_space(path.stem, [path.parent])
    assert space.distributions
    known = set(declaration.hyperparameters) | {f"training.{name}" for name in TrainingConfig.model_fields}
    assert set(space.distributions) <= known


def allowed(hyperparameter, value) -> bool:
    value = tuple(value) if isinstance(value, list | tuple) else value
    if hyperparameter.choices is not None:
        return value in hyperparameter.choices
    low, high = hyperparameter.low, hyperparameter.high
    return (low is None or value >= low) and (high is None or value <= high)


@pytest.mark.parametrize("path", SPACES, ids=lambda path: path.stem)
def test_a_search_space_lies_within_what_the_method_allows(path):
    declared = method_declaration(path.stem).hyperparameters
    for name, distribution in load_space(path.stem, [path.parent]).distributions.items():
        ends = getattr(distribution, "choices", None) or (distribution.low, distribution.high)
        if name in declared:
            assert all(allowed(declared[name], end) for end in ends), name


@pytest.mark.parametrize("name", sorted(method_declarations()))
def test_the_default_of_a_hyperparameter_is_allowed(name):
    for key, hyperparameter in method_declarations()[name].hyperparameters.items():
        assert allowed(hyperparameter, hyperparameter.default), key


def test_every_search_space_says_where_its_ranges_come_from():
    assert SPACES
    for path in SPACES:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if ":" in line.split("#")[0]]
        assert all("#" in line for line in lines), path.name


def sweep_files() -> list[Path]:
    found = sorted((ROOT / "examples").rglob("*.yaml"))
    return [path for path in found if "methods" in (yaml.safe_load(path.read_text(encoding="utf-8")) or {})]


def test_every_sweep_file_of_the_examples_is_valid():
    for path in sweep_files():
        assert load_sweep(path).methods


def test_every_yaml_is_read_safely_and_is_not_empty():
    for path in committed((".yaml", ".yml")):
        assert list(yaml.safe_load_all(path.read_text(encoding="utf-8"))), path


def test_relative_links_of_all_pages_lead_somewhere():
    pages = committed((".md",))
    assert pages
    assert [(path, link) for path in pages for link in dead_links(path, path.read_text(encoding="utf-8"))] == []


def test_a_dead_link_is_found(tmp_path):
    (tmp_path / "there.md").touch()
    text = "[a](there.md) [b](gone.md#part) [c](https://example.org/x) [d](#part)"
    assert dead_links(tmp_path / "page.md", text) == ["gone.md"]


def machine_paths(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if MACHINE_PATH.search(line)]


def test_no_committed_file_holds_a_path_of_the_machine_it_was_written_on():
    found = {}
    for path in committed():
        try:
            lines = machine_paths(path.read_text(encoding="utf-8"))
        except UnicodeDecodeError:
            continue
        if lines:
            found[str(path.relative_to(ROOT))] = lines
    assert found == {}


@pytest.mark.parametrize("first", ["work", "root", "tmp"])
def test_a_machine_path_is_found(first):
    assert machine_paths(f"manifest: /{first}/data")
    assert not machine_paths(f"see https://example.org/{first}/data and docs/{first}/x")


def test_no_verb_of_the_command_line_is_gone():
    assert verbs(typer.main.get_command(app)) >= VERBS
