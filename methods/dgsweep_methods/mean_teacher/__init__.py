"""Mean teacher: on unlabelled scans the network must agree with the moving average of its own weights."""

from dgsweep.method import Hyperparameter, MethodDeclaration, Requires

SOURCE = "SSL4MIS, train_mean_teacher"

DECLARATION = MethodDeclaration(
    name="mean_teacher",
    recipe_version=1,
    summary="Unlabelled scans: student and teacher (the student's moving average) must agree under noise.",
    implementation="dgsweep_methods.mean_teacher.method:MeanTeacher",
    paper="Tarvainen and Valpola, Mean teachers are better role models, NeurIPS 2017",
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
    },
    forward_passes_per_step=3.0,
    identity={"weight": 0.0, "decay": 0.0},
    own_test="closed_form",
)
