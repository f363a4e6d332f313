"""Fishr: equal variance of gradients in every domain."""

from dgsweep.method import Hyperparameter, MethodDeclaration, Requires

SOURCE = "DomainBed hparams_registry"

DECLARATION = MethodDeclaration(
    name="fishr",
    recipe_version=1,
    summary="Aligns, between source domains, the variance over voxels of the gradients of the last layer.",
    implementation="dgsweep_methods.fishr.method:Fishr",
    paper="Rame et al., Fishr: Invariant Gradient Variances for Out-of-Distribution Generalization, ICML 2022",
    requires=Requires(min_source_domains=2, min_batch_domains=2),
    hyperparameters={
        "penalty": Hyperparameter(
            default=1000.0, low=0.0, high=1e5, help="weight of the distance of variances", source=f"{SOURCE} (lambda)"
        ),
        "anneal": Hyperparameter(
            default=0.3,
            low=0.0,
            high=1.0,
            help="share of the budget before the penalty starts",
            source=f"{SOURCE}: 1500 of 5000 steps",
        ),
        "decay": Hyperparameter(
            default=0.95, low=0.0, high=0.999, help="of the moving average of variances", source=f"{SOURCE} (ema)"
        ),
    },
    identity={"penalty": 0.0},
    own_test="zero_on_identical_domains",
)
