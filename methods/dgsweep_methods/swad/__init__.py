"""SWAD: the mean of all weights that training passed through while the validation loss lay in its valley."""

from dgsweep.method import Hyperparameter, MethodDeclaration, Requires

SOURCE = "Cha et al., NeurIPS 2021, released code"

DECLARATION = MethodDeclaration(
    name="swad",
    recipe_version=1,
    summary="Averages the weights of every step between the start and the end of the valley of the validation loss.",
    implementation="dgsweep_methods.swad.method:Swad",
    paper="Cha et al., SWAD: Domain Generalization by Seeking Flat Minima, NeurIPS 2021",
    hyperparameters={
        "n_converge": Hyperparameter(
            default=3, low=1, high=50, help="validations without a better one that start the valley", source=SOURCE
        ),
        "n_tolerance": Hyperparameter(
            default=6, low=1, high=50, help="validations above the limit that end the valley", source=SOURCE
        ),
        "tolerance": Hyperparameter(
            default=0.3, low=0.0, high=10.0, help="the limit's distance above the valley's floor", source=SOURCE
        ),
    },
    requires=Requires(min_validations=5, no_batch_norms=True),
    no_identity_reason="whether weights are averaged depends on the validation curve, not on a hyperparameter",
    own_test="closed_form",
)
