"""The plugin contract. This module and the declarations are torch-free; `dgsweep.method.base` brings torch."""

from dgsweep.config.declaration import Hyperparameter, MethodDeclaration, NetworkDeclaration, Requires

__all__ = ["Hyperparameter", "MethodDeclaration", "NetworkDeclaration", "Requires"]
