"""Every installed backbone passes the public conformance suite, and a planted lie is found by its check."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from dgsweep.config.declaration import NetworkDeclaration
from dgsweep.method.catalog import network_declarations
from dgsweep.networks.base import NetworkTask, SegmentationNetwork
from dgsweep.networks.conformance import check
from dgsweep.networks.slices import slice_wise
from dgsweep.networks.small import implementation_of, make_network, smallest_patch


@pytest.mark.parametrize("name", sorted(network_declarations()))
def test_an_installed_backbone_is_what_its_declaration_says(name):
    assert [result for result in check(network_declarations()[name]) if result.outcome == "failed"] == []


class Plain(nn.Module):
    """Two convolutions with a norm; what is wrong with it is chosen by `fault`."""

    def __init__(self, task: NetworkTask, *, fault: str = "", dims: int = 3) -> None:
        super().__init__()
        convolution, norm = (nn.Conv3d, nn.InstanceNorm3d) if dims == 3 else (nn.Conv2d, nn.InstanceNorm2d)
        self.fault = fault
        self.first = convolution(task.in_channels, 4, 3, padding=1)
        self.norm = norm(4, affine=True)
        self.block = nn.LeakyReLU()
        self.unused = nn.Linear(2, 2) if fault == "unused" else nn.Identity()
        self.dropout = nn.Dropout(0.5)
        self.last = convolution(4, task.n_classes, 1)
        if fault == "global":
            torch.rand(1)

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        feature = self.block(self.norm(self.first(image)))
        if self.fault == "dropout":
            feature = nn.functional.dropout(feature, 0.5, training=True)
        if self.fault == "batch":
            feature = feature + feature.mean(dim=0, keepdim=True)
        if self.fault == "deaf tap":
            self.dropout(feature)
        logits = self.last(feature)
        return logits[..., :-1] if self.fault == "cropped" else logits


def taps_of(core: Plain) -> dict[str, nn.Module]:
    names = ("stem", "enc0.pre_norm", "enc0", "enc1", "bottleneck", "dec0", "decoded")
    taps = dict(zip(names, [core.first, core.first, *[core.block] * 5], strict=True))
    if core.fault in ("silent tap", "deaf tap"):
        taps["enc1"] = core.dropout
    if core.fault == "no tap":
        del taps["bottleneck"]
    return taps


def volumes(fault: str = ""):
    return lambda task: SegmentationNetwork(core := Plain(task, fault=fault), taps_of(core))


def slices(fault: str = ""):
    return lambda task: slice_wise(core := Plain(task, fault=fault, dims=2), taps_of(core))


honest = volumes()
flat = slices()
FAULTS = {
    fault: volumes(fault) for fault in ("unused", "dropout", "batch", "cropped", "silent tap", "no tap", "deaf tap")
}
for number, builder in enumerate(FAULTS.values()):
    globals()[f"fault{number}"] = builder


def seedless(task: NetworkTask) -> SegmentationNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.seed()
        return honest(task)


def declare(implementation: str, **changes) -> NetworkDeclaration:
    plain = NetworkDeclaration(
        name="planted", recipe_version=1, summary="", implementation=f"{__name__}:{implementation}"
    )
    return replace(plain, patch_multiple=(4, 4, 4), **changes)


def failed(declaration: NetworkDeclaration) -> set[str]:
    return {result.check for result in check(declaration) if result.outcome == "failed"}


@pytest.mark.parametrize(("implementation", "dims"), [("honest", 3), ("flat", 2)])
def test_an_honest_backbone_of_a_stranger_passes_every_check(implementation, dims):
    assert failed(declare(implementation, dims=dims)) == set()


@pytest.mark.parametrize(
    ("implementation", "changes", "check_name"),
    [
        ("fault0", {}, "gradients"),
        ("fault1", {}, "prediction"),
        ("fault2", {}, "prediction"),
        ("fault3", {}, "planned patches"),
        ("fault4", {}, "taps"),
        ("fault5", {}, "taps"),
        ("fault6", {}, "taps"),
        ("seedless", {}, "seeds"),
        ("honest", {"dims": 2}, "dimensions"),
        ("flat", {"dims": 3}, "dimensions"),
        ("honest", {"affine_norms": False}, "norms"),
        ("nowhere", {}, "state"),
    ],
)
def test_a_planted_lie_is_found_by_its_check(implementation, changes, check_name):
    assert check_name in failed(declare(implementation, **changes))


def test_a_tap_of_a_2d_network_shows_and_changes_whole_volumes():
    declaration = declare("flat", dims=2)
    patch = smallest_patch(declaration)
    network = make_network(declaration, patch).eval()
    image = torch.randn(2, 2, *patch)
    plain = network(image)[0]
    shown = []
    handle = network.taps["enc0"].register_forward_hook(lambda _m, _i, out: shown.append(out) or out.flip(-1))
    turned = network(image)[0]
    assert shown[0].shape == (2, 4, *patch)
    assert torch.equal(turned, plain.flip(-1))  # the last layer is 1x1, so turning features turns logits
    assert not torch.equal(turned, plain)
    handle.remove()
    assert implementation_of(declaration) is flat
