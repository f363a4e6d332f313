"""A ratchet: the code stays as short and as plain as it is. Tighten the bars, never loosen them."""

import statistics
from pathlib import Path

import code_shape
from code_shape import measured, sources

MEDIAN_LINES, P95_LINES, LONGEST_FUNCTION, LONGEST_FILE = 6, 20, 45, 300


def test_functions_are_short():
    lines = sorted(function.lines for function in measured(sources()))
    assert statistics.median(lines) <= MEDIAN_LINES
    assert lines[int(0.95 * len(lines))] <= P95_LINES


def test_no_function_is_long():
    assert [one for one in measured(sources()) if one.lines > LONGEST_FUNCTION] == []


def test_no_file_is_long():
    long = {code_shape.short(path): len(path.read_text(encoding="utf-8").splitlines()) for path in sources()}
    assert {path: lines for path, lines in long.items() if lines > LONGEST_FILE} == {}


def test_everything_public_has_a_docstring():
    assert code_shape.undocumented(sources()) == []


def test_every_function_has_types():
    assert code_shape.unannotated(sources()) == []


def test_nothing_asks_hasattr_and_nothing_prints():
    assert code_shape.calls(sources(), "hasattr") == []
    assert code_shape.calls(sources(), "print") == []


def test_broad_excepts_stand_around_a_trial_and_around_a_picture_only():
    expected = ["platform/dgsweep/execution/worker.py", "platform/dgsweep/report/overlays.py"]
    assert sorted(code_shape.broad_excepts(sources())) == expected


def test_no_import_is_relative():
    assert code_shape.relative_imports(sources()) == []


def test_there_is_much_to_measure():
    assert len(sources()) > 80
    assert len(measured(sources())) > 500


BAD = '''
from . import sibling
import os

class Thing:
    def method(self, value: int):
        """Doc."""
        a = 1
        b = 2
        return hasattr(value, "x")

def function(*args) -> None:
    try:
        print(args)
    except (ValueError, Exception):
        pass
    try:
        pass
    except:
        pass
'''


def test_the_measures_find_what_they_look_for(tmp_path: Path):
    path = tmp_path / "bad.py"
    path.write_text(BAD)
    assert [(one.where.split()[-1], one.lines) for one in measured([path])] == [("function", 8), ("method", 3)]
    assert [entry.split()[-1] for entry in code_shape.undocumented([path])] == ["bad", "Thing", "function"]
    assert [entry.split()[-1] for entry in code_shape.unannotated([path])] == ["function", "method"]
    assert len(code_shape.calls([path], "hasattr")) == len(code_shape.calls([path], "print")) == 1
    assert code_shape.broad_excepts([path]) == ["bad.py", "bad.py"]
    assert code_shape.relative_imports([path]) == ["bad.py:2"]
