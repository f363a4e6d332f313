"""What every method of a table shares: the optimisation, and the grid that patches are on."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What every method of a table shares: the optimisation, and the grid that the patches are on."""

    budget_steps: int
    optimizer: str = "sgd"
    learning_rate: float = 1e-2
    momentum: float = 0.99
    weight_decay: float = 3e-5
    schedule: str = "poly"
    grad_clip: float = 12.0
    autocast: bool = False
    seed: int = 0
    patch: tuple[int, int, int] | None = None
    """Voxels (x, y, z) of a training patch, for methods that cut patches at test time."""
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Size of a voxel of the patches, along x, y, z."""
