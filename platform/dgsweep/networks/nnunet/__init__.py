"""Declaration of `nnunet`."""

from dgsweep.config.declaration import Hyperparameter, NetworkDeclaration

DECLARATION = NetworkDeclaration(
    name="nnunet",
    recipe_version=1,
    summary="nnU-Net's plain 3D U-Net (MONAI DynUNet), topology planned from patch and spacing, deep supervision.",
    implementation="dgsweep.networks.nnunet.network:build",
    paper="Isensee et al., nnU-Net, Nature Methods 2021",
    options={
        "width": Hyperparameter(default=32, low=4, high=64, help="channels of the first level"),
        "max_width": Hyperparameter(default=320, low=16, high=512, help="channels at most"),
    },
    patch_multiple=(4, 4, 4),
    least_patch=(16, 16, 4),
    source="MONAI DynUNet",
    small={"width": 4},
)
