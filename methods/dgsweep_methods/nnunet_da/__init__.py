"""nnU-Net's data augmentation: its whole list of intensity changes with its probabilities."""

from dgsweep.method import Hyperparameter, MethodDeclaration, Requires

SOURCE = "nnU-Net v2 default trainer with batchgeneratorsv2"
WIDER = f"{SOURCE}; the wider range is that of nnU-Net v1's insaneDA2 as nnUNetDG uses it"


def _share(default: float, what: str) -> Hyperparameter:
    return Hyperparameter(default=default, low=0.0, high=1.0, help=f"share of the samples with {what}", source=SOURCE)


DECLARATION = MethodDeclaration(
    name="nnunet_da",
    recipe_version=1,
    summary="nnU-Net v2's intensity augmentation: noise, blur, brightness, contrast, low resolution, gamma both ways.",
    implementation="dgsweep_methods.nnunet_da.method:NnunetDa",
    paper="Isensee et al., nnU-Net, Nature Methods 18, 2021",
    requires=Requires(contrast_inversion="no"),
    hyperparameters={
        "p_noise": _share(0.1, "Gaussian noise"),
        "p_blur": _share(0.2, "Gaussian blur (of these, each channel with probability 0.5)"),
        "p_brightness": _share(0.15, "multiplied intensity"),
        "p_contrast": _share(0.15, "contrast scaled about the mean"),
        "p_low_resolution": _share(0.25, "simulated low resolution (of these, each channel with probability 0.5)"),
        "p_gamma_inverted": _share(0.1, "gamma correction of the negative image"),
        "p_gamma": _share(0.3, "gamma correction"),
        "noise": Hyperparameter(default=0.1, low=0.0, high=1.0, help="largest standard deviation", source=SOURCE),
        "blur": Hyperparameter(
            default=(0.5, 1.0),
            choices=((0.5, 1.0), (0.5, 1.5)),
            help="sigma in voxels, from and to",
            source=WIDER,
        ),
        "brightness": Hyperparameter(
            default=(0.75, 1.25),
            choices=((0.75, 1.25), (0.7, 1.3)),
            help="factor, from and to",
            source=WIDER,
        ),
        "contrast": Hyperparameter(
            default=(0.75, 1.25),
            choices=((0.75, 1.25), (0.65, 1.5)),
            help="factor, from and to",
            source=WIDER,
        ),
        "low_resolution": Hyperparameter(
            default=0.5, low=0.2, high=1.0, help="smallest zoom before zooming back", source=SOURCE
        ),
        "gamma": Hyperparameter(
            default=(0.7, 1.5),
            choices=((0.7, 1.5), (0.5, 4.5)),
            help="exponent, from and to",
            source=f"{SOURCE}; the wider range is that of nnUNetDG's BigAug trainer",
        ),
    },
    identity={
        "p_noise": 0.0,
        "p_blur": 0.0,
        "p_brightness": 0.0,
        "p_contrast": 0.0,
        "p_low_resolution": 0.0,
        "p_gamma_inverted": 0.0,
        "p_gamma": 0.0,
    },
    own_test="closed_form",
)
