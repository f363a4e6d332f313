"""GIN: global intensity non-linear augmentation by a shallow random convolutional network."""

from dgsweep.method import Hyperparameter, MethodDeclaration, Requires

SOURCE = "Ouyang et al., IEEE TMI 2023 (arXiv 2111.12525), released code"

DECLARATION = MethodDeclaration(
    name="gin",
    recipe_version=2,
    summary="Random shallow convolutional network re-colours each image; shapes stay, contrast changes and may invert.",
    implementation="dgsweep_methods.gin.method:Gin",
    paper="Ouyang et al., Causality-inspired single-source domain generalization, IEEE TMI 2023",
    requires=Requires(contrast_inversion="yes"),
    hyperparameters={
        "probability": Hyperparameter(
            default=1.0, low=0.0, high=1.0, help="share of the samples that are re-coloured", source=SOURCE
        ),
        "layers": Hyperparameter(default=4, low=1, high=8, help="convolutions of the random network", source=SOURCE),
        "channels": Hyperparameter(default=2, low=1, high=16, help="channels between the layers", source=SOURCE),
        "kernels": Hyperparameter(
            default=(1, 3), choices=((1,), (3,), (1, 3)), help="kernel sizes that a layer draws from", source=SOURCE
        ),
    },
    identity={"probability": 0.0},
    own_test="closed_form",
)
