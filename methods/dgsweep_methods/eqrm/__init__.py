"""EQRM: minimise a high quantile of the risk over domains, between their mean and their worst."""

from dgsweep.method import Hyperparameter, MethodDeclaration, Requires

SOURCE = "DomainBed hparams_registry"

DECLARATION = MethodDeclaration(
    name="eqrm",
    recipe_version=1,
    summary="Minimises the alpha-quantile of the source domains' losses under a kernel density estimate.",
    implementation="dgsweep_methods.eqrm.method:Eqrm",
    paper="Eastwood et al., Probable Domain Generalization via Quantile Risk Minimization, NeurIPS 2022",
    requires=Requires(min_source_domains=2, min_batch_domains=2),
    hyperparameters={
        "alpha": Hyperparameter(
            default=0.75, low=0.01, high=0.9999, help="quantile of the domains' losses", source=SOURCE
        ),
        "burn_in": Hyperparameter(
            default=0.5,
            low=0.0,
            high=1.0,
            help="share of the budget that is plain ERM",
            source=f"{SOURCE}: 2500 of 5000 steps",
        ),
    },
    identity={"burn_in": 1.0},
    own_test="depends_on_domain_ids",
)
