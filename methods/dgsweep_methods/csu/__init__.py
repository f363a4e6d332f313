"""CSU: noise on feature statistics that is correlated between channels as the statistics are."""

from dgsweep.method import Hyperparameter, MethodDeclaration

SOURCE = "Zhang et al., WACV 2024 (arXiv 2212.09950), released code"
LAYERS = (
    ("enc0",), ("enc1",), ("bottleneck",), ("enc0", "enc1"), ("enc0", "enc1", "enc2"),
    ("enc0.pre_norm",), ("enc0.pre_norm", "enc1.pre_norm"),
)  # fmt: skip

DECLARATION = MethodDeclaration(
    name="csu",
    recipe_version=1,
    summary="Adds noise to mean and deviation of feature maps that has their covariance between channels.",
    implementation="dgsweep_methods.csu.method:Csu",
    paper="Zhang et al., Domain Generalization with Correlated Style Uncertainty, WACV 2024",
    hyperparameters={
        "probability": Hyperparameter(
            default=0.5, low=0.0, high=1.0, help="chance that a tap is perturbed in a step", source=SOURCE
        ),
        "alpha": Hyperparameter(
            default=0.3, low=0.01, high=10.0, help="strength of each sample ~ Beta(alpha, alpha)", source=SOURCE
        ),
        "layers": Hyperparameter(
            default=("enc0", "enc1"),
            choices=LAYERS,
            help="taps; an instance norm right after a `pre_norm` tap undoes the change (unet_tiny, nnunet)",
            source="after the first blocks, as in the paper; two of them: our choice",
        ),
    },
    identity={"probability": 0.0},
    own_test="closed_form",
)
