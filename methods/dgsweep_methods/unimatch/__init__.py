"""UniMatch: one weak view teaches two strong views with CutMix and one whose features have gaps."""

from dgsweep.method import Hyperparameter, MethodDeclaration, Requires

SOURCE = "UniMatch, released code for medical images (ACDC)"

DECLARATION = MethodDeclaration(
    name="unimatch",
    recipe_version=1,
    summary="Unlabelled scans: a weak view's confident labels teach two mixed strong views and one with feature gaps.",
    implementation="dgsweep_methods.unimatch.method:UniMatch",
    paper="Yang et al., Revisiting Weak-to-Strong Consistency in Semi-Supervised Semantic Segmentation, CVPR 2023",
    requires=Requires(unlabelled="source"),
    hyperparameters={
        "weight": Hyperparameter(
            default=2.0,
            low=0.0,
            high=100.0,
            help="of the unlabelled loss",
            source=f"{SOURCE}, which halves its labelled loss: 1 to 1/2",
        ),
        "confidence": Hyperparameter(
            default=0.95, low=0.0, high=1.0, help="least probability of a label that is believed", source=SOURCE
        ),
        "strength": Hyperparameter(
            default=0.5, low=0.0, high=0.9, help="of the intensity changes of the strong views", source=SOURCE
        ),
        "p_cutmix": Hyperparameter(
            default=0.5, low=0.0, high=1.0, help="share of the samples that get a box of another", source=SOURCE
        ),
        "dropout": Hyperparameter(
            default=0.5, low=0.0, high=0.95, help="share of the channels that are dropped", source=SOURCE
        ),
        "layers": Hyperparameter(
            default=("bottleneck",),
            choices=(("bottleneck",), ("enc1", "bottleneck"), ("enc0", "enc1", "bottleneck")),
            help="taps whose channels are dropped",
            source="our choice; the release drops at every level of what its decoder reads",
        ),
    },
    forward_passes_per_step=5.0,
    identity={"weight": 0.0},
    own_test="closed_form",
)
