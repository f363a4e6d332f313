"""Declaration of `pansegnet`."""

from dgsweep.config.declaration import Hyperparameter, NetworkDeclaration

PAPER = "Zhang et al., Large-scale multi-center CT and MRI segmentation of pancreas with deep learning, MedIA 2025"
CODE = "github.com/NUBagciLab/PaNSegNet, SelfAtten3DBlock"

DECLARATION = NetworkDeclaration(
    name="pansegnet",
    recipe_version=1,
    summary="PanSegNet: nnU-Net v1 with eight layers of linear self-attention on the bottleneck.",
    implementation="dgsweep.networks.pansegnet.network:build",
    paper=PAPER,
    source="MONAI DynUNet; the attention is ours, after the paper and github.com/NUBagciLab/PaNSegNet",
    options={
        "width": Hyperparameter(default=32, low=4, high=64, help="channels of the first level", source=PAPER),
        "max_width": Hyperparameter(default=320, low=16, high=512, help="channels at most", source=PAPER),
        "attention": Hyperparameter(
            default="faithful",
            choices=("faithful", "corrected"),
            help="faithful: rows of attention sum to 1/8, as in the public code; corrected: to 1, as the paper says",
            source=CODE,
        ),
        "init": Hyperparameter(
            default="independent",
            choices=("independent", "cloned"),
            help="cloned: all layers start equal, and so do their four matrices, as in the public code",
            source=CODE,
        ),
        "dropout": Hyperparameter(default=0.3, low=0.0, high=0.9, help="of the attention layers", source=CODE),
        "token_width": Hyperparameter(
            default=512, choices=(32, 64, 128, 256, 512, 1024), help="features of a token, on 8 heads", source=CODE
        ),
        "layers": Hyperparameter(default=8, low=1, high=16, help="attention layers", source=CODE),
    },
    patch_multiple=(4, 4, 4),
    planned_halvings=4,
    least_patch=(16, 16, 4),
    small={"width": 4, "token_width": 32, "layers": 2},
)
