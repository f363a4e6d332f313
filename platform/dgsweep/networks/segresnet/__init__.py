"""Declaration of `segresnet`."""

from dgsweep.config.declaration import Hyperparameter, NetworkDeclaration

DECLARATION = NetworkDeclaration(
    name="segresnet",
    recipe_version=1,
    summary="MONAI's SegResNet: residual encoder with group norm, light decoder.",
    implementation="dgsweep.networks.segresnet.network:build",
    paper="Myronenko, 3D MRI brain tumor segmentation using autoencoder regularization, BrainLes 2018",
    options={"width": Hyperparameter(default=16, low=8, high=64, help="channels of the first level")},
    patch_multiple=(8, 8, 8),
    source="MONAI SegResNet",
    small={"width": 8},
)
