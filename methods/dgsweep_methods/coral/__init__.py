"""Deep CORAL: equal mean and covariance of features in every domain."""

from dgsweep.method import Hyperparameter, MethodDeclaration, Requires

DECLARATION = MethodDeclaration(
    name="coral",
    recipe_version=1,
    summary="Aligns mean and covariance of the bottleneck's voxel vectors between source domains.",
    implementation="dgsweep_methods.coral.method:Coral",
    paper="Sun and Saenko, Deep CORAL: Correlation Alignment for Deep Domain Adaptation, ECCV workshops 2016",
    requires=Requires(min_source_domains=2, min_batch_domains=2),
    hyperparameters={
        "penalty": Hyperparameter(
            default=1.0,
            low=0.0,
            high=1000.0,
            help="weight of the distance between domains",
            source="DomainBed hparams_registry (mmd_gamma)",
        ),
        "voxels": Hyperparameter(
            default=256, low=2, high=4096, help="bottleneck voxels drawn of each sample", source="ours: 256"
        ),
    },
    identity={"penalty": 0.0},
    own_test="zero_on_identical_domains",
)
