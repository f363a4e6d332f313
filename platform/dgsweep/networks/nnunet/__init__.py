"""Declaration of `nnunet`."""

from dgsweep.config.declaration import Hyperparameter, NetworkDeclaration

PAPER = "Isensee et al., nnU-Net, Nature Methods 2021"

DECLARATION = NetworkDeclaration(
    name="nnunet",
    recipe_version=2,
    summary="nnU-Net's plain 3D U-Net (MONAI DynUNet), topology planned from patch and spacing, deep supervision.",
    implementation="dgsweep.networks.nnunet.network:build",
    paper=PAPER,
    source="MONAI DynUNet",
    options={
        "width": Hyperparameter(default=32, low=4, high=64, help="channels of the first level", source=PAPER),
        "max_width": Hyperparameter(default=320, low=16, high=512, help="channels at most", source=PAPER),
        "generation": Hyperparameter(
            default="v2",
            choices=("v2", "v1"),
            help="v1: decoder kernels of the level below, no bias in transposed convolutions and outputs",
            source="dynamic-network-architectures PlainConvUNet; nnU-Net v1 Generic_UNet",
        ),
    },
    patch_multiple=(4, 4, 4),
    planned_halvings=4,
    least_patch=(16, 16, 4),
    small={"width": 4},
)
