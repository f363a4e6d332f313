"""nnunet: sizes and costs of the published plans, outputs at their own resolution, patches and spacings."""

import copy
import itertools

import pytest
import torch

from dgsweep.errors import PlanError
from dgsweep.method.losses import supervised_loss
from dgsweep.networks.base import NetworkTask, SegmentationNetwork
from dgsweep.networks.builder import build_network, count_parameters
from dgsweep.networks.counting import cost
from dgsweep.networks.nnunet import DECLARATION
from dgsweep.networks.planned import planned_topology
from dgsweep.networks.small import implementation_of, make_network


def task_of(generation: str, *, deep_supervision: bool = True, patch=(224, 224, 32), spacing_mm=(1.0, 1.0, 4.0)):
    return NetworkTask(
        in_channels=1, n_classes=2, patch=patch, spacing_mm=spacing_mm, deep_supervision=deep_supervision,
        options={"generation": generation},
    )  # fmt: skip


def build(task: NetworkTask) -> SegmentationNetwork:
    return build_network(DECLARATION, implementation_of(DECLARATION), task, seed=0)


def on_meta(task: NetworkTask) -> SegmentationNetwork:
    with torch.device("meta"):
        return build(task)


# PanSegNet's paper counts its nnU-Net baseline (v1, patch 224 x 224 x 32) as 30.97 M parameters and 549.6 G, without
# deep supervision. The digits behind them follow from the plan. v2: counted with dynamic-network-architectures 0.4.4.
@pytest.mark.parametrize(("generation", "parameters"), [("v1", 30_968_928), ("v2", 30_748_554)])
def test_the_published_plan_has_the_published_number_of_parameters(generation, parameters):
    assert count_parameters(on_meta(task_of(generation))) == parameters
    assert count_parameters(on_meta(task_of(generation, deep_supervision=False))) < parameters


@pytest.mark.parametrize(("deep_supervision", "giga"), [(False, 549.5976), (True, 549.6821)])
def test_the_published_plan_costs_what_the_paper_says(deep_supervision, giga):
    task = task_of("v1", deep_supervision=deep_supervision)
    assert round(cost(build(task), task, deep_supervision=deep_supervision).flops / 1e9, 4) == giga
    other = task_of("v2", deep_supervision=deep_supervision)
    assert cost(build(other), other, deep_supervision=deep_supervision).flops / 1e9 < giga - 50


def test_the_isotropic_plan_of_v2_has_the_parameters_of_plainconvunet():
    # 128 x 128 x 128 at 1 mm, one channel, two classes: counted with dynamic-network-architectures 0.4.4.
    task = task_of("v2", patch=(128, 128, 128), spacing_mm=(1.0, 1.0, 1.0))
    assert count_parameters(on_meta(task)) == 31_195_594


def test_outputs_halve_as_the_plan_pools_one_a_level_but_the_bottleneck():
    # 32 x 32 x 16 at 1, 1, 2 mm is pooled 2,2,1 then 2,2,2 then 2,2,2: four levels.
    network = build_network(
        DECLARATION,
        implementation_of(DECLARATION),
        NetworkTask(in_channels=2, n_classes=3, patch=(32, 32, 16), spacing_mm=(1.0, 1.0, 2.0), options={"width": 4}),
        seed=0,
    )
    outputs = network.train()(torch.randn(1, 2, 32, 32, 16))
    assert [tuple(out.shape[2:]) for out in outputs] == [(32, 32, 16), (16, 16, 16), (8, 8, 8)]
    assert [tuple(out.shape[2:]) for out in network.eval()(torch.randn(1, 2, 32, 32, 16))] == [(32, 32, 16)]


def test_a_network_in_training_can_be_copied_and_holds_no_graph_of_the_last_step():
    network = make_network(DECLARATION, (32, 32, 16)).train()
    outputs = network(torch.randn(1, 2, 32, 32, 16))
    twin = copy.deepcopy(network)
    assert count_parameters(twin) == count_parameters(network)
    assert len(outputs) > 1
    assert not any(head.requires_grad for head in network.core.heads)


def test_the_loss_reaches_all_outputs_but_the_coarsest():
    network = make_network(DECLARATION, (32, 32, 32)).train()
    supervised_loss(network(torch.randn(1, 2, 32, 32, 32)), torch.randint(3, (1, 32, 32, 32))).backward()
    silent = [name for name, value in network.named_parameters() if value.grad is None]
    assert silent == [f"core.deep_supervision_heads.1.conv.conv.{part}" for part in ("weight", "bias")]


def test_a_patch_that_cannot_be_halved_twice_is_refused():
    with pytest.raises(PlanError, match="too small for nnunet"):
        make_network(DECLARATION, (4, 4, 4))


def test_every_patch_that_planning_allows_has_a_topology_at_any_spacing():
    sides, millimetres = ((16, 20, 24, 48), (16, 28, 64), (4, 8, 20)), (0.5, 1.0, 2.0, 6.0)
    for patch, spacing in itertools.product(itertools.product(*sides), itertools.product(millimetres, repeat=3)):
        topology = planned_topology("nnunet", patch, spacing)
        assert len(topology.strides) >= 3
        assert all(side % step == 0 for side, step in zip(patch, topology.multiple, strict=True))
