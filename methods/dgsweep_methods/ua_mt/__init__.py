"""Uncertainty-aware mean teacher: the student follows the teacher only where the teacher is sure of itself."""

from dgsweep.method import Hyperparameter, MethodDeclaration, Requires

SOURCE = "SSL4MIS, train_uncertainty_aware_mean_teacher_3D"

DECLARATION = MethodDeclaration(
    name="ua_mt",
    recipe_version=1,
    summary="Mean teacher whose consistency counts only voxels where several noisy teacher passes are certain.",
    implementation="dgsweep_methods.ua_mt.method:UncertaintyAwareMeanTeacher",
    paper="Yu et al., Uncertainty-aware self-ensembling model for semi-supervised 3D segmentation, MICCAI 2019",
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
        "noise": Hyperparameter(
            default=0.1, low=0.0, high=1.0, help="deviation of the teacher's input noise", source=SOURCE
        ),
        "passes": Hyperparameter(
            default=8, low=1, high=32, help="noisy teacher passes that the entropy is taken over", source=SOURCE
        ),
        "threshold": Hyperparameter(
            default=0.75,
            low=0.0,
            high=1.0,
            help="largest entropy that counts, as a share of the greatest possible; rises to 1",
            source=SOURCE,
        ),
    },
    forward_passes_per_step=11.0,
    identity={"weight": 0.0, "decay": 0.0},
    own_test="closed_form",
)
