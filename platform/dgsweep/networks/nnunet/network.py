"""nnU-Net's plain 3D U-Net: MONAI's DynUNet with the planned topology."""

from dgsweep.networks.base import NetworkTask, SegmentationNetwork
from dgsweep.networks.planned import planned_taps, planned_topology, planned_unet


def build(task: NetworkTask) -> SegmentationNetwork:
    """Build the network; taps are `stem`, `enc<i>`, `enc<i>.pre_norm`, `bottleneck`, `dec<i>` and `decoded`.

    Raises:
        PlanError: the patch cannot be halved twice.
    """
    topology = planned_topology("nnunet", task.patch, task.spacing_mm)
    core = planned_unet(task, topology, generation=task.options["generation"])
    return SegmentationNetwork(core, planned_taps(core))
