"""ICT: between two unlabelled scans the prediction must run straight."""

from dgsweep.method import Hyperparameter, MethodDeclaration, Requires

SOURCE = "SSL4MIS, train_interpolation_consistency_training_3D"

DECLARATION = MethodDeclaration(
    name="ict",
    recipe_version=1,
    summary="The answer for a mixture of two unlabelled scans must be the mixture of the teacher's two answers.",
    implementation="dgsweep_methods.ict.method:InterpolationConsistency",
    paper="Verma et al., Interpolation consistency training for semi-supervised learning, IJCAI 2019",
    requires=Requires(unlabelled="source"),
    hyperparameters={
        "weight": Hyperparameter(
            default=0.1, low=0.0, high=100.0, help="of the consistency, after its ramp", source=SOURCE
        ),
        "ramp": Hyperparameter(
            default=1.0,
            low=0.0,
            high=1.0,
            help="share of the budget until the full weight",
            source=f"{SOURCE}: 200 of 200",
        ),
        "decay": Hyperparameter(default=0.99, low=0.0, high=1.0, help="of the teacher's average", source=SOURCE),
        "alpha": Hyperparameter(
            default=0.2, low=0.01, high=10.0, help="of the Beta(alpha, alpha) that shares are drawn from", source=SOURCE
        ),
    },
    forward_passes_per_step=3.0,
    identity={"weight": 0.0, "decay": 0.0},
    own_test="closed_form",
)
