"""UNETR: published size, a position embedding for the patch, tokens as feature maps."""

import pytest
import torch
from torch import Tensor

from dgsweep.errors import PlanError
from dgsweep.networks.base import NetworkTask
from dgsweep.networks.builder import count_parameters
from dgsweep.networks.monai_import import without_optional_packages
from dgsweep.networks.small import make_network
from dgsweep.networks.unetr import DECLARATION
from dgsweep.networks.unetr.network import build

with without_optional_packages():
    from monai.networks.nets.unetr import UNETR


def count(patch: tuple[int, int, int]) -> int:
    options = {name: option.default for name, option in DECLARATION.options.items()}
    task = NetworkTask(in_channels=1, n_classes=14, patch=patch, spacing_mm=(1.0, 1.0, 1.0), options=options)
    with torch.device("meta"):
        return count_parameters(build(task))


def test_patch_96_and_fourteen_classes_give_the_published_number_of_parameters():
    # 92.78 M: MONAI's class in comparison tables. The paper's own table says 92.58 M.
    assert count((96, 96, 96)) == 92_784_046
    assert count((96, 96, 96)) / 1e6 == pytest.approx(92.58, abs=0.25)


def test_monais_class_has_norms_besides_that_nothing_reads():
    with torch.device("meta"):
        theirs = UNETR(in_channels=1, out_channels=14, img_size=96)
    unread = [name for name, _ in theirs.named_parameters() if "norm_cross_attn" in name]
    assert len(unread) == 2 * 12
    assert count_parameters(theirs) == count((96, 96, 96)) + 2 * 12 * 768


def test_the_position_embedding_has_a_row_for_each_token_of_the_patch():
    assert count((224, 224, 32)) - count((96, 96, 96)) == (14 * 14 * 2 - 6 * 6 * 6) * 768


@pytest.mark.parametrize("name", ["vit3", "bottleneck"])
def test_tokens_as_a_map_lie_as_monai_lays_them(name):
    network = make_network(DECLARATION, (32, 48, 16)).eval()
    module = network.core.vit.norm if name == "bottleneck" else network.core.vit.blocks[3]
    found: list[Tensor] = []
    module.register_forward_hook(lambda _m, _i, out: found.append(out))  # after the tap's own
    network.taps[name].register_forward_hook(lambda _m, _i, out: found.append(out))
    network(torch.randn(1, 2, 32, 48, 16))
    feature, tokens = found
    assert feature.shape == (1, 24, 2, 3, 1)
    assert torch.equal(feature, network.core.proj_feat(tokens))
    assert not torch.equal(feature.flip(2), network.core.proj_feat(tokens))


def test_heads_that_do_not_divide_the_hidden_size_are_refused():
    with pytest.raises(PlanError, match="multiple of heads 5"):
        make_network(DECLARATION, (32, 16, 16), options={"hidden_size": 24, "heads": 5})
