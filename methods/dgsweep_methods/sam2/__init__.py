"""SAM 2, zero-shot: prompted slice by slice, or on one slice from which it goes on by its memory."""

from dgsweep.method import Hyperparameter, MethodDeclaration, Requires

DECLARATION = MethodDeclaration(
    name="sam2",
    recipe_version=1,
    summary="Zero-shot: Segment Anything 2, prompted on every axial slice or propagated from one.",
    implementation="dgsweep_methods.sam2.method:Sam2",
    paper="Ravi et al., SAM 2: Segment anything in images and videos, ICLR 2025",
    requires=Requires(
        trainable=False,
        prompts="box",
        protocols=("global_3d_box", "per_slice_box", "jittered_box", "center_point", "keyslice_propagate"),
    ),
    hyperparameters={
        "weights": Hyperparameter(
            default="sam2.1_hiera_tiny",
            help="name under which they are registered: `dgsweep weights list`",
            source="published",
        ),
    },
    no_identity_reason="it is not trained",
)
