"""Small models of each architecture with random weights, and a stub that answers a box by the box itself."""

from types import SimpleNamespace

import torch
from torch import nn
from transformers import (
    Sam2Config,
    Sam2Model,
    Sam2VideoConfig,
    Sam2VideoModel,
    SamConfig,
    SamModel,
)
from transformers.models.sam.configuration_sam import SamMaskDecoderConfig, SamPromptEncoderConfig, SamVisionConfig
from transformers.models.sam2.configuration_sam2 import (
    Sam2HieraDetConfig,
    Sam2MaskDecoderConfig,
    Sam2PromptEncoderConfig,
    Sam2VisionConfig,
)
from transformers.models.sam2_video.configuration_sam2_video import (
    Sam2VideoMaskDecoderConfig,
    Sam2VideoPromptEncoderConfig,
)

SIDE = 64
WIDE = 128
"""transformers' Sam2VideoModel works with 64 channels of memory only, and with a multiple of them, two or more."""


def randomised(model: nn.Module, seed: int) -> nn.Module:
    """Weights large enough that masks depend on image and prompt."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            spread = parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.1
            parameter.add_(spread * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def sam(seed: int = 0) -> nn.Module:
    vision = SamVisionConfig(
        hidden_size=WIDE, output_channels=WIDE, num_hidden_layers=2, num_attention_heads=2, image_size=SIDE,
        window_size=3, global_attn_indexes=[1], num_pos_feats=WIDE // 2, mlp_dim=WIDE,
    )  # fmt: skip
    prompt = SamPromptEncoderConfig(hidden_size=WIDE, image_size=SIDE)
    decoder = SamMaskDecoderConfig(hidden_size=WIDE, mlp_dim=WIDE, num_attention_heads=2, iou_head_hidden_dim=WIDE)
    config = SamConfig(vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder)
    return randomised(SamModel(config), seed)


def _hiera() -> Sam2VisionConfig:
    backbone = Sam2HieraDetConfig(
        hidden_size=8, image_size=[SIDE, SIDE], blocks_per_stage=[1, 1, 2, 1], embed_dim_per_stage=[8, 16, 32, 64],
        num_attention_heads_per_stage=[1, 1, 2, 4], window_size_per_stage=[8, 4, 4, 2], global_attention_blocks=[3],
    )  # fmt: skip
    return Sam2VisionConfig(
        backbone_config=backbone, backbone_channel_list=[64, 32, 16, 8], fpn_hidden_size=WIDE,
        backbone_feature_sizes=[[SIDE // 4] * 2, [SIDE // 8] * 2, [SIDE // 16] * 2],
    )  # fmt: skip


def sam2(seed: int = 0) -> nn.Module:
    prompt = Sam2PromptEncoderConfig(hidden_size=WIDE, image_size=SIDE)
    decoder = Sam2MaskDecoderConfig(hidden_size=WIDE, mlp_dim=WIDE, num_attention_heads=2, iou_head_hidden_dim=WIDE)
    config = Sam2Config(vision_config=_hiera(), prompt_encoder_config=prompt, mask_decoder_config=decoder)
    return randomised(Sam2Model(config), seed)


def sam2_video(seed: int = 0) -> nn.Module:
    prompt = Sam2VideoPromptEncoderConfig(hidden_size=WIDE, image_size=SIDE)
    decoder = Sam2VideoMaskDecoderConfig(
        hidden_size=WIDE, mlp_dim=WIDE, num_attention_heads=2, iou_head_hidden_dim=WIDE
    )
    config = Sam2VideoConfig(
        vision_config=_hiera(), prompt_encoder_config=prompt, mask_decoder_config=decoder, image_size=SIDE,
        memory_attention_hidden_size=WIDE, memory_attention_num_layers=2,
        memory_attention_feed_forward_hidden_size=WIDE, memory_attention_rope_feat_sizes=[SIDE // 16] * 2,
        memory_encoder_hidden_size=WIDE,
        memory_encoder_output_channels=64, mask_downsampler_embed_dim=WIDE, memory_fuser_embed_dim=WIDE,
        memory_fuser_intermediate_dim=WIDE,
    )  # fmt: skip
    made = randomised(Sam2VideoModel(config), seed)
    with torch.no_grad():  # the object appears everywhere, so that masks are not all blanked
        made.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(20.0)
    return made


class BoxStub(nn.Module):
    """A SAM whose mask is the box that it is given, on a grid of `low_res` pixels over the square image."""

    def __init__(self, family: str, native: tuple[int, int], low_res: int = 256) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        prompt = SimpleNamespace(image_size=1024)
        self.config = SimpleNamespace(model_type="sam", prompt_encoder_config=prompt)
        longest = (max(native), max(native))
        self.content = longest if family == "sam" else native  # rows, columns of native pixels under the square
        self.low_res = low_res
        self.seen: list[torch.Tensor] = []

    def get_image_embeddings(self, pixels: torch.Tensor) -> torch.Tensor:
        self.seen.append(pixels)
        return torch.zeros(len(pixels), 1, 1, 1)

    def forward(
        self, image_embeddings: torch.Tensor, input_boxes: torch.Tensor, multimask_output: bool
    ) -> SimpleNamespace:
        del image_embeddings
        assert not multimask_output
        centres = (torch.arange(self.low_res) + 0.5) / self.low_res
        rows, columns = ((centres * n).floor() for n in self.content)  # native pixel under each low-resolution pixel
        masks = []
        for x0, y0, x1, y1 in (input_boxes[:, 0] / 1024).tolist():
            height, width = self.content
            inside_y = (rows >= round(y0 * height)) & (rows <= round(y1 * height))
            inside_x = (columns >= round(x0 * width)) & (columns <= round(x1 * width))
            masks.append(inside_y[:, None] & inside_x[None, :])
        logits = torch.where(torch.stack(masks), 10.0, -10.0)
        return SimpleNamespace(pred_masks=logits[:, None, None])
