"""Measures the shape of the code: lengths of functions and files, docstrings, types, forbidden names."""

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = (ROOT / "platform" / "dgsweep", ROOT / "methods" / "dgsweep_methods")
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One function."""

    where: str
    lines: int
    """Lines of the body without its docstring, from first to last statement."""


def sources(*packages: Path) -> list[Path]:
    """Python files of the packages, sorted."""
    return sorted(path for package in packages or PACKAGES for path in package.rglob("*.py"))


@functools.cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def short(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name


def functions(tree: ast.Module) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def measured(paths: list[Path]) -> list[Measured]:
    return [
        Measured(where=f"{short(path)}:{node.lineno} {node.name}", lines=body_lines(node))
        for path in paths
        for node in functions(parse(path))
    ]


def body_lines(node: Function) -> int:
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def undocumented(paths: list[Path]) -> list[str]:
    """Public modules, classes and functions without a docstring; nested functions are not public."""
    return [
        f"{short(path)}:{getattr(node, 'lineno', 1)} {name}"
        for path in paths
        for name, node in public(parse(path), path.stem)
        if not ast.get_docstring(node)
    ]


def public(tree: ast.Module, stem: str) -> Iterator[tuple[str, ast.Module | ast.ClassDef | Function]]:
    yield stem, tree
    for node in tree.body:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            yield node.name, node
            members = node.body if isinstance(node, ast.ClassDef) else []
            yield from (
                (member.name, member)
                for member in members
                if isinstance(member, Function | ast.ClassDef) and not member.name.startswith("_")
            )


def unannotated(paths: list[Path]) -> list[str]:
    """Functions with an argument or a result without a type."""
    return [
        f"{short(path)}:{node.lineno} {node.name}"
        for path in paths
        for node in functions(parse(path))
        if node.returns is None or any(argument.annotation is None for argument in arguments(node))
    ]


def arguments(node: Function) -> list[ast.arg]:
    given = node.args
    named = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    starred = [extra for extra in (given.vararg, given.kwarg) if extra is not None]
    return [argument for argument in named if argument.arg not in ("self", "cls")] + starred


def calls(paths: list[Path], name: str) -> list[str]:
    """Places that call a built-in by name."""
    return [
        f"{short(path)}:{node.lineno}"
        for path in paths
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name
    ]


def broad_excepts(paths: list[Path]) -> list[str]:
    """Files with a handler of Exception or BaseException, or of everything; one entry a handler."""
    return [
        short(path)
        for path in paths
        for node in ast.walk(parse(path))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or caught(node.type) & {"Exception", "BaseException"})
    ]


def caught(node: ast.expr) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def relative_imports(paths: list[Path]) -> list[str]:
    return [
        f"{short(path)}:{node.lineno}"
        for path in paths
        for node in ast.walk(parse(path))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
