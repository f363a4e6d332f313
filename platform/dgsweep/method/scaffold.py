"""Writes a new method as a distribution of its own: small, working, and ready to be changed. Torch-free."""

import importlib.util
import re
from collections.abc import Collection
from importlib.resources import files
from pathlib import Path
from string import Template

from dgsweep.errors import MethodError

NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
LONGEST = 40
TAKEN = frozenset({"method", "batch", "view", "context", "sequence"})
"""Their class would hide a name that the method's module imports."""
FILES = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "readme.md",
    "$package/__init__.py": "declaration.py",
    "$package/method.py": "method.py",
    "$package/README.md": "card.md",
    "search_spaces/$name.yaml": "space.yaml",
    "tests/test_$name.py": "test.py",
}
"""File of the distribution -> template in the folder new_method."""


def distribution_name(name: str) -> str:
    """Name of the distribution that holds a method, which is also its default folder."""
    return f"dgsweep-{name.replace('_', '-')}"


def write_distribution(name: str, folder: Path, installed: Collection[str]) -> list[Path]:
    """Write the files of a method `name` into a new or empty folder; returns their paths.

    Raises:
        MethodError: the name cannot be used, or the folder holds something; nothing was written then.
    """
    _check_name(name, installed)
    _check_folder(folder)
    words = {
        "name": name,
        "package": f"dgsweep_{name}",
        "distribution": distribution_name(name),
        "cls": "".join(part.capitalize() for part in name.split("_")),
        "title": name.replace("_", " ").capitalize(),
    }
    templates = files("dgsweep.method") / "new_method"
    written = []
    for place, template in FILES.items():
        path = folder / Template(place).substitute(words)
        text = Template((templates / f"{template}.txt").read_text(encoding="utf-8")).substitute(words)
        _write(path, text)
        written.append(path)
    return written


def _check_name(name: str, installed: Collection[str]) -> None:
    if not NAME.fullmatch(name) or len(name) > LONGEST:
        raise MethodError(
            f"{name!r} cannot name a method: small letters, digits and single underscores, a letter first, "
            f"at most {LONGEST} characters (such as my_method)"
        )
    if name in installed:
        raise MethodError(f"a method {name!r} is already installed; choose another name")
    if name in TAKEN or importlib.util.find_spec(f"dgsweep_{name}") is not None:
        raise MethodError(f"the name {name!r} is taken: dgsweep or an installed package uses it; choose another")


def _check_folder(folder: Path) -> None:
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise MethodError(f"{folder} exists and is not an empty folder; choose another with --out")
    except OSError as error:
        raise MethodError(f"{folder} cannot be used: {error.strerror}") from error


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise MethodError(f"{path} cannot be written: {error.strerror}") from error
