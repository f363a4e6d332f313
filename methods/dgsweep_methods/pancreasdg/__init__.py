"""PancreasDG: a moving-average teacher on unlabelled scans, and a graph of the image; our reading of what is public."""

from dgsweep.method import Hyperparameter, MethodDeclaration, Requires

TEACHER = "SSL4MIS, train_mean_teacher: PancreasDG's own value is not public"
OURS = "our choice: PancreasDG's own value is not public"

DECLARATION = MethodDeclaration(
    name="pancreasdg",
    recipe_version=1,
    summary="Unlabelled scans: a strong view must agree with a moving-average teacher and with its walk on the image.",
    implementation="dgsweep_methods.pancreasdg.method:PancreasDg",
    paper="Zhang, Peng et al., Rethink Domain Generalization in Heterogeneous Sequence MRI Segmentation, 2025",
    requires=Requires(unlabelled="source"),
    hyperparameters={
        "weight": Hyperparameter(
            default=0.1, low=0.0, high=100.0, help="of both unlabelled terms, after their ramp", source=TEACHER
        ),
        "ramp": Hyperparameter(
            default=1.0, low=0.0, high=1.0, help="share of the budget until the full weight", source=TEACHER
        ),
        "decay": Hyperparameter(default=0.99, low=0.0, high=1.0, help="of the teacher's average", source=TEACHER),
        "strength": Hyperparameter(
            default=0.5, low=0.0, high=0.9, help="of the intensity changes that the student sees", source=OURS
        ),
        "graph": Hyperparameter(
            default=1.0, low=0.0, high=100.0, help="weight of the graph's term beside the teacher's", source=OURS
        ),
        "width": Hyperparameter(
            default=0.5, low=0.01, high=10.0, help="step of z-scored intensity that counts as an edge", source=OURS
        ),
        "walk": Hyperparameter(default=10, low=1, high=100, help="steps of the walk, in voxels", source=OURS),
    },
    forward_passes_per_step=3.0,
    identity={"weight": 0.0, "decay": 0.0},
    own_test="closed_form",
)
