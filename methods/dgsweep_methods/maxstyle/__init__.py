"""MaxStyle: re-style images by an image decoder whose feature styles are the worst for the segmentation."""

from dgsweep.method import Hyperparameter, MethodDeclaration

SOURCE = "Chen et al., MICCAI 2022, released code"

DECLARATION = MethodDeclaration(
    name="maxstyle",
    recipe_version=1,
    summary="Re-styles images in the decoder of an autoencoder, with the mix and noise of styles that raise the loss.",
    implementation="dgsweep_methods.maxstyle.method:MaxStyle",
    paper="Chen et al., MaxStyle: Adversarial Style Composition for Robust Medical Image Segmentation, MICCAI 2022",
    hyperparameters={
        "probability": Hyperparameter(
            default=0.5, low=0.0, high=1.0, help="chance that a layer of the decoder is re-styled", source=SOURCE
        ),
        "steps": Hyperparameter(default=5, low=0, high=10, help="ascent steps", source=SOURCE),
        "step_size": Hyperparameter(
            default=0.1, low=0.0, high=1.0, help="learning rate of Adam's ascent", source=SOURCE
        ),
        "width": Hyperparameter(
            default=8, low=2, high=64, help="channels of the autoencoder", source="our choice: small beside the network"
        ),
    },
    forward_passes_per_step=6.25,
    identity={"probability": 0.0},
    own_test="closed_form",
)
