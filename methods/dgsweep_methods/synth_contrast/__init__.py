"""Contrast synthesis in the manner of SynthSeg: images drawn from the labels and clusters of the background."""

from dgsweep.method import Hyperparameter, MethodDeclaration, Requires

SOURCE = "Billot et al., Medical Image Analysis 2023 (arXiv 2107.09559), released code"

DECLARATION = MethodDeclaration(
    name="synth_contrast",
    recipe_version=1,
    summary="Images of random contrast and resolution, drawn from the labels and from clusters of the background.",
    implementation="dgsweep_methods.synth_contrast.method:SynthContrast",
    paper="Billot et al., SynthSeg: Segmentation of brain MRI scans of any contrast and resolution, MedIA 2023",
    requires=Requires(contrast_inversion="yes"),
    hyperparameters={
        "probability": Hyperparameter(
            default=1.0, low=0.0, high=1.0, help="share of the samples that are synthetic", source=SOURCE
        ),
        "clusters": Hyperparameter(
            default=16, low=1, high=64, help="intensity clusters of the background", source="dgsweep: 8 to 20 tissues"
        ),
        "bias": Hyperparameter(
            default=0.7, low=0.0, high=3.0, help="largest standard deviation of the log bias field", source=SOURCE
        ),
        "gamma": Hyperparameter(
            default=0.4, low=0.0, high=3.0, help="standard deviation of the log of gamma", source=SOURCE
        ),
        "max_thickness_mm": Hyperparameter(
            default=8.0, low=0.0, high=30.0, help="thickest slice imitated along one axis", source=SOURCE
        ),
        "max_voxel_mm": Hyperparameter(
            default=4.0, low=0.0, high=30.0, help="largest isotropic voxel imitated", source=SOURCE
        ),
        "elastic": Hyperparameter(
            default=4.0, low=0.0, high=20.0, help="largest deviation of the deformation's nodes, mm", source=SOURCE
        ),
    },
    identity={"probability": 0.0},
    own_test="closed_form",
)
