"""Declaration of `transbts`."""

from dgsweep.config.declaration import Hyperparameter, NetworkDeclaration

DECLARATION = NetworkDeclaration(
    name="transbts",
    recipe_version=1,
    summary="TransBTS: convolutions down to an eighth of each side, attention over all voxels there, convolutions up.",
    implementation="dgsweep.networks.transbts.network:build",
    paper="Wang et al., TransBTS, MICCAI 2021",
    source="ours, after the paper and github.com/Rubics-Xuan/TransBTS; transformer blocks of MONAI",
    options={
        "width": Hyperparameter(
            default=16, choices=(8, 16, 24, 32), help="channels of the first level", source="authors' code"
        ),
        "hidden_size": Hyperparameter(default=512, low=16, high=1024, help="channels of a token", source="paper"),
        "mlp_size": Hyperparameter(default=4096, low=16, high=8192, help="channels between", source="authors' code"),
        "heads": Hyperparameter(default=8, low=1, high=16, help="divides hidden_size", source="authors' code"),
        "layers": Hyperparameter(default=4, low=1, high=12, help="transformer blocks", source="paper"),
    },
    small={"width": 8, "hidden_size": 16, "mlp_size": 32, "heads": 2, "layers": 2},
    patch_multiple=(8, 8, 8),
    least_voxels=2,
    batch_norms=True,
)
