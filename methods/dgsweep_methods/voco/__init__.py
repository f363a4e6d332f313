"""VoCo: where in a patch does a random crop lie? Told by its likeness to the crops of a fixed grid."""

from dgsweep.method import Hyperparameter, MethodDeclaration, Requires

SOURCE = "nnssl, VoCo of its convolutional networks"

DECLARATION = MethodDeclaration(
    name="voco",
    recipe_version=1,
    summary="Pretraining: a random crop must be as like each crop of a grid as it overlaps with it.",
    implementation="dgsweep_methods.voco.method:VoCo",
    paper="Wu et al., VoCo: A Simple-yet-Effective Volume Contrastive Learning Framework, CVPR 2024",
    requires=Requires(phase="pretrain"),
    hyperparameters={
        "grid": Hyperparameter(
            default=(2, 2, 1),
            choices=((2, 2, 1), (2, 2, 2), (3, 3, 1), (4, 4, 1)),
            help="base crops along x, y, z; each is shown at the patch's size and costs a forward pass",
            source="our choice for patches of the sweep's size; published (4, 4, 1) for large volumes",
        ),
        "targets": Hyperparameter(
            default=4, low=1, high=16, help="random crops of a patch, a forward pass each", source=SOURCE
        ),
        "projection": Hyperparameter(
            default=2048, low=2, high=4096, help="width of the head and length of the compared vectors", source=SOURCE
        ),
        "orthogonality": Hyperparameter(
            default=1.0, low=0.0, high=10.0, help="weight of the likeness among base crops", source=SOURCE
        ),
    },
    forward_passes_per_step=8.0,
    no_identity_reason="it learns without labels, ERM from them",
    own_test="closed_form",
)
