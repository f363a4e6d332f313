"""Dual self-supervision, an interpretation: class prototypes for the whole, restoration where the network is unsure."""

from dgsweep.method import Hyperparameter, MethodDeclaration, Requires

OURS = "our interpretation; no code is public"

DECLARATION = MethodDeclaration(
    name="dual_ssl",
    recipe_version=1,
    summary="Interpretation: prototype contrast of decoder features, and restoration of corrupted uncertain regions.",
    implementation="dgsweep_methods.dual_ssl.method:DualSelfSupervision",
    paper="Li et al., dual self-supervised learning for pancreas segmentation (arXiv 2505.07165); an interpretation",
    hyperparameters={
        "contrast": Hyperparameter(default=0.1, low=0.0, high=10.0, help="weight of the contrast", source=OURS),
        "restoration": Hyperparameter(default=0.5, low=0.0, high=50.0, help="weight of the restoration", source=OURS),
        "ramp": Hyperparameter(
            default=0.1, low=0.0, high=1.0, help="share of the budget until both weights are full", source=OURS
        ),
        "temperature": Hyperparameter(default=0.1, low=0.01, high=1.0, help="of the contrast", source=OURS),
        "threshold": Hyperparameter(
            default=0.5,
            low=0.0,
            high=1.0,
            help="entropy above which a voxel is uncertain, as a share of the greatest possible",
            source=OURS,
        ),
        "memory": Hyperparameter(default=256, low=1, high=4096, help="steps that a prototype looks back", source=OURS),
        "voxels": Hyperparameter(
            default=1024,
            low=2,
            high=65536,
            help="voxels a patch that are contrasted, half of them uncertain",
            source=OURS,
        ),
        "rate": Hyperparameter(
            default=0.5, low=0.0, high=1.0, help="share of the cubes that are corrupted", source=OURS
        ),
    },
    requires=Requires(),
    forward_passes_per_step=2.0,
    identity={"contrast": 0.0, "restoration": 0.0},
    own_test="closed_form",
)
