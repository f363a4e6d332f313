"""VREx: the variance of the domains' risks is added to their mean."""

from dgsweep.method import Hyperparameter, MethodDeclaration, Requires

SOURCE = "DomainBed hparams_registry"

DECLARATION = MethodDeclaration(
    name="vrex",
    recipe_version=1,
    summary="Penalises the variance of the segmentation loss over source domains.",
    implementation="dgsweep_methods.vrex.method:VRex",
    paper="Krueger et al., Out-of-Distribution Generalization via Risk Extrapolation, ICML 2021",
    requires=Requires(min_source_domains=2, min_batch_domains=2),
    hyperparameters={
        "penalty": Hyperparameter(
            default=10.0, low=0.0, high=1e5, help="weight of the variance of the domains' losses", source=SOURCE
        ),
        "anneal": Hyperparameter(
            default=0.1,
            low=0.0,
            high=1.0,
            help="share of the budget before the penalty gets its full weight; until then the weight is at most 1",
            source=f"{SOURCE}: 500 of 5000 steps",
        ),
    },
    variants=("paper", "as_shipped"),
    identity={"penalty": 0.0},
    own_test="zero_on_identical_domains",
)
