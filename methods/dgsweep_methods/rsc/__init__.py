"""RSC: mute the features on which the prediction leans most, so that the others must serve too."""

from dgsweep.method import Hyperparameter, MethodDeclaration

SOURCE = "DomainBed hparams_registry"

DECLARATION = MethodDeclaration(
    name="rsc",
    recipe_version=1,
    summary="Representation self-challenging: mutes the bottleneck channels that support the labels most.",
    implementation="dgsweep_methods.rsc.method:Rsc",
    paper="Huang et al., Self-Challenging Improves Cross-Domain Generalization, ECCV 2020",
    hyperparameters={
        "feature_drop": Hyperparameter(
            default=1 / 3, low=0.0, high=0.9, help="share of the channels that are muted", source=SOURCE
        ),
        "batch_drop": Hyperparameter(
            default=1 / 3,
            low=0.0,
            high=1.0,
            help="share of the samples whose channels are muted, at least one",
            source=SOURCE,
        ),
    },
    forward_passes_per_step=2.0,
    identity={"feature_drop": 0.0},
    own_test="closed_form",
)
