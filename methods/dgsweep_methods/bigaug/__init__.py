"""BigAug: nine strong augmentations in a row, each applied with probability one half."""

from dgsweep.method import Hyperparameter, MethodDeclaration

SOURCE = "Zhang et al., IEEE TMI 2020"

DECLARATION = MethodDeclaration(
    name="bigaug",
    recipe_version=1,
    summary="Nine strong augmentations of quality, appearance and shape in a row, each with probability one half.",
    implementation="dgsweep_methods.bigaug.method:BigAug",
    paper="Zhang et al., Generalizing Deep Learning to Unseen Domains via Deep Stacked Transformation, IEEE TMI 2020",
    hyperparameters={
        "probability": Hyperparameter(
            default=0.5, low=0.0, high=1.0, help="probability of each of the nine, for each sample", source=SOURCE
        ),
        "magnitude": Hyperparameter(
            default=1.0, low=0.0, high=2.0, help="1: the paper's ranges; 0.5: half as strong", source=SOURCE
        ),
    },
    identity={"probability": 0.0},
    own_test="closed_form",
)
