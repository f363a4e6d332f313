"""MixStyle: mix the feature statistics of the samples of a batch."""

from dgsweep.method import Hyperparameter, MethodDeclaration

SOURCE = "Zhou et al., ICLR 2021, released code"
LAYERS = (
    ("enc0",), ("enc1",), ("bottleneck",), ("enc0", "enc1"), ("enc0", "enc1", "enc2"),
    ("enc0.pre_norm",), ("enc0.pre_norm", "enc1.pre_norm"),
)  # fmt: skip

DECLARATION = MethodDeclaration(
    name="mixstyle",
    recipe_version=1,
    summary="Gives the feature maps of a sample a random mixture of its own mean and deviation and another sample's.",
    implementation="dgsweep_methods.mixstyle.method:MixStyle",
    paper="Zhou et al., Domain Generalization with MixStyle, ICLR 2021",
    hyperparameters={
        "probability": Hyperparameter(
            default=0.5, low=0.0, high=1.0, help="chance that a tap mixes in a step", source=SOURCE
        ),
        "alpha": Hyperparameter(
            default=0.1, low=0.01, high=10.0, help="weight of the own style ~ Beta(alpha, alpha)", source=SOURCE
        ),
        "mix": Hyperparameter(
            default="random",
            choices=("random", "crossdomain"),
            help="partner: any other sample, or one of another domain where the batch has one",
            source=SOURCE,
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
