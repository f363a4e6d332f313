"""MedSAM2, zero-shot: SAM 2 fine-tuned on medical volumes, one box propagated through the scan."""

from dgsweep.method import Hyperparameter, MethodDeclaration, Requires

DECLARATION = MethodDeclaration(
    name="medsam2",
    recipe_version=1,
    summary="Zero-shot: SAM 2.1 fine-tuned on medical volumes, a box on one slice propagated to the others.",
    implementation="dgsweep_methods.medsam2.method:MedSam2",
    paper="Ma et al., MedSAM2: Segment anything in 3D medical images and videos, 2025 (arXiv 2504.03600)",
    requires=Requires(
        trainable=False,
        prompts="box",
        protocols=("keyslice_propagate", "per_slice_box", "jittered_box", "global_3d_box"),
    ),
    hyperparameters={
        "weights": Hyperparameter(
            default="MedSAM2_latest",
            help="name under which they are registered: `dgsweep weights list`",
            source="published",
        ),
    },
    no_identity_reason="it is not trained",
)
