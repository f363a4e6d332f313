"""MagicNet: patches as magic cubes, whose pieces change places across and within patches and find back."""

from dgsweep.method import Hyperparameter, MethodDeclaration, Requires

SOURCE = "MagicNet, released code"
RELATIVE = f"{SOURCE}: 0.1, where each supervised term has a quarter"

DECLARATION = MethodDeclaration(
    name="magicnet",
    recipe_version=1,
    summary="Unlabelled scans: cubes change places across and within patches, predictions are put back; a teacher.",
    implementation="dgsweep_methods.magicnet.method:MagicNet",
    paper="Chen et al., MagicNet: Semi-Supervised Multi-Organ Segmentation via Magic-Cube, CVPR 2023",
    requires=Requires(unlabelled="source"),
    hyperparameters={
        "cubes": Hyperparameter(
            default=3, low=1, high=8, help="along each axis of the patch", source=f"{SOURCE}: 96 / 32"
        ),
        "recovery": Hyperparameter(
            default=1.0, low=0.0, high=10.0, help="weight of labelled patches that were put back", source=SOURCE
        ),
        "location": Hyperparameter(
            default=0.4, low=0.0, high=10.0, help="weight of telling where a cube came from", source=RELATIVE
        ),
        "consistency": Hyperparameter(
            default=0.4,
            low=0.0,
            high=100.0,
            help="weight of unlabelled patches that were put back, after its ramp",
            source=RELATIVE,
        ),
        "ramp": Hyperparameter(
            default=1.0,
            low=0.0,
            high=1.0,
            help="share of the budget until the full consistency",
            source=f"{SOURCE}: 200 of 200",
        ),
        "decay": Hyperparameter(default=0.99, low=0.0, high=1.0, help="of the teacher's average", source=SOURCE),
    },
    forward_passes_per_step=6.0,
    identity={"recovery": 0.0, "location": 0.0, "consistency": 0.0, "decay": 0.0},
    own_test="closed_form",
)
