"""Declaration of `vnet`."""

from dgsweep.config.declaration import Hyperparameter, NetworkDeclaration

DECLARATION = NetworkDeclaration(
    name="vnet",
    recipe_version=1,
    summary="MONAI's V-Net: residual stages of 5x5x5 convolutions with batch norm, five resolutions.",
    implementation="dgsweep.networks.vnet.network:build",
    paper="Milletari et al., V-Net, 3DV 2016",
    source="MONAI VNet",
    options={
        "width": Hyperparameter(default=16, low=4, high=32, help="channels of the first level", source="paper"),
        "activation": Hyperparameter(
            default="elu", choices=("elu", "prelu"), help="after each convolution", source="MONAI; the paper has prelu"
        ),
        "dropout": Hyperparameter(
            default=0.5,
            low=0.0,
            high=0.9,
            help="share of whole channels dropped at the two lowest encoder stages and on every skip",
            source="MONAI; the paper has none",
        ),
    },
    small={"width": 4},
    patch_multiple=(16, 16, 16),
    least_voxels=2,
    batch_norms=True,
)
