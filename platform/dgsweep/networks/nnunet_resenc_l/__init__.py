"""Declaration of `nnunet_resenc_l`."""

from dataclasses import replace

from dgsweep.networks.nnunet_resenc_m import DECLARATION as PRESET_M

DECLARATION = replace(
    PRESET_M,
    name="nnunet_resenc_l",
    summary="nnU-Net v2's residual encoder U-Net, preset L: that of M, on planned patches three times as large.",
    implementation="dgsweep.networks.nnunet_resenc_l.network:build",
    planned_side=192,
    planned_voxels=3 * PRESET_M.planned_voxels,
)
