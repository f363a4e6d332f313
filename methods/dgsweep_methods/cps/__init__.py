"""CPS: two networks, each taught the other's answers."""

from dgsweep.method import Hyperparameter, MethodDeclaration, Requires

SOURCE = "SSL4MIS, train_cross_pseudo_supervision_3D"

DECLARATION = MethodDeclaration(
    name="cps",
    recipe_version=1,
    summary="Two networks of other starts; each learns the other's hard answers for unlabelled scans. Both predict.",
    implementation="dgsweep_methods.cps.method:CrossPseudoSupervision",
    paper="Chen et al., Semi-supervised semantic segmentation with cross pseudo supervision, CVPR 2021",
    requires=Requires(unlabelled="source"),
    hyperparameters={
        "weight": Hyperparameter(
            default=0.1, low=0.0, high=100.0, help="of the cross supervision, after its ramp", source=SOURCE
        ),
        "ramp": Hyperparameter(
            default=1.0,
            low=0.0,
            high=1.0,
            help="share of the budget until the full weight",
            source=f"{SOURCE}: 200 of 200",
        ),
        "labelled_too": Hyperparameter(
            default=False,
            choices=(False, True),
            help="cross supervision on labelled patches as well, as in the paper",
            source=SOURCE,
        ),
    },
    forward_passes_per_step=4.0,
    no_identity_reason="two networks predict, so that even without cross supervision it is an ensemble of two ERMs",
    own_test="closed_form",
)
