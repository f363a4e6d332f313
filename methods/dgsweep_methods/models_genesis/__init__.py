"""Models Genesis: a patch is shuffled, recoloured and painted over, and the network gives the original back."""

from dgsweep.method import Hyperparameter, MethodDeclaration, Requires

SOURCE = "Models Genesis, released code (PyTorch)"

DECLARATION = MethodDeclaration(
    name="models_genesis",
    recipe_version=1,
    summary="Pretraining: restore a patch from its shuffled, recoloured and painted-over version.",
    implementation="dgsweep_methods.models_genesis.method:ModelsGenesis",
    paper="Zhou et al., Models Genesis, Medical Image Analysis 2021 (MICCAI 2019)",
    requires=Requires(phase="pretrain", contrast_inversion="yes"),
    hyperparameters={
        "p_shuffle": Hyperparameter(
            default=0.5, low=0.0, high=1.0, help="probability that voxels are shuffled in small cubes", source=SOURCE
        ),
        "p_curve": Hyperparameter(
            default=0.9,
            low=0.0,
            high=1.0,
            help="probability of another intensity curve; half of the curves fall",
            source=SOURCE,
        ),
        "p_paint": Hyperparameter(
            default=0.9, low=0.0, high=1.0, help="probability that parts are painted over with noise", source=SOURCE
        ),
        "p_inner": Hyperparameter(
            default=0.2,
            low=0.0,
            high=1.0,
            help="of the painted patches, share with noise in boxes; the others have it all around boxes",
            source=SOURCE,
        ),
    },
    no_identity_reason="it learns without labels, ERM from them",
    own_test="closed_form",
)
