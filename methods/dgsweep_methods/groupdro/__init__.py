"""GroupDRO: domains with a high loss get a high weight."""

from dgsweep.method import Hyperparameter, MethodDeclaration, Requires

DECLARATION = MethodDeclaration(
    name="groupdro",
    recipe_version=1,
    summary="Minimises the worst domain's loss: domain weights grow exponentially with the domain's loss.",
    implementation="dgsweep_methods.groupdro.method:GroupDro",
    paper="Sagawa et al., Distributionally Robust Neural Networks for Group Shifts, ICLR 2020",
    requires=Requires(min_source_domains=2),
    hyperparameters={
        "eta": Hyperparameter(
            default=1e-2,
            low=0.0,
            high=1.0,
            help="step size of the domain weights, per step of training",
            source="DomainBed hparams_registry (groupdro_eta)",
        ),
    },
    no_identity_reason="at eta 0 it is the mean over domains, which equals ERM's mean over samples up to rounding only "
    "and where a batch holds equally many of each; its own test shows this",
    own_test="depends_on_domain_ids",
)
