"""MIND-SSC: the network sees how a place resembles its own surroundings, not how bright it is."""

from dgsweep.method import Hyperparameter, MethodDeclaration, Requires

SOURCE = "Weihsbach et al., DG-TTA (arXiv 2312.06275), released code"

DECLARATION = MethodDeclaration(
    name="mind",
    recipe_version=1,
    summary="Twelve self-similarity descriptors replace the image: the same for an image and for its negative.",
    implementation="dgsweep_methods.mind.method:Mind",
    paper="Heinrich et al., Towards realtime multimodal fusion (MIND-SSC), MICCAI 2013; as input in DG-TTA",
    requires=Requires(contrast_inversion="yes"),
    hyperparameters={
        "delta": Hyperparameter(
            default=1, low=1, high=4, help="distance of the compared neighbours in voxels", source=SOURCE
        ),
        "sigma": Hyperparameter(
            default=1.0, low=0.3, high=4.0, help="Gaussian smoothing of the distances, in voxels", source=SOURCE
        ),
        "noise": Hyperparameter(
            default=0.05,
            low=0.0,
            high=1.0,
            help="deviation of the noise on each difference in training; none at prediction",
            source=SOURCE,
        ),
    },
    no_identity_reason="the network has 12 input channels, which no setting makes ERM's one",
    own_test="closed_form",
)
