"""Declaration of `unet_tiny`."""

from dgsweep.config.declaration import Hyperparameter, NetworkDeclaration

DECLARATION = NetworkDeclaration(
    name="unet_tiny",
    recipe_version=1,
    summary="MONAI's residual U-Net, 4 levels; downsamples in its first convolution, so 4 to 5 times faster on a CPU.",
    implementation="dgsweep.networks.unet_tiny.network:build",
    paper="Kerfoot et al., Left-ventricle quantification using residual U-Net, STACOM 2018",
    options={
        "width": Hyperparameter(default=16, low=4, high=64, help="channels of the first level"),
        "levels": Hyperparameter(default=4, low=2, high=6, help="resolutions"),
        "residual_units": Hyperparameter(default=1, low=0, high=4, help="residual convolutions per level"),
    },
    patch_multiple=(8, 8, 8),
    levels_option="levels",
    affine_norms=False,
    least_voxels=2,
    source="MONAI UNet",
    small={"width": 4},
)
