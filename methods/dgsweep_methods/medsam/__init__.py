"""MedSAM, zero-shot: SAM after training on medical images, prompted with boxes."""

from dgsweep.method import Hyperparameter, MethodDeclaration, Requires

DECLARATION = MethodDeclaration(
    name="medsam",
    recipe_version=1,
    summary="Zero-shot: SAM fine-tuned on medical images, a box on every axial slice.",
    implementation="dgsweep_methods.medsam.method:MedSam",
    paper="Ma et al., Segment anything in medical images, Nature Communications 2024",
    requires=Requires(
        trainable=False,
        prompts="box",
        protocols=("global_3d_box", "per_slice_box", "jittered_box"),
    ),
    hyperparameters={
        "weights": Hyperparameter(
            default="medsam_vit_b",
            help="name under which they are registered: `dgsweep weights list`",
            source="published",
        ),
    },
    no_identity_reason="it is not trained",
)
