"""Fourier amplitude mix: the amplitudes of another domain on the phases of the sample."""

from dgsweep.method import Hyperparameter, MethodDeclaration, Requires

DECLARATION = MethodDeclaration(
    name="fourier_mix",
    recipe_version=1,
    summary="Low-frequency Fourier amplitudes are mixed with those of another domain; phases, so shapes, stay.",
    implementation="dgsweep_methods.fourier_mix.method:FourierMix",
    paper="Liu et al., FedDG, CVPR 2021; Xu et al., A Fourier-Based Framework for DG (FACT), CVPR 2021",
    requires=Requires(min_source_domains=2, min_batch_domains=2),
    hyperparameters={
        "probability": Hyperparameter(
            default=0.5,
            low=0.0,
            high=1.0,
            help="share of the samples that are mixed; the others stay originals",
            source="FedDG and FACT train on originals and mixed images side by side",
        ),
        "alpha": Hyperparameter(
            default=1.0, low=0.0, high=1.0, help="the partner's share is U(0, alpha)", source="FACT, released config"
        ),
        "extent": Hyperparameter(
            default=0.1,
            low=0.0,
            high=0.5,
            help="share of each axis of the spectrum that is mixed: 0 the zero frequency alone, 0.5 all (FACT)",
            source="FedDG's released function: L = 0.1",
        ),
    },
    identity={"probability": 0.0},
    own_test="depends_on_domain_ids",
)
