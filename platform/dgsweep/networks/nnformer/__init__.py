"""Declaration of `nnformer`."""

from dgsweep.config.declaration import Hyperparameter, NetworkDeclaration

DECLARATION = NetworkDeclaration(
    name="nnformer",
    recipe_version=1,
    summary="nnFormer: transformer encoder and decoder with attention in local volumes, skips as attention.",
    implementation="dgsweep.networks.nnformer.network:build",
    paper="Zhou et al., nnFormer, IEEE Transactions on Image Processing 2023",
    source="ours, after the paper and github.com/282857341/nnFormer; window attention of MONAI",
    pretrained="2D weights trained on ImageNet, in the paper's first version",
    options={
        "embed_dim": Hyperparameter(
            default=192, choices=(24, 48, 96, 192), help="channels after the embedding", source="authors' code"
        ),
        "heads": Hyperparameter(
            default=6, choices=(1, 2, 3, 6), help="of the first stage; doubled at each", source="authors' code"
        ),
        "drop_path": Hyperparameter(
            default=0.2, low=0.0, high=0.9, help="chance to skip the deepest block in training", source="authors' code"
        ),
    },
    small={"embed_dim": 24, "heads": 1, "drop_path": 0.0},
    patch_multiple=(32, 32, 16),
    least_voxels=2,
)
