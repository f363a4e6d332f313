"""Declaration of `swinunetr`."""

from dgsweep.config.declaration import Hyperparameter, NetworkDeclaration

DECLARATION = NetworkDeclaration(
    name="swinunetr",
    recipe_version=1,
    summary="MONAI's Swin UNETR: a shifted-window transformer encodes, a residual convolutional decoder reads it.",
    implementation="dgsweep.networks.swinunetr.network:build",
    paper="Hatamizadeh et al., Swin UNETR, BrainLes 2021; Tang et al., CVPR 2022; version 2: He et al., MICCAI 2023",
    source="MONAI SwinUNETR",
    pretrained="the encoder on 5050 CT volumes, self-supervised (Tang et al., CVPR 2022)",
    options={
        "feature_size": Hyperparameter(
            default=48, choices=(12, 24, 36, 48, 60), help="channels after the patch embedding", source="paper"
        ),
        "version": Hyperparameter(
            default=1, choices=(1, 2), help="2 puts a residual convolution block before each stage", source="papers"
        ),
        "window": Hyperparameter(default=7, low=2, high=12, help="side of the attention windows", source="paper"),
    },
    small={"feature_size": 12, "window": 3},
    patch_multiple=(32, 32, 32),
    least_voxels=2,
)
