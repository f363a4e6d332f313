"""Declaration of `ssformer`."""

from dgsweep.config.declaration import Hyperparameter, NetworkDeclaration

CODE = "github.com/Qiming-Huang/ssformer"

DECLARATION = NetworkDeclaration(
    name="ssformer",
    recipe_version=1,
    summary="SSFormer: a pyramid transformer encodes each slice, local convolutions and stepwise fusion decode it.",
    implementation="dgsweep.networks.ssformer.network:build",
    paper="Wang et al., Stepwise Feature Fusion: Local Guides Global, MICCAI 2022 (arXiv 2203.03635)",
    source=f"ours, after the paper and {CODE}",
    pretrained="an encoder trained on ImageNet (MiT-B2 for SSFormer-S, MiT-B4 for SSFormer-L)",
    dims=2,
    options={
        "encoder": Hyperparameter(
            default="mit",
            choices=("mit", "pvt_v2"),
            help="feed-forward widths of the pyramid: 4 everywhere (SegFormer's MiT) or 8, 8, 4, 4 (PVTv2)",
            source=f"{CODE}: configs of SSFormer-S and -L; the paper names both",
        ),
        "size": Hyperparameter(
            default="b2",
            choices=("b1", "b2", "b3", "b4"),
            help="depth of the pyramid: b2 is SSFormer-S, b4 SSFormer-L",
            source=CODE,
        ),
        "width": Hyperparameter(
            default=64,
            low=4,
            high=128,
            help="channels of the first stage; the others have 2, 5 and 8 times",
            source=CODE,
        ),
        "decoder_width": Hyperparameter(default=256, low=4, high=768, help="channels of the decoder", source=CODE),
        "drop_path": Hyperparameter(
            default=0.1, low=0.0, high=0.5, help="share of samples that skip the deepest block in training", source=CODE
        ),
        "dropout": Hyperparameter(default=0.1, low=0.0, high=0.9, help="dropout before the last layer", source=CODE),
    },
    small={"size": "b1", "width": 4, "decoder_width": 4, "drop_path": 0.0, "dropout": 0.0},
    patch_multiple=(32, 32, 1),
    least_patch=(64, 64, 1),
    batch_norms=True,
)
