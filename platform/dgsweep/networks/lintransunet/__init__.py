"""Declaration of `lintransunet`."""

from dgsweep.config.declaration import Hyperparameter, NetworkDeclaration

PAPER = "Zhang and Bagci, Dynamic linear transformer for 3D biomedical image segmentation, MLMI 2022"
CODE = "github.com/NUBagciLab/PaNSegNet, LinUNet"

DECLARATION = NetworkDeclaration(
    name="lintransunet",
    recipe_version=1,
    summary="LinTransUNet: a residual U-Net whose skips go through linear self-attention (deep) or a gate (shallow).",
    implementation="dgsweep.networks.lintransunet.network:build",
    paper=PAPER,
    source="ours, after the paper and github.com/NUBagciLab/PaNSegNet; residual blocks are MONAI's UnetResBlock",
    options={
        "width": Hyperparameter(
            default=32, choices=(8, 16, 24, 32, 48, 64), help="channels of the first level", source="nnU-Net v1's plan"
        ),
        "max_width": Hyperparameter(
            default=512, choices=(64, 128, 256, 320, 512), help="channels at most", source=CODE
        ),
        "attention": Hyperparameter(
            default="faithful",
            choices=("faithful", "corrected"),
            help="faithful: rows of attention sum to one over the root of a head's features; corrected: to 1",
            source=CODE,
        ),
        "init": Hyperparameter(
            default="independent",
            choices=("independent", "cloned"),
            help="cloned: all layers of a skip start equal, and so do their four matrices, as in the public code",
            source=CODE,
        ),
        "dropout": Hyperparameter(default=0.3, low=0.0, high=0.9, help="of the attention layers", source=CODE),
        "layers": Hyperparameter(default=8, low=1, high=16, help="attention layers of a skip", source=CODE),
        "attention_stages": Hyperparameter(
            default=2, low=0, high=5, help="deepest decoder stages with self-attention; the others gate", source=CODE
        ),
    },
    patch_multiple=(4, 4, 4),
    planned_halvings=4,
    least_patch=(16, 16, 4),
    small={"width": 8, "layers": 2, "attention_stages": 1},
)
