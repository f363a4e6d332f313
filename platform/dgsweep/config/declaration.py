"""What a method or network plugin says of itself, without importing torch, so that planning stays light."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Scalar = bool | int | float | str
HyperparameterValue = Scalar | tuple[Scalar, ...]


@dataclass(frozen=True, kw_only=True)
class Hyperparameter:
    """One field of a method: its default, what is allowed, and where the default comes from."""

    default: HyperparameterValue
    low: float | None = None
    """Smallest allowed value (inclusive)."""
    high: float | None = None
    """Largest allowed value (inclusive)."""
    choices: tuple[HyperparameterValue, ...] | None = None
    """The only allowed values."""
    help: str = ""
    source: str = ""
    """Paper or code from which the default was taken."""


@dataclass(frozen=True, kw_only=True)
class Requires:
    """What a method needs from the platform; the planner refuses a cell that cannot give it."""

    trainable: bool = True
    min_source_domains: int = 1
    min_batch_domains: int = 1
    """Least number of source domains in each worker's share of a batch; the class says the same in `batch_spec`."""
    unlabelled: Literal["none", "source", "target"] = "none"
    prompts: Literal["none", "box", "point"] = "none"
    protocols: tuple[str, ...] = ()
    """Names of the prompt protocols that a promptable method takes: `dgsweep.config.prompt_protocol.PROTOCOLS`."""
    phase: Literal["train", "pretrain"] = "train"
    reads_target: bool = False
    contrast_inversion: Literal["yes", "no"] = "no"
    """Whether the training input can show the structures with inverted contrast."""
    affine_norms: bool = False
    """Whether it adapts scale and shift of norm layers, so that the network must have some."""
    no_batch_norms: bool = False
    """Whether running statistics would no longer fit the weights that it ends with."""
    min_validations: int = 0
    """Least number of source validations within the budget, the last one included."""
    test_time: bool = False
    """Whether it changes the network for each test case, from that case's image alone."""
    denoiser: bool = False
    """Whether the network must be one that removes noise from a mask (`NetworkDeclaration.denoises`)."""


@dataclass(frozen=True, kw_only=True)
class MethodDeclaration:
    """The torch-free face of a method: what an entry point of the group `dgsweep.methods` points to."""

    name: str
    recipe_version: int
    """Raise it whenever the same hyperparameters would give other numbers: it enters every trial id."""
    summary: str
    implementation: str
    """`package.module:Class`, imported only where a trial runs."""
    paper: str = ""
    requires: Requires = field(default_factory=Requires)
    hyperparameters: Mapping[str, Hyperparameter] = field(default_factory=dict)
    variants: tuple[str, ...] = ()
    """Such as `paper` and `as_shipped`; the first is the default. The class then has a field `variant`. Without any,
    `variant` in a sweep file is a free label."""
    forward_passes_per_step: float = 1.0
    identity: Mapping[str, HyperparameterValue] | None = None
    """Hyperparameters under which the method must equal ERM bit for bit."""
    no_identity_reason: str = ""
    """Why there is no identity setting, where there is none."""
    own_test: str = ""
    """What the method claims: `zero_on_identical_domains`, `depends_on_domain_ids`, `closed_form`, or ''."""


@dataclass(frozen=True, kw_only=True)
class NetworkDeclaration:
    """The torch-free face of a backbone: what an entry point of the group `dgsweep.networks` points to."""

    name: str
    recipe_version: int
    summary: str
    implementation: str
    """`package.module:function`; called with a `NetworkTask`, returns a `SegmentationNetwork`."""
    paper: str = ""
    source: str = ""
    """Whose code it is: a library with its class, or ours and after what it was written."""
    pretrained: str = ""
    """What the paper starts from and this platform does not have; empty where it trains from scratch, as we do."""
    dims: Literal[2, 3] = 3
    """2 where every slice along z is predicted by itself."""
    options: Mapping[str, Hyperparameter] = field(default_factory=dict)
    small: Mapping[str, HyperparameterValue] = field(default_factory=dict)
    """Options of the smallest sensible build, on which the conformance suite works quickly."""
    patch_multiple: tuple[int, int, int] = (1, 1, 1)
    """Each axis of the patch must be a multiple of this (x, y, z)."""
    least_patch: tuple[int, int, int] = (1, 1, 1)
    """Each axis of the patch must have at least this many voxels (x, y, z)."""
    least_voxels: int = 1
    """Voxels that patch / multiple must leave: 2 where an instance norm sits at the lowest resolution of a volume."""
    planned_halvings: int = 0
    """Planned sides are floored so that they can be halved this often, as far as a quarter of them has a voxel left:
    for a topology that pools only where sides stay whole."""
    planned_side: int = 128
    """Side at most of a patch that is planned from the data."""
    planned_voxels: int = 128 * 128 * 64
    """Voxels at most of a patch that is planned from the data."""
    levels_option: str = ""
    """The option that counts resolutions, where each halves every axis; the multiple then follows from it."""
    affine_norms: bool = True
    """Whether its norm layers have a scale and a shift."""
    batch_norms: bool = False
    """Whether it keeps running statistics of its features."""
    denoises: bool = False
    """Whether it can be told a noisy mask to clean: it is a `dgsweep.method.networks.Denoiser`."""
    licence: str = "Apache-2.0"

    def multiple_with(self, options: Mapping[str, Any]) -> tuple[int, int, int]:
        """Each axis of the patch must be a multiple of this (x, y, z) when the network is built with `options`."""
        if not self.levels_option:
            return self.patch_multiple
        return (2 ** (int(options[self.levels_option]) - 1),) * 3
