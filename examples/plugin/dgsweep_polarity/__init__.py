"""Polarity: show some samples with inverted intensities. This module must not import torch: planning reads it."""

from dgsweep.method import Hyperparameter, MethodDeclaration, Requires

DECLARATION = MethodDeclaration(
    name="polarity",
    recipe_version=1,
    summary="Shows some samples as their photographic negative; shapes stay, contrast inverts.",
    implementation="dgsweep_polarity.method:Polarity",
    requires=Requires(contrast_inversion="yes"),
    hyperparameters={
        "probability": Hyperparameter(default=0.5, low=0.0, high=1.0, help="share of the samples that are inverted"),
    },
    identity={"probability": 0.0},
)
