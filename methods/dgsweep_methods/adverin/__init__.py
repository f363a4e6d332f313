"""AdverIN: train on the monotone intensity curve that hurts most."""

from dgsweep.method import Hyperparameter, MethodDeclaration

SOURCE = "released code (NUBagciLab/AdverIN)"

DECLARATION = MethodDeclaration(
    name="adverin",
    recipe_version=1,
    summary="Bends the intensities of each image by the rising curve that raises the loss most, then trains on it.",
    implementation="dgsweep_methods.adverin.method:AdverIN",
    paper="AdverIN: adversarial intensity attack, Medical Image Analysis 107 (2026) 103848",
    hyperparameters={
        "probability": Hyperparameter(
            default=1.0, low=0.0, high=1.0, help="share of the steps with an attack", source=SOURCE
        ),
        "points": Hyperparameter(default=21, low=3, high=101, help="control points of the curve", source=SOURCE),
        "step_size": Hyperparameter(default=0.1, low=0.0, high=10.0, help="learning rate of the ascent", source=SOURCE),
        "gradient_norm": Hyperparameter(
            default=5.0,
            low=0.0,
            high=100.0,
            help="norm of the gradient on the curve, in steps of the curve",
            source="released configuration of the global attack",
        ),
        "steps": Hyperparameter(default=1, low=1, high=5, help="ascent steps", source=SOURCE),
    },
    variants=("paper", "as_shipped"),
    forward_passes_per_step=2.0,
    identity={"probability": 0.0},
    own_test="closed_form",
)
