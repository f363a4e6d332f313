"""RandConv: one random convolution re-textures the image; predictions for three draws must agree."""

from dgsweep.method import Hyperparameter, MethodDeclaration, Requires

SOURCE = "Xu et al., ICLR 2021 (arXiv 2007.13003), released code"

DECLARATION = MethodDeclaration(
    name="randconv",
    recipe_version=1,
    summary="One random convolution of random size re-textures each image; predictions of three draws must agree.",
    implementation="dgsweep_methods.randconv.method:RandConv",
    paper="Xu et al., Robust and Generalizable Visual Representation Learning via Random Convolutions, ICLR 2021",
    requires=Requires(contrast_inversion="yes"),
    hyperparameters={
        "kernels": Hyperparameter(
            default=(1, 3, 5, 7),
            choices=((1,), (3,), (1, 3), (1, 3, 5), (1, 3, 5, 7)),
            help="kernel sizes, one is drawn for each draw of a batch",
            source=SOURCE,
        ),
        "mixing": Hyperparameter(
            default=True, choices=(True, False), help="blend with the image, share ~ U(0, 1)", source=SOURCE
        ),
        "p_identity": Hyperparameter(
            default=0.0, low=0.0, high=1.0, help="share of the samples that stay as they are", source=SOURCE
        ),
        "consistency": Hyperparameter(
            default=10.0, low=0.0, high=100.0, help="weight of the agreement of three draws; 0: one draw", source=SOURCE
        ),
    },
    variants=("paper", "as_shipped"),
    forward_passes_per_step=3.0,
    identity={"p_identity": 1.0, "consistency": 0.0},
    own_test="closed_form",
)
