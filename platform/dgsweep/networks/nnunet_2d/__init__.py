"""Declaration of `nnunet_2d`."""

from dgsweep.config.declaration import Hyperparameter, NetworkDeclaration

PAPER = "Isensee et al., nnU-Net, Nature Methods 2021"

DECLARATION = NetworkDeclaration(
    name="nnunet_2d",
    recipe_version=1,
    summary="nnU-Net's plain 2D U-Net (MONAI DynUNet), slice by slice, topology planned in plane, deep supervision.",
    implementation="dgsweep.networks.nnunet_2d.network:build",
    paper=PAPER,
    source="MONAI DynUNet",
    dims=2,
    options={
        "width": Hyperparameter(default=32, low=4, high=64, help="channels of the first level", source=PAPER),
        "max_width": Hyperparameter(default=512, low=16, high=512, help="channels at most", source=PAPER),
    },
    patch_multiple=(4, 4, 1),
    planned_halvings=4,
    least_patch=(16, 16, 1),
    small={"width": 4},
)
