"""Amplitude mixing in the Fourier domain: the style of one image on the shapes of another."""

import torch
from torch import Tensor

VOXELS = (2, 3, 4)


def mix_amplitude(image: Tensor, other: Tensor, share: Tensor, extent: float) -> Tensor:
    """Mix the amplitudes of `other` into those of `image`, whose phases stay; 3D transform, low frequencies only.

    A z-scored patch has no meaningful zero frequency, so both are brought to [0, 1] by their own range, and the result
    is clipped there and brought back to the range of `image`.

    Args:
        image: (B, C, X, Y, Z).
        other: the same shape.
        share: (B,) weight of the other's amplitude, 0 leaves the image as it is.
        extent: frequencies up to this share of each axis are mixed; 0 is the zero frequency alone, 0.5 the
            whole spectrum.
    """
    unit, low, span = _to_unit(image.float())
    spectrum, foreign = torch.fft.rfftn(unit, dim=VOXELS), torch.fft.rfftn(_to_unit(other.float())[0], dim=VOXELS)
    weight = share.view(-1, 1, 1, 1, 1) * low_frequencies(image.shape[2:], extent, image.device)
    amplitude = torch.lerp(spectrum.abs(), foreign.abs(), weight)
    mixed = torch.fft.irfftn(torch.polar(amplitude, spectrum.angle()), s=image.shape[2:], dim=VOXELS)
    return (mixed.clamp(0.0, 1.0) * span + low).to(image.dtype)


def low_frequencies(shape: torch.Size, extent: float, device: torch.device) -> Tensor:
    """(X, Y, Z // 2 + 1) of 0 and 1: a box around the zero frequency, in the order of `torch.fft.rfftn`."""
    x, y, z = (torch.fft.fftfreq(size, device=device).abs() <= extent for size in shape)
    return (x[:, None, None] & y[None, :, None] & z[None, None, : shape[2] // 2 + 1]).float()


def _to_unit(image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    low = image.amin(dim=VOXELS, keepdim=True)
    span = image.amax(dim=VOXELS, keepdim=True) - low
    return (image - low) / span.clamp(min=1e-7), low, span
