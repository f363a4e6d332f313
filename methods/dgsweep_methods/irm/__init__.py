"""IRMv1: one classifier should be optimal in every domain at once."""

from dgsweep.method import Hyperparameter, MethodDeclaration, Requires

SOURCE = "DomainBed hparams_registry"

DECLARATION = MethodDeclaration(
    name="irm",
    recipe_version=1,
    summary="Penalises, in each source domain, the gradient of cross-entropy by a common scale of the logits.",
    implementation="dgsweep_methods.irm.method:Irm",
    paper="Arjovsky et al., Invariant Risk Minimization, 2019",
    requires=Requires(min_source_domains=2, min_batch_domains=2),
    hyperparameters={
        "penalty": Hyperparameter(
            default=100.0, low=0.0, high=1e5, help="weight of the invariance penalty", source=SOURCE
        ),
        "anneal": Hyperparameter(
            default=0.1,
            low=0.0,
            high=1.0,
            help="share of the budget before the penalty gets its full weight; until then the weight is at most 1",
            source=f"{SOURCE}: 500 of 5000 steps",
        ),
    },
    identity={"penalty": 0.0},
    own_test="depends_on_domain_ids",
)
