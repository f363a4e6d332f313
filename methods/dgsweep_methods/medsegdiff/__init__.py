"""MedSegDiff: a network learns to remove noise from masks, and predicts by removing it from pure noise."""

from dgsweep.method import Hyperparameter, MethodDeclaration, Requires

SOURCE = "Wu et al., MedSegDiff, MIDL 2023 (arXiv 2211.00611), released code"

DECLARATION = MethodDeclaration(
    name="medsegdiff",
    recipe_version=1,
    summary="Diffusion: the network learns the noise in a noisy mask beside the image; prediction starts at noise.",
    implementation="dgsweep_methods.medsegdiff.method:MedSegDiff",
    paper="Wu et al., MedSegDiff: Medical Image Segmentation with Diffusion Probabilistic Model, MIDL 2023",
    requires=Requires(denoiser=True),
    hyperparameters={
        "steps": Hyperparameter(default=1000, low=2, high=4000, help="diffusion steps in training", source=SOURCE),
        "sampling_steps": Hyperparameter(
            default=10, low=1, high=1000, help="of them in prediction, evenly spread",
            source="few-step DDIM (Song et al., ICLR 2021), so that a CPU can predict; released: all 1000",
        ),
        "eta": Hyperparameter(
            default=0.0, low=0.0, high=1.0, help="noise added in each step of prediction: 0 DDIM, 1 DDPM",
            source="Song et al., DDIM, ICLR 2021; released: 1",
        ),
        "ensemble": Hyperparameter(
            default=1, low=1, high=25, help="samples a case, averaged", source="released: 5, by STAPLE"
        ),
    },
    no_identity_reason="it trains a network to predict noise, not classes, and has no setting that does not",
    own_test="closed_form",
)  # fmt: skip
