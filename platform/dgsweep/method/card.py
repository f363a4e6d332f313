"""Cards: the README.md beside the implementation of a method or a backbone."""

from importlib.resources import files

from dgsweep.config.declaration import MethodDeclaration, NetworkDeclaration


def read_card(declaration: MethodDeclaration | NetworkDeclaration) -> str:
    """Text of the card, or the summary where the package ships none."""
    package = declaration.implementation.partition(":")[0].rpartition(".")[0]
    card = files(package) / "README.md" if package else None
    if card is not None and card.is_file():
        return card.read_text(encoding="utf-8")
    return f"# {declaration.name}\n\n{declaration.summary}\n"
