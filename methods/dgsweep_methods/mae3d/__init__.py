"""Masked autoencoding in 3D: most blocks of a patch are hidden, and the network paints them from what is left."""

from dgsweep.method import Hyperparameter, MethodDeclaration, Requires

SOURCE = "nnssl, masked autoencoder of its convolutional networks"

DECLARATION = MethodDeclaration(
    name="mae3d",
    recipe_version=1,
    summary="Pretraining: restore the hidden blocks of a patch from the few that are shown.",
    implementation="dgsweep_methods.mae3d.method:MaskedAutoencoder",
    paper="He et al., Masked autoencoders are scalable vision learners, CVPR 2022; in 3D as in nnssl",
    requires=Requires(phase="pretrain"),
    hyperparameters={
        "mask": Hyperparameter(
            default=0.75, low=0.0, high=0.99, help="share of the blocks that is hidden", source=SOURCE
        ),
        "block": Hyperparameter(default=16, low=1, high=64, help="side of a block in voxels", source=SOURCE),
    },
    no_identity_reason="it learns without labels, ERM from them",
    own_test="closed_form",
)
