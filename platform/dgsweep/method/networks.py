"""Parts of a network that methods single out."""

from torch import nn

NORMS = (nn.modules.instancenorm._InstanceNorm, nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm)


def norm_parameters(network: nn.Module) -> list[nn.Parameter]:
    """Scale and shift of every norm layer that has them."""
    norms = [module for module in network.modules() if isinstance(module, NORMS)]
    return [parameter for norm in norms for parameter in norm.parameters(recurse=False)]


def require_norm_parameters(network: nn.Module, method: str) -> None:
    """Raise ValueError where a method would find no scale and shift to adapt."""
    if not norm_parameters(network):
        raise ValueError(f"{method} needs norm layers with scale and shift, and this network has none")
