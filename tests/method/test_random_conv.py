"""Convolutions with a kernel for each sample, against a plain convolution sample by sample."""

import pytest
import torch
from torch.nn import functional

from dgsweep.method.random_conv import conv_per_sample


@pytest.mark.parametrize(("size", "channels", "out"), [(1, 1, 1), (3, 2, 4), (5, 1, 3)])
@pytest.mark.parametrize("with_bias", [True, False])
def test_each_sample_is_convolved_with_its_own_kernel(size, channels, out, with_bias):
    draw = torch.Generator().manual_seed(0)
    image = torch.randn(3, channels, 6, 5, 4, generator=draw)
    weight = torch.randn(3, out, channels, size, size, size, generator=draw)
    bias = torch.randn(3, out, generator=draw) if with_bias else None
    result = conv_per_sample(image, weight, bias)
    for sample in range(3):
        own = functional.conv3d(
            image[sample, None], weight[sample], None if bias is None else bias[sample], padding="same"
        )[0]
        torch.testing.assert_close(result[sample], own, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(result, conv_per_sample(image, weight.flip(0), bias), atol=1e-2)
