"""BCP: cubes are pasted between labelled and unlabelled patches in both directions."""

from dgsweep.method import Hyperparameter, MethodDeclaration, Requires

SOURCE = "BCP, released code for the pancreas"

DECLARATION = MethodDeclaration(
    name="bcp",
    recipe_version=1,
    summary="Unlabelled scans: cubes pasted between labelled and unlabelled patches, both ways; a teacher labels.",
    implementation="dgsweep_methods.bcp.method:Bcp",
    paper="Bai et al., Bidirectional Copy-Paste for Semi-Supervised Medical Image Segmentation, CVPR 2023",
    requires=Requires(unlabelled="source"),
    hyperparameters={
        "pretrain": Hyperparameter(
            default=0.23,
            low=0.0,
            high=1.0,
            help="share of the budget on labelled patches alone",
            source=f"{SOURCE}: 60 of 260 epochs",
        ),
        "cube": Hyperparameter(
            default=0.667, low=0.05, high=1.0, help="side of the cube, of the patch's", source=f"{SOURCE}: 64 of 96"
        ),
        "weight": Hyperparameter(
            default=0.5, low=0.0, high=10.0, help="of the voxels that the teacher labels", source=SOURCE
        ),
        "decay": Hyperparameter(default=0.99, low=0.0, high=1.0, help="of the teacher's average", source=SOURCE),
    },
    forward_passes_per_step=2.54,
    no_identity_reason="labelled patches are always mixed with others; no setting leaves them whole",
    own_test="closed_form",
)
