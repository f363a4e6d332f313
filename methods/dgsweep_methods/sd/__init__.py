"""Spectral decoupling: a penalty on the squared logits instead of weight decay."""

from dgsweep.method import Hyperparameter, MethodDeclaration

DECLARATION = MethodDeclaration(
    name="sd",
    recipe_version=1,
    summary="Spectral decoupling: adds the mean squared logit, so that no single feature starves the others.",
    implementation="dgsweep_methods.sd.method:SpectralDecoupling",
    paper="Pezeshki et al., Gradient Starvation, NeurIPS 2021",
    hyperparameters={
        "penalty": Hyperparameter(
            default=0.1,
            low=0.0,
            high=10.0,
            help="weight of the mean squared logit",
            source="DomainBed hparams_registry (sd_reg)",
        ),
    },
    variants=("paper", "as_shipped"),
    identity={"penalty": 0.0},
    own_test="closed_form",
)
