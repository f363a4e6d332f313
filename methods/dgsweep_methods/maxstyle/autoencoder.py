"""The image autoencoder of MaxStyle, with three places in its decoder where a style may be changed."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

Restyle = Callable[[int, Tensor], Tensor]
"""Place (0, 1, 2) and feature map (B, C, X, Y, Z) -> feature map."""
PLACES = 3


class Autoencoder(nn.Module):
    """Reconstructs each channel of an image on its own, at half the resolution inside; no norms, which undo styles.

    Args:
        width: channels of the first layer.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.widths = (2 * width, width, width)
        """Channels at each place of the decoder."""
        self.shallow = nn.Conv3d(1, width, 3, stride=2, padding=1)
        self.code = nn.Conv3d(width, 2 * width, 3, padding=1)
        self.coarse = nn.Conv3d(2 * width, width, 3, padding=1)
        self.fine = nn.Conv3d(width, width, 3, padding=1)
        self.last = nn.Conv3d(width, 1, 1)
        for layer in (self.shallow, self.code, self.coarse, self.fine, self.last):
            nn.init.kaiming_normal_(layer.weight, a=0.01)  # without norms, torch's own start would shrink the signal

    def encode(self, image: Tensor) -> Tensor:
        """Code of an image: (B, C, X, Y, Z) -> (B * C, 2 width, X / 2, Y / 2, Z / 2), rounded up."""
        channels = image.reshape(-1, 1, *image.shape[2:])
        return functional.leaky_relu(self.code(functional.leaky_relu(self.shallow(channels))))

    def decode(self, code: Tensor, shape: torch.Size, restyle: Restyle = lambda _, feature: feature) -> Tensor:
        """Image of the given shape from a code, each place of the decoder passed through `restyle`."""
        flow = functional.leaky_relu(self.coarse(restyle(0, code)))
        flow = functional.interpolate(restyle(1, flow), size=shape[2:], mode="trilinear")
        flow = functional.leaky_relu(self.fine(flow))
        image: Tensor = self.last(restyle(2, flow))
        return image.reshape(shape)
