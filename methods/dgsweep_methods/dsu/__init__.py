"""DSU: feature statistics become Gaussian, with the spread that they have over the batch."""

from dgsweep.method import Hyperparameter, MethodDeclaration

SOURCE = "Li et al., ICLR 2022, released code"
LAYERS = (
    ("enc0",), ("enc1",), ("bottleneck",), ("enc0", "enc1"), ("enc0", "enc1", "enc2"),
    ("enc0.pre_norm",), ("enc0.pre_norm", "enc1.pre_norm"),
)  # fmt: skip

DECLARATION = MethodDeclaration(
    name="dsu",
    recipe_version=1,
    summary="Adds Gaussian noise to mean and deviation of feature maps, as large as their spread over the batch.",
    implementation="dgsweep_methods.dsu.method:Dsu",
    paper="Li et al., Uncertainty Modeling for Out-of-Distribution Generalization, ICLR 2022",
    hyperparameters={
        "probability": Hyperparameter(
            default=0.5, low=0.0, high=1.0, help="chance that a tap is perturbed in a step", source=SOURCE
        ),
        "factor": Hyperparameter(default=1.0, low=0.0, high=4.0, help="noise in units of the spread", source=SOURCE),
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
