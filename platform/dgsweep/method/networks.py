"""Parts of a network that methods single out."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

NORMS = (nn.modules.instancenorm._InstanceNorm, nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm)


def norm_parameters(network: nn.Module) -> list[nn.Parameter]:
    """Scale and shift of every norm layer that has them."""
    norms = [module for module in network.modules() if isinstance(module, NORMS)]
    return [parameter for norm in norms for parameter in norm.parameters(recurse=False)]


def require_norm_parameters(network: nn.Module, method: str) -> None:
    """Raise ValueError where a method would find no scale and shift to adapt."""
    if not norm_parameters(network):
        raise ValueError(f"{method} needs norm layers with scale and shift, and this network has none")


@runtime_checkable
class Denoiser(Protocol):
    """What a network that removes noise from masks (`NetworkDeclaration.denoises`) has beside its `forward`."""

    @property
    def n_classes(self) -> int:
        """Channels of a noisy mask, and of the output."""

    def conditioned(self, noisy: Tensor, step: Tensor) -> AbstractContextManager[None]:
        """Inside, the network gives the noise in `noisy` (B, K+1, X, Y, Z); `step` (B, Z) is that of each slice."""


def require_denoiser(network: nn.Module, method: str) -> Denoiser:
    """The network as a denoiser. Raises ValueError where it cannot be told a noisy mask."""
    if not isinstance(network, Denoiser):
        raise ValueError(f"{method} needs a network that removes noise from a mask, such as medsegdiff")
    return network


@contextmanager
def evaluating(*networks: nn.Module) -> Iterator[None]:
    """Networks in evaluation mode; afterwards each of their modules is in the mode that it was in."""
    modes = {module: module.training for network in networks for module in network.modules()}
    for network in networks:
        network.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
