"""Mixup between domains: the network sees the weighted mean of two samples and answers for both labels."""

from dgsweep.method import Hyperparameter, MethodDeclaration, Requires

DECLARATION = MethodDeclaration(
    name="mixup",
    recipe_version=1,
    summary="Each sample is averaged with one of another domain; the loss is the same average over both labels.",
    implementation="dgsweep_methods.mixup.method:Mixup",
    paper="Zhang et al., mixup: beyond empirical risk minimization, ICLR 2018; between domains as in DomainBed",
    requires=Requires(min_source_domains=2, min_batch_domains=2),
    hyperparameters={
        "alpha": Hyperparameter(
            default=0.2,
            low=0.01,
            high=100.0,
            help="both parameters of the Beta distribution of the weight",
            source="DomainBed (Gulrajani and Lopez-Paz, ICLR 2021), hparams_registry",
        ),
        "probability": Hyperparameter(
            default=1.0, low=0.0, high=1.0, help="share of the steps with mixing", source="DomainBed: every step"
        ),
    },
    identity={"probability": 0.0},
    own_test="depends_on_domain_ids",
)
