"""Tent for networks with instance norm: scale and shift of the norms follow the entropy of one test case."""

from dgsweep.method import Hyperparameter, MethodDeclaration, Requires

SOURCE = "Wang et al., ICLR 2021, released code"

DECLARATION = MethodDeclaration(
    name="tent",
    recipe_version=1,
    summary="Trains as ERM; on each test case the norms' scale and shift are adapted to make predictions certain.",
    implementation="dgsweep_methods.tent.method:Tent",
    paper="Wang et al., Tent: Fully Test-Time Adaptation by Entropy Minimization, ICLR 2021",
    hyperparameters={
        "learning_rate": Hyperparameter(default=1e-3, low=0.0, high=1.0, help="rate of Adam", source=SOURCE),
        "steps": Hyperparameter(default=1, low=0, high=100, help="updates on each case", source=SOURCE),
        "min_foreground": Hyperparameter(
            default=0.05,
            low=0.0,
            high=1.0,
            help="foreground probability from which a voxel counts; 0 counts every voxel, as the paper",
            source="ours: over all voxels the least entropy of a small organ is to predict none",
        ),
    },
    requires=Requires(affine_norms=True, test_time=True),
    identity={"steps": 0},
    own_test="closed_form",
)
