"""RAM-DSIR: random amplitude mixup with a decoder that restores each domain's own image."""

from dgsweep.method import Hyperparameter, MethodDeclaration, Requires

SOURCE = "Zhou et al., ECCV 2022 (arXiv 2208.03901), released code"

DECLARATION = MethodDeclaration(
    name="ram_dsir",
    recipe_version=1,
    summary="Amplitude-mixed second view, agreement of both predictions, and a decoder that restores the image.",
    implementation="dgsweep_methods.ram_dsir.method:RamDsir",
    paper="Zhou et al., Generalizable segmentation via random amplitude mixup and image restoration, ECCV 2022",
    requires=Requires(min_source_domains=2, min_batch_domains=2),
    hyperparameters={
        "restoration": Hyperparameter(
            default=0.1, low=0.0, high=100.0, help="weight of the restoration error", source=SOURCE
        ),
        "consistency": Hyperparameter(
            default=0.5, low=0.0, high=100.0, help="weight of the divergence of both predictions", source=SOURCE
        ),
        "alpha": Hyperparameter(
            default=1.0, low=0.0, high=1.0, help="the partner's share of the amplitude is U(0, alpha)", source=SOURCE
        ),
        "extent": Hyperparameter(
            default=0.1, low=0.0, high=0.5, help="share of each axis of the spectrum that is mixed", source=SOURCE
        ),
    },
    variants=("paper", "as_shipped"),
    forward_passes_per_step=2.0,
    no_identity_reason="both views are segmented in every step, which no setting undoes",
    own_test="depends_on_domain_ids",
)
