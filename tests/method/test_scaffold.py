"""`dgsweep methods new`: what it writes works as it is, and what cannot be written is refused."""

import importlib
import importlib.util
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from dgsweep.cli import main
from dgsweep.config.declaration import MethodDeclaration
from dgsweep.config.search_space import load_space
from dgsweep.errors import MethodError
from dgsweep.method.catalog import method_declarations
from dgsweep.method.conformance import MethodConformance, check
from dgsweep.method.scaffold import FILES, TAKEN, write_distribution

ROOT = Path(__file__).parents[2]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Exit code of the command line in this process."""
    monkeypatch.setattr(sys, "argv", ["dgsweep", "methods", "new", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


@pytest.fixture
def new(tmp_path, monkeypatch):
    """A distribution just written, its package importable."""
    folder = tmp_path / "mine"
    assert run(monkeypatch, "my_method", "--out", str(folder)) == 0
    monkeypatch.syspath_prepend(folder)
    yield folder
    for name in [name for name in sys.modules if name.startswith("dgsweep_my_method")]:
        del sys.modules[name]


def declaration_of(folder: Path) -> MethodDeclaration:
    """What the entry point of the distribution leads to."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    module, _, attribute = project["entry-points"]["dgsweep.methods"]["my_method"].partition(":")
    found = getattr(importlib.import_module(module), attribute)
    assert isinstance(found, MethodDeclaration)
    return found


def test_what_is_written_passes_conformance_and_does_something(new):
    declaration = declaration_of(new)
    outcomes = {result.check: result.outcome for result in check(declaration)}
    assert declaration.name == "my_method"
    assert "failed" not in outcomes.values(), outcomes
    assert outcomes["identity equals ERM"] == outcomes["differs from ERM"] == outcomes["active"] == "passed"


def test_its_search_space_names_its_hyperparameters(new):
    space = load_space("my_method", [new / "search_spaces"])
    assert set(space.distributions) == set(declaration_of(new).hyperparameters)


def test_its_own_tests_pass_and_include_the_conformance_suite(new):
    spec = importlib.util.spec_from_file_location("generated_tests", new / "tests" / "test_my_method.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    tests = [value for name, value in vars(module).items() if name.startswith("test_")]
    for test in tests:
        test()
    assert len(tests) == 2
    assert issubclass(module.TestMyMethod, MethodConformance)
    assert module.TestMyMethod.declaration is declaration_of(new)


def test_no_file_holds_a_word_that_was_not_filled_in_and_all_have_their_names(new):
    written = {path.relative_to(new).as_posix(): path.read_text() for path in new.rglob("*") if path.suffix != ".pyc"
               and path.is_file()}  # fmt: skip
    assert set(written) == {
        "pyproject.toml", "README.md", "dgsweep_my_method/__init__.py", "dgsweep_my_method/method.py",
        "dgsweep_my_method/README.md", "search_spaces/my_method.yaml", "tests/test_my_method.py",
    }  # fmt: skip
    assert not any("$" in text for text in written.values())
    assert "class MyMethod(Method)" in written["dgsweep_my_method/method.py"]


def test_it_is_as_tidy_as_the_code_of_this_repository(new):
    ruff, config = str(Path(sys.executable).with_name("ruff")), ["--no-cache", "--config", str(ROOT / "pyproject.toml")]
    for verb in (["check", "--ignore", "D,I,INP,S"], ["format", "--check"]):
        done = subprocess.run([ruff, *verb, *config, str(new)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "name", ["MyMethod", "my-method", "1st", "my__method", "my_", "_my", "", "a" * 41, "../up", "my method", "mÿ"]
)
def test_an_invalid_name_is_refused_with_exit_2_and_nothing_is_written(tmp_path, monkeypatch, capsys, name):
    assert run(monkeypatch, "--out", str(tmp_path / "mine"), "--", name) == 2
    assert "cannot name a method" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["erm", "gin"])
def test_the_name_of_an_installed_method_is_refused_with_exit_2(tmp_path, monkeypatch, capsys, name):
    assert run(monkeypatch, name, "--out", str(tmp_path / "mine")) == 2
    assert "already installed" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["methods", *sorted(TAKEN)])
def test_a_name_that_would_hide_another_module_or_class_is_refused(tmp_path, name):
    with pytest.raises(MethodError, match="is taken"):
        write_distribution(name, tmp_path / "mine", method_declarations())
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_refused_with_exit_2_and_stays_as_it_is(tmp_path, monkeypatch, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    assert run(monkeypatch, "my_method", "--out", str(tmp_path / "mine")) == 2
    assert "is not an empty folder" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_a_file_in_place_of_the_folder_is_refused_with_exit_2(tmp_path, monkeypatch, capsys):
    (tmp_path / "mine").write_text("a file")
    assert run(monkeypatch, "my_method", "--out", str(tmp_path / "mine")) == 2
    assert run(monkeypatch, "my_method", "--out", str(tmp_path / "mine" / "below")) == 2
    assert "error: " in capsys.readouterr().err


def test_an_empty_folder_is_filled_and_the_default_folder_bears_the_name(tmp_path, monkeypatch, capsys):
    (tmp_path / "empty").mkdir()
    assert run(monkeypatch, "my_method", "--out", str(tmp_path / "empty")) == 0
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    assert run(monkeypatch, "other_one", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["folder"] == "dgsweep-other-one"
    assert all(Path(path).is_file() for path in told["files"])
    assert len(told["files"]) == len(FILES)


def test_the_templates_are_in_the_wheel():
    found = {file.distribution_path for file in WheelBuilder(str(ROOT)).recurse_included_files()}
    assert {f"dgsweep/method/new_method/{template}.txt" for template in FILES.values()} <= found
