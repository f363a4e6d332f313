"""SAM: sharpness-aware minimisation, a step from the gradient at the worst point nearby."""

from dgsweep.method import Hyperparameter, MethodDeclaration

DECLARATION = MethodDeclaration(
    name="sam_opt",
    recipe_version=1,
    summary="Sharpness-aware minimisation: each step takes the gradient at the worst weights within a small radius.",
    implementation="dgsweep_methods.sam_opt.method:SamOpt",
    paper="Foret et al., Sharpness-Aware Minimization for Efficiently Improving Generalization, ICLR 2021",
    hyperparameters={
        "rho": Hyperparameter(
            default=0.05,
            low=0.0,
            high=10.0,
            help="radius of the neighbourhood, in the norm of all weights",
            source="Foret et al., ICLR 2021",
        ),
    },
    forward_passes_per_step=2.0,
    identity={"rho": 0.0},
    own_test="closed_form",
)
