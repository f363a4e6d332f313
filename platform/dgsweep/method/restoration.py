"""Giving an image back from the last features of a network: for methods that learn from what they hid or corrupted."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from dgsweep.method.base import Method, Tap
from dgsweep.method.context import Context
from dgsweep.method.features import observe


def mean_inside(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of values (B, C, X, Y, Z) over the voxels of a mask (B, 1, X, Y, Z); 0 where it is empty."""
    return (values * mask).sum() / (mask.sum() * values.shape[1]).clamp_min(1)


@dataclass(kw_only=True)
class RestoringMethod(Method):
    """Base of methods with a point-wise head that makes an image of the decoder's last features."""

    def taps(self) -> Mapping[str, Tap]:
        """Look at the last features of the decoder."""
        return {"decoded": observe}

    def setup(self, ctx: Context) -> None:
        """A head from the features of a voxel to its intensity in each channel."""
        channels = ctx.tap_channels("decoded")
        ctx.add_module("restorer", nn.Conv3d(channels, ctx.method.in_channels(1), 1))

    def restored(self, ctx: Context, image: Tensor) -> Tensor:
        """What network and head make of an image (B, C, X, Y, Z): the same shape, float32. One forward pass."""
        ctx.forward(image)
        restored: Tensor = ctx.modules["restorer"](ctx.features["decoded"].float())
        return restored
