"""Declaration of `unetr`."""

from dgsweep.config.declaration import Hyperparameter, NetworkDeclaration

DECLARATION = NetworkDeclaration(
    name="unetr",
    recipe_version=1,
    summary="MONAI's UNETR: a plain vision transformer on blocks of 16 voxels, a convolutional decoder reads it.",
    implementation="dgsweep.networks.unetr.network:build",
    paper="Hatamizadeh et al., UNETR, WACV 2022",
    source="MONAI UNETR",
    options={
        "feature_size": Hyperparameter(default=16, low=4, high=64, help="channels of the last level", source="paper"),
        "hidden_size": Hyperparameter(default=768, low=24, high=1024, help="channels of a token", source="paper"),
        "mlp_size": Hyperparameter(default=3072, low=24, high=4096, help="channels between", source="paper"),
        "heads": Hyperparameter(default=12, low=1, high=16, help="divides hidden_size", source="paper"),
    },
    small={"feature_size": 4, "hidden_size": 24, "mlp_size": 48, "heads": 2},
    patch_multiple=(16, 16, 16),
    least_voxels=2,
)
