"""Declaration of `mednext`."""

from dgsweep.config.declaration import Hyperparameter, NetworkDeclaration

DECLARATION = NetworkDeclaration(
    name="mednext",
    recipe_version=1,
    summary="MedNeXt: a U-Net of ConvNeXt blocks (depthwise convolution, expansion, compression), deep supervision.",
    implementation="dgsweep.networks.mednext.network:build",
    paper="Roy et al., MedNeXt, MICCAI 2023",
    source="MONAI MedNeXt, its downsampling blocks after github.com/MIC-DKFZ/MedNeXt",
    options={
        "size": Hyperparameter(default="S", choices=("S", "B", "M", "L"), help="blocks and expansions", source="paper"),
        "kernel": Hyperparameter(default=3, choices=(3, 5), help="of the depthwise convolutions", source="paper"),
        "width": Hyperparameter(default=32, low=4, high=64, help="channels of the first level", source="paper"),
    },
    small={"width": 4},
    patch_multiple=(16, 16, 16),
    least_voxels=2,
)
