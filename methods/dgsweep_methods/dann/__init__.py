"""DANN: features from which a discriminator cannot tell the domain."""

from dgsweep.method import Hyperparameter, MethodDeclaration, Requires

SOURCE = "DomainBed hparams_registry"

DECLARATION = MethodDeclaration(
    name="dann",
    recipe_version=1,
    summary="A discriminator tells the source domain from bottleneck voxels; the reversed gradient makes it fail.",
    implementation="dgsweep_methods.dann.method:Dann",
    paper="Ganin et al., Domain-Adversarial Training of Neural Networks, JMLR 2016",
    requires=Requires(min_source_domains=2, min_batch_domains=2),
    hyperparameters={
        "penalty": Hyperparameter(
            default=1.0, low=0.0, high=100.0, help="final weight of the reversed gradient", source=f"{SOURCE} (lambda)"
        ),
        "gradient_penalty": Hyperparameter(
            default=0.0,
            low=0.0,
            high=100.0,
            help="weight of the squared gradient of the discriminator by its input",
            source=f"{SOURCE} (grad_penalty)",
        ),
        "width": Hyperparameter(
            default=256, low=8, high=2048, help="hidden units of the discriminator", source=f"{SOURCE} (mlp_width)"
        ),
        "voxels": Hyperparameter(
            default=256, low=1, high=4096, help="bottleneck voxels drawn of each sample", source="ours: 256"
        ),
    },
    identity={"penalty": 0.0},
    own_test="depends_on_domain_ids",
)
