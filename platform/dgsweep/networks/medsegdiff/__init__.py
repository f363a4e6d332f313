"""Declaration of `medsegdiff`."""

from dgsweep.config.declaration import Hyperparameter, NetworkDeclaration

CODE = "github.com/MedicineToken/MedSegDiff (MedSegDiff-B)"

DECLARATION = NetworkDeclaration(
    name="medsegdiff",
    recipe_version=1,
    summary="MedSegDiff's denoising 2D U-Net: an image encoder conditions it, filtered in frequency; needs its method.",
    implementation="dgsweep.networks.medsegdiff.network:build",
    paper="Wu et al., MedSegDiff: Medical Image Segmentation with Diffusion Probabilistic Model, MIDL 2023 "
    "(arXiv 2211.00611)",
    source=f"ours, after the paper and {CODE}, on residual blocks of MONAI DiffusionModelUNet",
    dims=2,
    options={
        "width": Hyperparameter(
            default=128, low=4, high=256, help="channels of the first two levels; the others have 2, 2, 4 and 4 times",
            source=CODE,
        ),
        "levels": Hyperparameter(default=6, low=3, high=6, help="resolutions; each halves x and y", source=CODE),
        "blocks": Hyperparameter(default=2, low=1, high=12, help="residual blocks of a level", source=CODE),
        "heads": Hyperparameter(default=1, low=1, high=8, help="heads of the two coarsest levels", source=CODE),
    },
    small={"width": 4, "levels": 3, "blocks": 1},
    patch_multiple=(32, 32, 1),
    least_patch=(64, 64, 1),
    denoises=True,
)  # fmt: skip
