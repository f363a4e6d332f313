"""Declaration of `attention_unet`."""

from dgsweep.config.declaration import Hyperparameter, NetworkDeclaration

DECLARATION = NetworkDeclaration(
    name="attention_unet",
    recipe_version=1,
    summary="MONAI's Attention U-Net: the decoder's features gate what each skip connection lets through.",
    implementation="dgsweep.networks.attention_unet.network:build",
    paper="Oktay et al., Attention U-Net: learning where to look for the pancreas, MIDL 2018",
    source="MONAI AttentionUnet",
    options={
        "width": Hyperparameter(default=16, low=4, high=64, help="channels of the first level", source="authors' code"),
        "levels": Hyperparameter(default=5, low=2, high=6, help="resolutions", source="authors' code"),
    },
    small={"width": 4, "levels": 3},
    patch_multiple=(16, 16, 16),
    levels_option="levels",
    least_voxels=2,
    batch_norms=True,
)
