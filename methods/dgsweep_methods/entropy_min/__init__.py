"""Entropy minimisation: on scans without a label the network must make up its mind."""

from dgsweep.method import Hyperparameter, MethodDeclaration, Requires

SOURCE = "SSL4MIS, train_entropy_minimization_3D"

DECLARATION = MethodDeclaration(
    name="entropy_min",
    recipe_version=1,
    summary="Unlabelled scans: the entropy of the network's own prediction is made small.",
    implementation="dgsweep_methods.entropy_min.method:EntropyMinimisation",
    paper="Grandvalet and Bengio, Semi-supervised learning by entropy minimization, NeurIPS 2004",
    requires=Requires(unlabelled="source"),
    hyperparameters={
        "weight": Hyperparameter(
            default=0.1, low=0.0, high=100.0, help="of the entropy, after its ramp", source=SOURCE
        ),
        "ramp": Hyperparameter(
            default=1.0,
            low=0.0,
            high=1.0,
            help="share of the budget until the full weight",
            source=f"{SOURCE}: 200 of 200",
        ),
    },
    forward_passes_per_step=2.0,
    identity={"weight": 0.0},
    own_test="closed_form",
)
