"""SAM, zero-shot: prompted slice by slice, as it was trained on photographs."""

from dgsweep.method import Hyperparameter, MethodDeclaration, Requires

DECLARATION = MethodDeclaration(
    name="sam",
    recipe_version=1,
    summary="Zero-shot: Segment Anything, prompted on every axial slice.",
    implementation="dgsweep_methods.sam.method:Sam",
    paper="Kirillov et al., Segment anything, ICCV 2023",
    requires=Requires(
        trainable=False,
        prompts="box",
        protocols=("global_3d_box", "per_slice_box", "jittered_box", "center_point"),
    ),
    hyperparameters={
        "weights": Hyperparameter(
            default="sam_vit_b", help="name under which they are registered: `dgsweep weights list`", source="published"
        ),
    },
    no_identity_reason="it is not trained",
)
