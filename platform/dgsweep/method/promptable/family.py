"""Networks of the SAM family, built from `transformers` (imported here lazily: only workers need it)."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from dgsweep.errors import Problems, WeightsError
from dgsweep.method.promptable.architecture import (
    FAMILIES,
    HIERA_STRIDE_PX,
    MEMORY_CHANNELS,
    PATCH_PX,
    Architecture,
)
from dgsweep.method.promptable.layout import MEMORY_ONLY
from dgsweep.method.promptable.mapping import IMAGE_POSITION, PROMPT_POSITION, Mismatch, compare, to_original
from dgsweep.method.promptable.record import read_record

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

__all__ = ["FAMILIES", "Architecture", "Loaded", "build", "build_random", "expected_shapes", "is_video"]

_INIT_STD = 0.02
"""Of embeddings and tokens, as in both original packages."""


class Loaded(Protocol):
    """What `build` returns, as far as all families agree: a transformers module in eval mode.

    `sam` and `medsam` are a SamModel, `sam2` is a Sam2Model (images) and `medsam2` a Sam2VideoModel (slices in order).
    """

    config: Any

    def get_image_embeddings(self, pixel_values: "Tensor") -> Any:
        """Embedding of images (B, 3, H, W), H and W being the architecture's `image_size_px`.

        A tensor (B, C, H/16, W/16) for SAM; for SAM 2 a list of three, strides 4, 8 and 16 px, finest first.
        """
        ...


def is_video(family: str) -> bool:
    """Whether a family is built with its memory where nothing else is asked for."""
    return family == "medsam2"


def build(
    family: str, weights: Path, *, device: "torch.device | str" = "cpu", video: bool | None = None
) -> "nn.Module":
    """Network of registered weights in eval mode, without gradients; every parameter comes from the file.

    Args:
        family: One of `FAMILIES`; what the weights were registered as.
        weights: A safetensors file written by `weights.register`, its JSON beside it.
        device: Where the network is put.
        video: With SAM 2's memory (Sam2VideoModel) or without (Sam2Model); as the family is used where not given.

    Raises:
        WeightsError: the weights are of another family, damaged, or do not fit their architecture.
    """
    from safetensors.torch import load_file

    record = read_record(weights)
    if record.family != family:
        problems = Problems()
        problems.add(str(weights), f"registered as {record.family}", f"weights of {family}")
        problems.raise_if_any(WeightsError, f"these are no weights of {family}")
    network = _network(record.architecture, video=video)
    state = load_file(weights)
    wanted = network.state_dict()
    if not _remembers(record.architecture, video=video):
        state = {name: value for name, value in state.items() if name.split(".")[0] not in MEMORY_ONLY}
    _refuse(compare(_shapes(state), _shapes(wanted)), str(weights))
    network.load_state_dict(state)
    return network.to(device).eval().requires_grad_(requires_grad=False)


def build_random(family: str, architecture: Architecture, seed: int, *, video: bool | None = None) -> "nn.Module":
    """Network with weights from a seed, in eval mode; it can be trained.

    Every parameter is drawn with a scale that lets the image and the prompt reach the output, unlike transformers'
    own initial values, which are next to zero for SAM's image encoder.
    """
    import torch

    if architecture.family != family:
        raise ValueError(f"an architecture of {architecture.family}, not of {family}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _network(architecture, video=video)
        _draw(network)
    return network.eval()


def expected_shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    """Parameters of an architecture, SAM 2's memory included: names of the original layout and shapes."""
    import torch

    with torch.device("meta"):
        state = _network(architecture, video=True).state_dict()
    return _shapes(to_original(state, architecture.family))


def _network(architecture: Architecture, *, video: bool | None) -> "nn.Module":
    from transformers import Sam2Model, Sam2VideoModel, SamModel

    if not architecture.is_hiera:
        return SamModel(_sam_config(architecture))
    if _remembers(architecture, video=video):
        return Sam2VideoModel(_sam2_config(architecture, video=True))
    return Sam2Model(_sam2_config(architecture, video=False))


def _remembers(architecture: Architecture, *, video: bool | None) -> bool:
    return architecture.is_hiera and (is_video(architecture.family) if video is None else video)


def _sam_config(architecture: Architecture) -> Any:
    """SAM's configuration; vision and prompts must agree on the image size, or positions are silently wrong."""
    from transformers import SamConfig
    from transformers.models.sam.configuration_sam import SamMaskDecoderConfig, SamPromptEncoderConfig, SamVisionConfig

    size, hidden = architecture.image_size_px, architecture.hidden
    return SamConfig(
        vision_config=SamVisionConfig(
            hidden_size=architecture.width,
            output_channels=hidden,
            num_hidden_layers=architecture.blocks[0],
            num_attention_heads=architecture.heads,
            image_size=size,
            patch_size=PATCH_PX,
            window_size=architecture.windows[0],
            global_attn_indexes=list(architecture.global_blocks),
            num_pos_feats=hidden // 2,
        ),
        prompt_encoder_config=SamPromptEncoderConfig(hidden_size=hidden, image_size=size, patch_size=PATCH_PX),
        mask_decoder_config=SamMaskDecoderConfig(
            hidden_size=hidden, mlp_dim=architecture.decoder_mlp, iou_head_hidden_dim=architecture.iou_hidden
        ),
    )


