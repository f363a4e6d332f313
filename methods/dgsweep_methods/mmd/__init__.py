"""MMD: equal distributions of features in every domain, by kernel two-sample distances."""

from dgsweep.method import Hyperparameter, MethodDeclaration, Requires

DECLARATION = MethodDeclaration(
    name="mmd",
    recipe_version=1,
    summary="Maximum mean discrepancy with Gaussian kernels between the bottleneck's voxel vectors of source domains.",
    implementation="dgsweep_methods.mmd.method:Mmd",
    paper="Li et al., Domain Generalization with Adversarial Feature Learning, CVPR 2018",
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
            default=256, low=1, high=2048, help="bottleneck voxels drawn of each sample", source="ours: 256"
        ),
    },
    identity={"penalty": 0.0},
    own_test="zero_on_identical_domains",
)
