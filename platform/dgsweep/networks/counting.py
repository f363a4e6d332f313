"""What a backbone costs: parameters, multiply-accumulates, and what the backward pass must keep, without computing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from dgsweep.networks.base import NetworkTask, SegmentationNetwork

FLOPS_MEAN = (
    "one multiply-accumulate of a convolution, linear layer or attention product counts 1 and a normalised element 5 "
    "(the convention of fvcore, in which the papers count); one forward pass of one patch, batch 1"
)
MEMORY_MEANS = "bytes that one float32 patch, batch 1, in training keeps for the backward pass, weights not counted"
NORM_COST = 5
"""Of one element of an instance, layer, group or batch norm, in multiply-accumulates (fvcore)."""
aten: Any = torch.ops.aten


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one patch costs; see FLOPS_MEAN and MEMORY_MEANS."""

    flops: int
    activation_bytes: int
    taps: Mapping[str, tuple[int, ...]]
    """Tap name -> (C, X, Y, Z) of its feature map."""


def cost(network: SegmentationNetwork, task: NetworkTask, *, deep_supervision: bool = False) -> Cost:
    """Trace one patch through the network on fake tensors: shapes only, no arithmetic, hardly any memory.

    Args:
        network: as built for `task`; it is left as it was.
        task: gives input channels and patch.
        deep_supervision: count the outputs that only training has, too.
    """
    was_training, buffers = network.training, {name: value.clone() for name, value in network.named_buffers()}
    shapes: dict[str, tuple[int, ...]] = {}
    handles = [_watch(name, tap, shapes) for name, tap in network.taps.items()]
    with FakeTensorMode(allow_non_fake_inputs=True):
        image = torch.zeros(1, task.in_channels, *task.patch)
        counter = FlopCounterMode(display=False, custom_mapping=FORMULAS)
        with torch.no_grad(), counter:
            network.train(deep_supervision)(image)
        kept = _kept_bytes(network.train(), image)
    for handle in handles:
        handle.remove()
    network.train(was_training)
    for name, value in network.named_buffers():  # a batch norm counts its batches, traced or not
        value.copy_(buffers[name])
    return Cost(flops=counter.get_total_flops() // 2, activation_bytes=kept, taps=shapes)


def _watch(name: str, tap: nn.Module, shapes: dict[str, tuple[int, ...]]) -> Any:
    def note(_module: nn.Module, _input: Any, output: Tensor) -> None:
        shapes[name] = tuple(int(side) for side in output.shape[1:])

    return tap.register_forward_hook(note)


def _kept_bytes(network: nn.Module, image: Tensor) -> int:
    """Size of the distinct storages that autograd saves, parameters left out."""
    own = {id(parameter) for parameter in network.parameters()}
    storages: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        base = tensor if tensor._base is None else tensor._base
        if id(base) not in own:
            storage = tensor.untyped_storage()
            storages[storage._cdata] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        outputs = network(image)
    del outputs
    return sum(storages.values())


def _norm_flops(shape: Any, *_: Any, **__: Any) -> int:
    return 2 * NORM_COST * int(torch.Size(shape).numel())


def _attention_flops(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return int(sdpa_flop_count(query, key, value))


FORMULAS = {
    aten.native_batch_norm: _norm_flops,
    aten._native_batch_norm_legit: _norm_flops,
    aten._native_batch_norm_legit_no_training: _norm_flops,
    aten.native_layer_norm: _norm_flops,
    aten.native_group_norm: _norm_flops,
    aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops,  # with heads; torch counts it on a GPU only
}
