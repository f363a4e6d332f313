"""SLAug: location-scale augmentation of image and of each structure, fused by saliency."""

from dgsweep.method import Hyperparameter, MethodDeclaration, Requires

SOURCE = "Su et al., AAAI 2023 (arXiv 2211.14805), released code"

DECLARATION = MethodDeclaration(
    name="slaug",
    recipe_version=1,
    summary="Intensity curves for the image and for each structure, fused where the loss is sensitive to the input.",
    implementation="dgsweep_methods.slaug.method:SLAug",
    paper="Su et al., Rethinking Data Augmentation for Single-source Domain Generalization, AAAI 2023",
    requires=Requires(contrast_inversion="yes"),
    hyperparameters={
        "grid": Hyperparameter(
            default=3,
            low=1,
            high=32,
            help="saliency cells along each axis of the patch (abdomen 3, heart 18)",
            source=SOURCE,
        ),
        "p_invert": Hyperparameter(
            default=0.5, low=0.0, high=1.0, help="probability that the curve of a structure falls", source=SOURCE
        ),
        "location": Hyperparameter(
            default=0.5, low=0.0, high=2.0, help="standard deviation of the shift, image in [0, 1]", source=SOURCE
        ),
        "scale": Hyperparameter(
            default=0.1, low=0.0, high=1.0, help="standard deviation and limit of the factor around 1", source=SOURCE
        ),
    },
    forward_passes_per_step=2.0,
    no_identity_reason="every step trains on the augmented image and on the fused one",
    own_test="closed_form",
)
