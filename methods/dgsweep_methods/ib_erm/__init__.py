"""IB-ERM: an information bottleneck, as a penalty on the variance of features within each domain."""

from dgsweep.method import Hyperparameter, MethodDeclaration

SOURCE = "DomainBed hparams_registry"

DECLARATION = MethodDeclaration(
    name="ib_erm",
    recipe_version=1,
    summary="Penalises the variance of the bottleneck's voxel vectors within each source domain.",
    implementation="dgsweep_methods.ib_erm.method:IbErm",
    paper="Ahuja et al., Invariance Principle Meets Information Bottleneck, NeurIPS 2021",
    hyperparameters={
        "penalty": Hyperparameter(
            default=100.0, low=0.0, high=1e5, help="weight of the variance of the features", source=SOURCE
        ),
        "anneal": Hyperparameter(
            default=0.1,
            low=0.0,
            high=1.0,
            help="share of the budget before the penalty starts",
            source=f"{SOURCE}: 500 of 5000 steps",
        ),
        "voxels": Hyperparameter(
            default=256, low=2, high=4096, help="bottleneck voxels drawn of each sample", source="ours: 256"
        ),
    },
    identity={"penalty": 0.0},
    own_test="depends_on_domain_ids",
)
