"""GIN + IPA: re-coloured images blended by a random smooth mask; three predictions must agree."""

from dgsweep.method import Hyperparameter, MethodDeclaration, Requires

SOURCE = "Ouyang et al., IEEE TMI 2023 (arXiv 2111.12525), released code"

DECLARATION = MethodDeclaration(
    name="gin_ipa",
    recipe_version=1,
    summary="Two random re-colourings are blended by a smooth random mask; predictions of three views must agree.",
    implementation="dgsweep_methods.gin_ipa.method:GinIpa",
    paper="Ouyang et al., Causality-inspired single-source domain generalization, IEEE TMI 2023",
    requires=Requires(contrast_inversion="yes"),
    hyperparameters={
        "layers": Hyperparameter(default=4, low=1, high=8, help="convolutions of the random network", source=SOURCE),
        "channels": Hyperparameter(default=2, low=1, high=16, help="channels between the layers", source=SOURCE),
        "kernels": Hyperparameter(
            default=(1, 3), choices=((1,), (3,), (1, 3)), help="kernel sizes that a layer draws from", source=SOURCE
        ),
        "cells": Hyperparameter(
            default=4, low=1, high=16, help="control points of the mask along each axis of the patch", source=SOURCE
        ),
        "consistency": Hyperparameter(
            default=10.0, low=0.0, high=1000.0, help="weight of the agreement of three views", source=SOURCE
        ),
    },
    forward_passes_per_step=3.0,
    no_identity_reason="every sample is re-coloured in each step; the weight 0 leaves the augmentation",
    own_test="closed_form",
)
