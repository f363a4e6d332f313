"""Declaration of `synergynet`."""

from dgsweep.config.declaration import Hyperparameter, NetworkDeclaration

OPEN = "not in the public description; see the card"
VQ_VAE = "van den Oord et al., Neural Discrete Representation Learning, NeurIPS 2017"

DECLARATION = NetworkDeclaration(
    name="synergynet",
    recipe_version=1,
    summary="SynergyNet: a 2D U-Net whose bottleneck joins its features with their nearest codes of a codebook.",
    implementation="dgsweep.networks.synergynet.network:build",
    paper="Gorade et al., SynergyNet: Bridging the Gap between Discrete and Continuous Representations for Precise "
    "Medical Image Segmentation, WACV 2024 (arXiv 2310.17764)",
    source="ours, after the paper's description, on blocks of MONAI DynUNet",
    dims=2,
    options={
        "width": Hyperparameter(default=32, low=4, high=64, help="channels of the first level", source=OPEN),
        "max_width": Hyperparameter(default=512, low=16, high=1024, help="channels at most", source=OPEN),
        "codes": Hyperparameter(default=1024, low=2, high=16384, help="codes of the codebook", source=OPEN),
        "heads": Hyperparameter(default=8, low=1, high=32, help="heads of every attention", source=OPEN),
        "commitment": Hyperparameter(
            default=0.25, low=0.0, high=2.0, help="weight of the distance of features to their codes", source=VQ_VAE
        ),
        "quantisation": Hyperparameter(
            default=1.0, low=0.0, high=10.0, help="weight of the whole loss of quantisation", source=VQ_VAE
        ),
    },
    small={"width": 4, "max_width": 16, "codes": 8, "heads": 2},
    patch_multiple=(16, 16, 1),
    least_patch=(32, 32, 1),
)
