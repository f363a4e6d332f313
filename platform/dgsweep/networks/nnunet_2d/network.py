"""nnU-Net's plain 2D U-Net: MONAI's DynUNet with the topology planned in plane."""

from dgsweep.networks.base import NetworkTask, SegmentationNetwork
from dgsweep.networks.planned import planned_taps, planned_topology, planned_unet
from dgsweep.networks.slices import in_plane, slice_wise

MAX_POOLINGS_2D = 7
"""nnU-Net plans this many for slices of 512 x 512."""


def build(task: NetworkTask) -> SegmentationNetwork:
    """Build the network; taps are `stem`, `enc<i>`, `enc<i>.pre_norm`, `bottleneck`, `dec<i>` and `decoded`.

    Raises:
        PlanError: the slices of the patch cannot be halved twice.
    """
    topology = planned_topology("nnunet_2d", in_plane(task.patch), task.spacing_mm[:2], most=MAX_POOLINGS_2D)
    core = planned_unet(task, topology)
    return slice_wise(core, planned_taps(core))
