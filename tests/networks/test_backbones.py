"""Every built-in backbone: shapes, gradients, taps, seeds."""

import subprocess
import sys

import pytest
import torch

from dgsweep.method.base import Method
from dgsweep.method.catalog import load_implementation, network_declaration, network_declarations
from dgsweep.method.context import Context
from dgsweep.method.losses import supervised_loss
from dgsweep.method.recipe import Recipe
from dgsweep.networks.base import NetworkTask, SegmentationNetwork
from dgsweep.networks.builder import build_network, count_parameters

NAMES = ["nnunet", "segresnet", "unet_tiny"]
SMALL = {"nnunet": {"width": 4}, "segresnet": {"width": 8}, "unet_tiny": {"width": 4}}


def build(name: str, *, seed: int = 0, patch=(32, 32, 16), n_classes=3, in_channels=2, **task) -> SegmentationNetwork:
    declaration = network_declaration(name)
    full = NetworkTask(
        in_channels=in_channels, n_classes=n_classes, patch=patch, spacing_mm=(1.0, 1.0, 2.0),
        **{"options": SMALL[name], **task},
    )  # fmt: skip
    return build_network(declaration, load_implementation(declaration), full, seed=seed)


class TwoChannels(Method):
    """Shows the network two channels."""

    def in_channels(self, image_channels: int) -> int:
        return 2 * image_channels


def weights(network: torch.nn.Module) -> torch.Tensor:
    return torch.cat([value.flatten() for value in network.parameters()])


def test_the_built_in_backbones_are_all_tested_here():
    assert set(NAMES) <= set(network_declarations())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("batch", [1, 2])
def test_the_finest_output_has_the_size_of_the_image_and_evaluation_has_no_other(name, batch):
    network = build(name)
    image = torch.randn(batch, 2, 32, 32, 16)
    outputs = network.train()(image)
    assert outputs[0].shape == (batch, 3, 32, 32, 16)
    assert all(output.shape[:2] == (batch, 3) for output in outputs)
    with torch.no_grad():
        assert [output.shape for output in network.eval()(image)] == [(batch, 3, 32, 32, 16)]


@pytest.mark.parametrize("name", NAMES)
def test_gradients_reach_every_parameter_but_the_head_that_the_loss_leaves_out(name):
    network = build(name).train()
    supervised_loss(network(torch.randn(2, 2, 32, 32, 16)), torch.randint(3, (2, 32, 32, 16))).backward()
    silent = [key for key, value in network.named_parameters() if value.grad is None or not value.grad.any()]
    unsupervised = [key for key in silent if "heads" in key]  # deep supervision: weight 0 for the coarsest output
    before_norm = [key for key in silent if key not in unsupervised]
    assert len(unsupervised) == (2 if name == "nnunet" else 0)
    assert before_norm == []


@pytest.mark.parametrize("name", NAMES)
def test_every_tap_fires_and_the_common_ones_are_there(name):
    network = build(name).train()
    assert {"stem", "enc0", "enc0.pre_norm", "enc1", "enc1.pre_norm", "bottleneck", "decoded"} <= set(network.taps)
    fired: set[str] = set()
    for tap, module in network.taps.items():
        module.register_forward_hook(lambda _module, _input, output, tap=tap: fired.add(tap))
    network(torch.randn(1, 2, 32, 32, 16))
    assert fired == set(network.taps)


@pytest.mark.parametrize("name", NAMES)
def test_the_channels_of_a_tap_are_known_before_the_first_step(name):
    network = build(name).train()
    ctx = Context(network, TwoChannels(), Recipe(budget_steps=1, patch=(32, 32, 16)), n_domains=2)
    found = {}
    for tap in ("bottleneck", "stem", "enc1"):
        network.taps[tap].register_forward_hook(lambda _m, _i, output, tap=tap: found.update({tap: output.shape[1]}))
    network(torch.randn(1, 2, 32, 32, 16))
    assert {tap: ctx.tap_channels(tap) for tap in found} == found
    with pytest.raises(ValueError, match="no tap 'nowhere'"):
        ctx.tap_channels("nowhere")


@pytest.mark.parametrize("name", NAMES)
def test_the_finest_logits_depend_on_the_decoded_features_at_the_same_voxel(name):
    network = build(name).eval()
    found = {}
    network.taps["decoded"].register_forward_hook(lambda _m, _i, output: found.update(feature=output))
    logits = network(torch.randn(1, 2, 32, 32, 16))[0]
    assert found["feature"].shape[2:] == logits.shape[2:]
    (gradient,) = torch.autograd.grad(logits[0, 0, 9, 8, 7], found["feature"])
    assert gradient[0, :, 9, 8, 7].any()
    gradient[0, :, 8:11, 7:10, 6:9] = 0.0
    assert not gradient.any()


@pytest.mark.parametrize("name", NAMES)
def test_a_pre_norm_tap_gives_features_that_no_norm_has_touched(name):
    network = build(name).train()
    found = {}
    network.taps["stem"].register_forward_hook(lambda _m, _i, output: found.update(feature=output))
    image = torch.randn(1, 2, 32, 32, 16)
    network(image)
    plain = found["feature"].clone()
    network(image + 3.0)
    moved = (found["feature"] - plain).mean(dim=(2, 3, 4)).abs().max()
    assert moved > 1e-2


@pytest.mark.parametrize("name", NAMES)
def test_equal_seeds_give_equal_weights_and_other_seeds_others(name):
    assert torch.equal(weights(build(name, seed=1)), weights(build(name, seed=1)))
    assert not torch.equal(weights(build(name, seed=1)), weights(build(name, seed=2)))


@pytest.mark.parametrize("name", NAMES)
def test_the_global_random_stream_is_neither_read_nor_moved(name):
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = weights(build(name))
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(6)
    assert torch.equal(weights(build(name)), first)


@pytest.mark.parametrize("name", NAMES)
def test_the_declaration_says_whether_norms_have_scale_and_shift(name):
    kinds = (torch.nn.InstanceNorm3d, torch.nn.GroupNorm, torch.nn.BatchNorm3d)
    norms = [module for module in build(name).modules() if isinstance(module, kinds)]
    assert norms
    assert {norm.weight is not None for norm in norms} == {network_declaration(name).affine_norms}


@pytest.mark.parametrize("name", NAMES)
def test_width_changes_the_number_of_parameters(name):
    wider = {"width": SMALL[name]["width"] * 2}
    assert count_parameters(build(name, options=wider)) > 2 * count_parameters(build(name))


@pytest.mark.parametrize("name", NAMES)
def test_the_smallest_patch_of_the_declaration_works(name):
    patch = tuple(2 * side for side in network_declaration(name).patch_multiple)
    patch = tuple(max(side, 16) for side in patch)
    assert build(name, patch=patch).eval()(torch.randn(1, 2, *patch))[0].shape == (1, 3, *patch)


def test_optional_packages_are_hidden_from_monai_only_while_it_is_imported():
    code = (
        "import sys, optuna;"
        "from dgsweep.networks.unet_tiny.network import build;"
        "hidden = 'pandas' not in sys.modules; kept = sys.modules['optuna'] is optuna;"
        "import pandas; print(hidden, kept, pandas.DataFrame is not None, None in sys.modules.values())"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["True", "True", "True", "False"]
