"""FixMatch: confident predictions on a patch as it is are the labels of the same patch under strong changes."""

from dgsweep.method import Hyperparameter, MethodDeclaration, Requires

SOURCE = "SSL4MIS, train_fixmatch_standard_augs"

DECLARATION = MethodDeclaration(
    name="fixmatch",
    recipe_version=1,
    summary="Unlabelled scans: confident predictions on a weak view are the labels of a strong view.",
    implementation="dgsweep_methods.fixmatch.method:FixMatch",
    paper="Sohn et al., FixMatch, NeurIPS 2020",
    requires=Requires(unlabelled="source"),
    variants=("paper", "as_shipped"),
    hyperparameters={
        "weight": Hyperparameter(
            default=0.1, low=0.0, high=100.0, help="of the unlabelled loss, after its ramp", source=SOURCE
        ),
        "ramp": Hyperparameter(
            default=1.0,
            low=0.0,
            high=1.0,
            help="share of the budget until the full weight",
            source=f"{SOURCE}: 200 of 200",
        ),
        "confidence": Hyperparameter(
            default=0.8, low=0.0, high=1.0, help="least probability of a label that is believed", source=SOURCE
        ),
        "strength": Hyperparameter(
            default=0.5, low=0.0, high=0.9, help="of the intensity changes of the strong view", source="colour jitter"
        ),
    },
    forward_passes_per_step=3.0,
    identity={"weight": 0.0},
    own_test="closed_form",
)
