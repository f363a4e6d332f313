"""Adversarial noise: virtual adversarial training."""

from dgsweep.method import Hyperparameter, MethodDeclaration

SOURCE = "Miyato et al., IEEE TPAMI 2018"

DECLARATION = MethodDeclaration(
    name="advnoise",
    recipe_version=1,
    summary="Asks for the same prediction under the small noise that changes it most (virtual adversarial training).",
    implementation="dgsweep_methods.advnoise.method:AdvNoise",
    paper="Miyato et al., Virtual Adversarial Training, IEEE TPAMI 2018 (arXiv 1704.03976)",
    hyperparameters={
        "weight": Hyperparameter(default=1.0, low=0.0, high=100.0, help="weight of the consistency", source=SOURCE),
        "epsilon": Hyperparameter(
            default=0.1,
            low=0.0,
            high=2.0,
            help="root mean square of the noise, in standard deviations of the image",
            source="our choice: the paper's L2 norms do not carry over to 3D patches",
        ),
        "steps": Hyperparameter(default=1, low=1, high=5, help="power iterations", source=SOURCE),
    },
    forward_passes_per_step=3.0,
    identity={"weight": 0.0},
    own_test="closed_form",
)
