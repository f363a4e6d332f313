"""AdvBias: adversarial bias fields."""

from dgsweep.method import Hyperparameter, MethodDeclaration

SOURCE = "Chen et al., MICCAI 2020, released code (AdvChain)"

DECLARATION = MethodDeclaration(
    name="advbias",
    recipe_version=1,
    summary="Asks for the same prediction under the smooth multiplicative bias field that changes it most.",
    implementation="dgsweep_methods.advbias.method:AdvBias",
    paper="Chen et al., Realistic Adversarial Data Augmentation for MR Image Segmentation, MICCAI 2020",
    hyperparameters={
        "weight": Hyperparameter(default=1.0, low=0.0, high=100.0, help="weight of the consistency", source=SOURCE),
        "epsilon": Hyperparameter(
            default=0.3, low=0.0, high=0.95, help="largest departure of the field from 1", source=SOURCE
        ),
        "spacing": Hyperparameter(
            default=0.5,
            low=0.1,
            high=1.0,
            help="distance of control points as a share of the patch",
            source="released example: 64 of 128 pixels",
        ),
        "step_size": Hyperparameter(default=1.0, low=0.0, high=10.0, help="ascent step", source=SOURCE),
        "steps": Hyperparameter(default=1, low=1, high=5, help="ascent steps", source=SOURCE),
        "contour": Hyperparameter(
            default=0.5, low=0.0, high=10.0, help="weight of the contour term beside KL", source=SOURCE
        ),
    },
    forward_passes_per_step=3.0,
    identity={"weight": 0.0},
    own_test="closed_form",
)
