"""Amplitude mixing against a full complex transform in numpy with a shifted box, one volume at a time."""

import numpy as np
import pytest
import torch

from dgsweep.method.amplitude import low_frequencies, mix_amplitude


def images(seed: int, shape=(8, 6, 7)) -> torch.Tensor:
    return torch.randn(2, 2, *shape, generator=torch.Generator().manual_seed(seed)).cumsum(dim=2)


def to_unit(volume):
    return (volume - volume.min()) / (volume.max() - volume.min())


def reference(volume, other, share, extent):
    """Shift the zero frequency to the middle, mix inside the box about it, shift back."""
    spectrum, foreign = (np.fft.fftshift(np.fft.fftn(to_unit(one))) for one in (volume, other))
    amplitude = np.abs(spectrum)
    box = tuple(
        slice(max(0, size // 2 - int(extent * size)), size // 2 + int(extent * size) + 1) for size in volume.shape
    )
    amplitude[box] = (1 - share) * amplitude[box] + share * np.abs(foreign)[box]
    mixed = np.real(np.fft.ifftn(np.fft.ifftshift(amplitude * np.exp(1j * np.angle(spectrum)))))
    return np.clip(mixed, 0, 1) * (volume.max() - volume.min()) + volume.min()


@pytest.mark.parametrize("extent", [0.0, 0.15, 0.3, 0.5])
@pytest.mark.parametrize("shape", [(8, 6, 7), (6, 6, 8)])
def test_the_batched_mix_equals_the_transform_of_each_volume(extent, shape):
    image, other, share = images(0, shape), images(1, shape) * 3 + 5, torch.tensor([0.3, 0.9])
    mixed = mix_amplitude(image, other, share, extent)
    expected = [
        [reference(image[b, c].double().numpy(), other[b, c].double().numpy(), float(share[b]), extent) for c in (0, 1)]
        for b in (0, 1)
    ]
    torch.testing.assert_close(mixed, torch.tensor(np.array(expected)).float(), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(mixed, mix_amplitude(image, other, share.flip(0), extent), atol=1e-2)


def test_share_zero_gives_the_image_back():
    image, other = images(0), images(1)
    torch.testing.assert_close(mix_amplitude(image, other, torch.zeros(2), 0.5), image, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(mix_amplitude(image, other, torch.ones(2), 0.5), image, atol=1e-1)


def test_the_box_holds_the_zero_frequency_alone_at_extent_zero_and_everything_at_one_half():
    shape, device = torch.Size((8, 6, 7)), torch.device("cpu")
    assert int(low_frequencies(shape, 0.0, device).sum()) == 1
    assert low_frequencies(shape, 0.0, device)[0, 0, 0] == 1
    assert bool((low_frequencies(shape, 0.5, device) == 1).all())
    assert low_frequencies(shape, 0.5, device).shape == torch.fft.rfftn(torch.zeros(shape)).shape


def test_a_constant_patch_stays_constant_and_gives_no_nan_to_its_partner():
    constant = torch.full((2, 2, 8, 6, 7), 2.5)
    assert torch.equal(mix_amplitude(constant, images(0), torch.ones(2), 0.5), constant)
    assert bool(torch.isfinite(mix_amplitude(images(0), constant, torch.ones(2), 0.5)).all())
