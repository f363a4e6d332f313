"""Declaration of `nnunet_resenc_m`."""

from dgsweep.config.declaration import Hyperparameter, NetworkDeclaration

PAPER = "Isensee et al., nnU-Net Revisited, MICCAI 2024 (arXiv 2404.09556)"
CODE = "dynamic-network-architectures ResidualEncoderUNet; nnU-Net v2 ResEncUNetPlanner"

DECLARATION = NetworkDeclaration(
    name="nnunet_resenc_m",
    recipe_version=1,
    summary="nnU-Net v2's residual encoder U-Net, preset M: as nnunet, with a much deeper encoder.",
    implementation="dgsweep.networks.nnunet_resenc_m.network:build",
    paper=PAPER,
    source="ours, after the paper and github.com/MIC-DKFZ/dynamic-network-architectures; convolutions from MONAI",
    options={
        "width": Hyperparameter(default=32, low=4, high=64, help="channels of the first level", source=CODE),
        "max_width": Hyperparameter(default=320, low=16, high=512, help="channels at most", source=CODE),
        "last_norm": Hyperparameter(
            default="zero",
            choices=("zero", "one"),
            help="scale of the last norm of a block at the start; zero: the block starts as its shortcut",
            source=CODE,
        ),
    },
    patch_multiple=(4, 4, 4),
    planned_halvings=4,
    least_patch=(16, 16, 4),
    small={"width": 4, "last_norm": "one"},
)
