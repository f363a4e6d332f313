"""MLDG: a step on some domains must also lower the loss of the domains held out from it."""

from dgsweep.method import Hyperparameter, MethodDeclaration, Requires

DECLARATION = MethodDeclaration(
    name="mldg",
    recipe_version=1,
    summary="Meta-learning: a gradient step on some source domains must also lower the loss of held-out ones.",
    implementation="dgsweep_methods.mldg.method:Mldg",
    paper="Li et al., Learning to Generalize: Meta-Learning for Domain Generalization, AAAI 2018",
    requires=Requires(min_source_domains=2, min_batch_domains=2),
    hyperparameters={
        "beta": Hyperparameter(
            default=1.0, low=0.0, high=100.0, help="weight of the held-out loss", source="DomainBed hparams_registry"
        ),
        "inner_lr": Hyperparameter(
            default=0.01,
            low=0.0,
            high=1.0,
            help="length of the simulated step",
            source="as DomainBed, the rate of the outer step, here the shared recipe's 1e-2",
        ),
        "n_test": Hyperparameter(
            default=1, low=1, high=10, help="domains held out in each step", source="Li et al., AAAI 2018"
        ),
    },
    variants=("paper", "first_order"),
    forward_passes_per_step=2.0,
    no_identity_reason="whatever beta, the first term is the loss of the domains that are not held out",
    own_test="depends_on_domain_ids",
)
