"""SimCLR in 3D: two random views of a patch must be closer to each other than to the other patches of the batch."""

from dgsweep.method import Hyperparameter, MethodDeclaration, Requires

SOURCE = "SimCLR"

DECLARATION = MethodDeclaration(
    name="simclr3d",
    recipe_version=1,
    summary="Pretraining: two crops of a patch with other intensities must be told from other patches.",
    implementation="dgsweep_methods.simclr3d.method:SimClr",
    paper="Chen et al., A Simple Framework for Contrastive Learning of Visual Representations, ICML 2020; in 3D",
    requires=Requires(phase="pretrain"),
    hyperparameters={
        "temperature": Hyperparameter(
            default=0.1, low=0.01, high=1.0, help="of the contrast", source=f"{SOURCE}, its best of 0.05 to 1"
        ),
        "projection": Hyperparameter(
            default=128, low=2, high=4096, help="length of the compared vectors", source=SOURCE
        ),
        "crop": Hyperparameter(
            default=0.08,
            low=0.01,
            high=1.0,
            help="smallest share of the volume in a crop",
            source=f"{SOURCE}, of the area",
        ),
        "strength": Hyperparameter(
            default=0.5,
            low=0.0,
            high=1.0,
            help="of jitter, blur and noise of the intensities",
            source="UniMatch, released code for medical images",
        ),
    },
    forward_passes_per_step=2.0,
    no_identity_reason="it learns without labels, ERM from them",
    own_test="closed_form",
)
