"""Finds methods and networks through entry points: built-in ones come through the same door as a stranger's."""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from dgsweep.config.composition import compose_declarations, part_names
from dgsweep.config.declaration import MethodDeclaration, NetworkDeclaration
from dgsweep.errors import MethodError

METHOD_GROUP = "dgsweep.methods"
NETWORK_GROUP = "dgsweep.networks"

BROKEN_IMPORT = (
    ImportError, AttributeError, SyntaxError, TypeError, ValueError, NameError, LookupError, OSError, RuntimeError,
)  # fmt: skip
"""What importing a broken module raises: `DECLARATION = MethodDeclaration(typo=1)` and the like."""

DeclarationT = TypeVar("DeclarationT", MethodDeclaration, NetworkDeclaration)


@cache
def method_declarations() -> Mapping[str, MethodDeclaration]:
    """Every installed method by name. Raises MethodError when an entry point is broken or a name stands twice."""
    return _load(METHOD_GROUP, MethodDeclaration)


@cache
def network_declarations() -> Mapping[str, NetworkDeclaration]:
    """Every installed network by name. Raises MethodError when an entry point is broken or a name stands twice."""
    return _load(NETWORK_GROUP, NetworkDeclaration)


def method_declaration(name: str) -> MethodDeclaration:
    """One method, or a composition such as `gin+swad`. Raises MethodError with the nearest installed name."""
    parts = [_pick(part, method_declarations(), "method") for part in part_names(name)]
    return compose_declarations(parts) if len(parts) > 1 else parts[0]


def declarations_for(names: Iterable[str]) -> Mapping[str, MethodDeclaration]:
    """Every installed method, and each composition among `names` whose parts are installed.

    Raises:
        MethodError: The parts of a composition collide. Only here does planning load implementations, and torch.
    """
    known = method_declarations()
    wanted = {name for name in names if len(part_names(name)) > 1 and set(part_names(name)) <= set(known)}
    compositions = {name: method_declaration(name) for name in sorted(wanted)}
    for declaration in compositions.values():
        build_method(declaration)
    return {**known, **compositions}


def build_method(
    declaration: MethodDeclaration, values: Mapping[str, Any] | None = None, variant: str | None = None
) -> Any:
    """The method with its defaults, some of them replaced, in its first variant unless told otherwise.

    Returns:
        A `dgsweep.method.base.Method`.
    """
    fields = {name: item.default for name, item in declaration.hyperparameters.items()} | dict(values or {})
    if declaration.variants:
        fields["variant"] = variant or fields.get("variant", declaration.variants[0])
    return load_implementation(declaration)(**fields)


def network_declaration(name: str) -> NetworkDeclaration:
    """One network. Raises MethodError with the nearest installed name."""
    return _pick(name, network_declarations(), "network")


def load_implementation(declaration: MethodDeclaration | NetworkDeclaration) -> Any:
    """The object that `implementation` names; this is where torch gets imported."""
    parts = part_names(declaration.name)
    if isinstance(declaration, MethodDeclaration) and len(parts) > 1:
        return _load_composition(parts)
    module_name, _, attribute = declaration.implementation.partition(":")
    try:
        return getattr(import_module(module_name), attribute)
    except BROKEN_IMPORT as error:
        cause = f"{type(error).__name__}: {error}"
        raise MethodError(f"{declaration.name}: cannot load {declaration.implementation!r}: {cause}") from error


def _load_composition(names: Sequence[str]) -> Any:
    from dgsweep.method.composition import composed

    parts = [method_declaration(name) for name in names]
    varied = next((part.name for part in parts if part.variants), "")
    return composed({part.name: load_implementation(part) for part in parts}, varied)


def _load(group: str, kind: type[DeclarationT]) -> dict[str, DeclarationT]:
    found: dict[str, DeclarationT] = {}
    for entry in sorted(entry_points(group=group), key=lambda point: point.name):
        if entry.name in found:
            raise MethodError(
                f"two installed packages offer {entry.name!r} in the entry-point group {group}: remove one"
            )
        found[entry.name] = _load_one(entry, kind)
    return found


def _load_one(entry: EntryPoint, kind: type[DeclarationT]) -> DeclarationT:
    try:
        declaration = entry.load()
    except BROKEN_IMPORT as error:
        cause = f"{type(error).__name__}: {error}"
        raise MethodError(f"entry point {entry.name} = {entry.value} cannot be loaded: {cause}") from error
    if not isinstance(declaration, kind) or declaration.name != entry.name:
        raise MethodError(f"entry point {entry.name} = {entry.value} is no {kind.__name__} named {entry.name!r}")
    return declaration


def _pick(name: str, known: Mapping[str, DeclarationT], kind: str) -> DeclarationT:
    if name in known:
        return known[name]
    nearest = get_close_matches(name, known, n=1)
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"installed: {', '.join(known)}"
    raise MethodError(f"no {kind} {name!r} is installed; {hint}")
