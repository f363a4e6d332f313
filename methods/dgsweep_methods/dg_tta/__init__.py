"""DG-TTA: a source network that saw re-coloured descriptors, adapted to each case until two warped views agree."""

from dgsweep.method import Hyperparameter, MethodDeclaration, Requires

SOURCE = "Weihsbach et al., DG-TTA (arXiv 2312.06275), released code"

DECLARATION = MethodDeclaration(
    name="dg_tta",
    recipe_version=1,
    summary="Trains on GIN-coloured MIND descriptors; on each test case two warped views must come to agree.",
    implementation="dgsweep_methods.dg_tta.method:DgTta",
    paper="Weihsbach et al., DG-TTA: Out-of-Domain Medical Image Segmentation [...], Sensors 25(17):5603, 2025",
    requires=Requires(contrast_inversion="yes", test_time=True),
    hyperparameters={
        "pretraining": Hyperparameter(
            default="gin_mind",
            choices=("gin_mind", "gin", "mind", "none"),
            help="how the source network is trained: re-coloured, on descriptors, both, or as ERM",
            source=SOURCE,
        ),
        "learning_rate": Hyperparameter(default=1e-5, low=0.0, high=1.0, help="rate of AdamW", source=SOURCE),
        "updates": Hyperparameter(
            default=11,
            low=0,
            high=100,
            help="updates on each case",
            source=f"{SOURCE}: 12 epochs, the first idle",
        ),
        "patches": Hyperparameter(default=16, low=1, high=100, help="random patches an update", source=SOURCE),
        "strength": Hyperparameter(
            default=0.05, low=0.0, high=0.5, help="deviation of each entry of the affine matrices", source=SOURCE
        ),
        "coloured": Hyperparameter(
            default=False, choices=(False, True), help="whether the warped views are re-coloured too", source=SOURCE
        ),
        "adapted": Hyperparameter(
            default="all", choices=("all", "norms"), help="which parameters follow the case", source=SOURCE
        ),
    },
    identity={"pretraining": "none", "updates": 0},
    own_test="closed_form",
)
