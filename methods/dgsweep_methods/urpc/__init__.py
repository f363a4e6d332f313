"""URPC: the answers of one network at several scales must agree, most where they are close already."""

from dgsweep.method import Hyperparameter, MethodDeclaration, Requires

SOURCE = "SSL4MIS, train_uncertainty_rectified_pyramid_consistency_3D"

DECLARATION = MethodDeclaration(
    name="urpc",
    recipe_version=1,
    summary="Unlabelled scans: outputs of several scales must agree with their mean, rectified by their divergence.",
    implementation="dgsweep_methods.urpc.method:PyramidConsistency",
    paper="Luo et al., Semi-supervised segmentation via uncertainty rectified pyramid consistency, MICCAI 2021",
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
        "scales": Hyperparameter(default=4, low=2, high=6, help="of the pyramid, at most, finest first", source=SOURCE),
    },
    forward_passes_per_step=2.0,
    identity={"weight": 0.0},
    own_test="closed_form",
)
