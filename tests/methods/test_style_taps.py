"""Where a change of feature statistics survives the norms of a network, and where it is undone."""

import pytest
import torch
from torch import nn

from dgsweep.method.catalog import load_implementation, network_declaration
from dgsweep.method.style import Style, restyle, style_of
from dgsweep.networks.base import NetworkTask, SegmentationNetwork
from dgsweep.networks.builder import build_network
from dgsweep_methods.csu.method import perturb_styles as csu
from dgsweep_methods.dsu.method import perturb_styles as dsu
from dgsweep_methods.mixstyle.method import mix_styles

SMALL = {"nnunet": {"width": 4}, "segresnet": {"width": 8}, "unet_tiny": {"width": 4}}
UNDONE, SURVIVES = 1e-3, 1e-2
"""Relative change of the logits. Measured with 8 to 16 channels: up to 0.00001 and 0.05 to 0.25."""


def stream():
    return torch.Generator().manual_seed(1)


PERTURBATIONS = {
    "mixstyle": lambda x: mix_styles(x, torch.tensor([1, 2, 3, 0]), torch.full((4,), 0.3)),
    "dsu": lambda x: dsu(x, torch.randn(2, *x.shape[:2], 1, 1, 1, generator=stream())),
    "csu": lambda x: csu(x, torch.ones(4), torch.randn(2, 4, 4, generator=stream())),
}


def styled_images(shape=(32, 32, 16)) -> torch.Tensor:
    """Four z-scored images that differ in histogram: a ball, bright or dark, of growing size, noise and shading."""
    axes = torch.meshgrid(*[torch.linspace(-1, 1, side) for side in shape], indexing="ij")
    radius, generator = sum(axis**2 for axis in axes), stream()
    images = [
        (1.5 if i % 2 else -2.0) * (radius < 0.2 + 0.1 * i).float()
        + (0.3 + 0.2 * i) * torch.randn(shape, generator=generator)
        + 0.5 * i * axes[0]
        for i in range(4)
    ]
    plain = Style(torch.zeros(4, 1, 1, 1, 1), torch.ones(4, 1, 1, 1, 1))
    image = torch.stack(images)[:, None]
    return restyle(image, style_of(image), plain)


def change(found: torch.Tensor, reference: torch.Tensor) -> float:
    return float((found - reference).norm() / reference.norm())


@pytest.fixture(scope="module", params=sorted(SMALL))
def network(request) -> SegmentationNetwork:
    declaration = network_declaration(request.param)
    task = NetworkTask(
        in_channels=1, n_classes=2, patch=(32, 32, 16), spacing_mm=(1.0, 1.0, 2.0), options=SMALL[request.param]
    )
    return build_network(declaration, load_implementation(declaration), task, seed=0).train()


@torch.no_grad()
def logits(network, image, tap=None, perturb=None) -> torch.Tensor:
    if tap is None:
        return network(image)[0]
    handle = network.taps[tap].register_forward_hook(lambda _module, _input, output: perturb(output))
    try:
        return network(image)[0]
    finally:
        handle.remove()


@pytest.mark.parametrize("name", sorted(PERTURBATIONS))
@pytest.mark.parametrize("tap", ["enc0", "enc1"])
def test_at_the_default_taps_the_change_reaches_the_logits_of_every_backbone(network, tap, name):
    image = styled_images()
    assert change(logits(network, image, tap, PERTURBATIONS[name]), logits(network, image)) > SURVIVES


@pytest.mark.parametrize("name", sorted(PERTURBATIONS))
@pytest.mark.parametrize("network", ["nnunet", "unet_tiny"], indirect=True)
def test_just_before_an_instance_norm_the_change_never_reaches_the_logits(network, name):
    image = styled_images()
    for tap in ("enc0.pre_norm", "enc1.pre_norm"):
        assert change(logits(network, image, tap, PERTURBATIONS[name]), logits(network, image)) < UNDONE


@pytest.mark.parametrize("name", sorted(PERTURBATIONS))
def test_three_places_around_an_affine_free_instance_norm(name):
    """After the norm no style is left to change; before it the norm undoes the change; a block later it stays."""
    perturb, image = PERTURBATIONS[name], styled_images()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        first, second = nn.Conv3d(1, 6, 3, padding=1), nn.Conv3d(6, 6, 3, padding=1)
    norm = nn.InstanceNorm3d(6, affine=False)
    with torch.no_grad():
        raw = first(image)
        before, after = perturb(raw), perturb(norm(raw))
        block = nn.functional.leaky_relu(norm(raw), 0.01)
        assert change(before, raw) > SURVIVES
        assert change(after, norm(raw)) < 5 * UNDONE  # DSU adds the 1e-3 that its epsilon leaves
        assert change(norm(before), norm(raw)) < UNDONE
        assert change(norm(second(perturb(block))), norm(second(block))) > SURVIVES