def _sam2_config(architecture: Architecture, *, video: bool) -> Any:
    """SAM 2's configuration; every setting that follows from the image size is derived from it here."""
    from transformers import Sam2Config, Sam2VideoConfig
    from transformers.models.sam2.configuration_sam2 import Sam2MaskDecoderConfig, Sam2PromptEncoderConfig
    from transformers.models.sam2_video.configuration_sam2_video import (
        Sam2VideoMaskDecoderConfig,
        Sam2VideoPromptEncoderConfig,
    )

    prompts, decoder = (
        (Sam2VideoPromptEncoderConfig, Sam2VideoMaskDecoderConfig)
        if video
        else (Sam2PromptEncoderConfig, Sam2MaskDecoderConfig)
    )
    size, hidden = architecture.image_size_px, architecture.hidden
    parts = {
        "vision_config": _hiera_config(architecture),
        "prompt_encoder_config": prompts(hidden_size=hidden, image_size=size, patch_size=PATCH_PX),
        "mask_decoder_config": decoder(
            hidden_size=hidden, mlp_dim=architecture.decoder_mlp, iou_head_hidden_dim=architecture.iou_hidden
        ),
    }
    return Sam2VideoConfig(**parts, **_memory_settings(architecture)) if video else Sam2Config(**parts)


def _hiera_config(architecture: Architecture) -> Any:
    from transformers.models.sam2.configuration_sam2 import Sam2HieraDetConfig, Sam2VisionConfig

    size, widths = architecture.image_size_px, architecture.stage_widths
    backbone = Sam2HieraDetConfig(
        hidden_size=architecture.width,
        num_attention_heads=architecture.heads,
        image_size=[size, size],
        blocks_per_stage=list(architecture.blocks),
        embed_dim_per_stage=list(widths),
        num_attention_heads_per_stage=list(architecture.stage_heads),
        window_size_per_stage=list(architecture.windows),
        global_attention_blocks=list(architecture.global_blocks),
    )
    sides = [size // (HIERA_STRIDE_PX * 2**level) for level in range(3)]
    return Sam2VisionConfig(
        backbone_config=backbone,
        backbone_channel_list=list(reversed(widths)),
        backbone_feature_sizes=[[side, side] for side in sides],
        fpn_hidden_size=architecture.hidden,
    )


def _memory_settings(architecture: Architecture) -> dict[str, Any]:
    side, hidden = architecture.image_size_px // PATCH_PX, architecture.hidden
    return {
        "image_size": architecture.image_size_px,
        "num_maskmem": architecture.memory_frames,
        "enable_occlusion_spatial_embedding": architecture.occlusion_embedding,
        "enable_temporal_pos_encoding_for_object_pointers": architecture.pointer_positions,
        "memory_attention_hidden_size": hidden,
        "memory_attention_num_layers": architecture.memory_layers,
        "memory_attention_feed_forward_hidden_size": architecture.memory_mlp,
        "memory_attention_rope_feat_sizes": [side, side],
        "memory_encoder_hidden_size": hidden,
        "memory_encoder_output_channels": MEMORY_CHANNELS,
        "mask_downsampler_embed_dim": hidden,
        "memory_fuser_embed_dim": hidden,
        "memory_fuser_intermediate_dim": 4 * hidden,  # CXBlock of sam2.modeling.memory_encoder
    }


def _shapes(state: "dict[str, Tensor]") -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in state.items()}


def _refuse(mismatch: Mismatch, where: str) -> None:
    problems = Problems()
    mismatch.report(where, problems)
    problems.raise_if_any(WeightsError, "the weights do not fit their architecture")


def _draw(network: "nn.Module") -> None:
    """Matrices and kernels by their fan-in, embeddings and tokens narrow, scales of norms one, biases zero."""
    from torch import nn

    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            fan_in = module.weight[0].numel() if not isinstance(module, nn.ConvTranspose2d) else module.in_channels
            nn.init.trunc_normal_(module.weight, std=fan_in**-0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.trunc_normal_(module.weight, std=_INIT_STD)
    for parameter in network.parameters():
        if not parameter.any():
            _draw_embedding(parameter)
    _draw_positions(network)


def _draw_positions(network: "nn.Module") -> None:
    """The random matrix of the positions, which image and prompts share."""
    named = {**dict(network.named_parameters(remove_duplicate=False)), **dict(network.named_buffers())}
    position = named[PROMPT_POSITION]
    named[IMAGE_POSITION].data.copy_(position.data.normal_())


def _draw_embedding(parameter: "nn.Parameter") -> None:
    from torch import nn

    if parameter.ndim > 1:  # biases, of one axis, stay zero
        nn.init.trunc_normal_(parameter, std=_INIT_STD)
