"""Models of the original packages segment-anything and sam2 with the sizes of an `Architecture` and random weights.

The packages import torchvision for image transforms and box utilities that no model uses; there is no CPU build of it
here, so those imports are stubbed. Their model code runs as it is.
"""

import importlib
import importlib.util
import sys
from contextlib import contextmanager
from functools import partial
from types import ModuleType

import torch
import transformers.utils.import_utils  # looks for torchvision while it is imported: must come before the stubs
from torch import nn
from transformers import Sam2Model, Sam2VideoModel, SamModel

LOADED = (transformers, Sam2Model, Sam2VideoModel, SamModel)
_STUBS = {
    "torchvision": (),
    "torchvision.ops": (),
    "torchvision.ops.boxes": ("batched_nms", "box_area"),
    "torchvision.transforms": ("Normalize", "Resize", "ToTensor"),
    "torchvision.transforms.functional": ("resize", "to_pil_image"),
}


@contextmanager
def without_torchvision():
    if importlib.util.find_spec("torchvision"):
        yield
        return
    for name, values in _STUBS.items():
        stub = ModuleType(name)
        for value in values:
            setattr(stub, value, None)
        sys.modules[name] = stub
    try:
        yield
    finally:
        for name in _STUBS:
            sys.modules.pop(name, None)


with without_torchvision():
    import segment_anything.modeling as sam_package
    from sam2.modeling.backbones.hieradet import Hiera
    from sam2.modeling.backbones.image_encoder import FpnNeck, ImageEncoder
    from sam2.modeling.memory_attention import MemoryAttention, MemoryAttentionLayer
    from sam2.modeling.memory_encoder import CXBlock, Fuser, MaskDownSampler, MemoryEncoder
    from sam2.modeling.position_encoding import PositionEmbeddingSine
    from sam2.modeling.sam.transformer import RoPEAttention
    from sam2.sam2_video_predictor import SAM2VideoPredictor


def original_sam(architecture, seed=0):
    torch.manual_seed(seed)
    a, hidden = architecture, architecture.hidden
    grid = a.image_size_px // 16
    model = sam_package.Sam(
        image_encoder=sam_package.ImageEncoderViT(
            depth=a.blocks[0],
            embed_dim=a.width,
            img_size=a.image_size_px,
            mlp_ratio=4,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            num_heads=a.heads,
            patch_size=16,
            qkv_bias=True,
            use_rel_pos=True,
            global_attn_indexes=a.global_blocks,
            window_size=a.windows[0],
            out_chans=hidden,
        ),
        prompt_encoder=sam_package.PromptEncoder(
            embed_dim=hidden,
            image_embedding_size=(grid, grid),
            input_image_size=(a.image_size_px, a.image_size_px),
            mask_in_chans=16,
        ),
        mask_decoder=sam_package.MaskDecoder(
            num_multimask_outputs=3,
            transformer=sam_package.TwoWayTransformer(
                depth=2, embedding_dim=hidden, mlp_dim=a.decoder_mlp, num_heads=8
            ),
            transformer_dim=hidden,
            iou_head_depth=3,
            iou_head_hidden_dim=a.iou_hidden,
        ),
    )
    return fill(model, seed).eval()


def original_sam2(architecture, seed=0, postprocessing=True, random_everywhere=True):
    """The video predictor of sam2.build_sam.build_sam2_video_predictor, hole filling aside (it needs a CUDA kernel).

    `random_everywhere=False` leaves the weights as the package begins them, which is what one trains from.
    """
    torch.manual_seed(seed)
    a = architecture
    v21 = {"proj_tpos_enc_in_obj_ptrs": True, "use_signed_tpos_enc_to_obj_ptrs": True}
    stable = {
        "dynamic_multimask_via_stability": True,
        "dynamic_multimask_stability_delta": 0.05,
        "dynamic_multimask_stability_thresh": 0.98,
    }
    model = SAM2VideoPredictor(
        image_encoder=_sam2_encoder(a),
        memory_attention=_memory_attention(a),
        memory_encoder=_memory_encoder(a),
        num_maskmem=a.memory_frames,
        image_size=a.image_size_px,
        sigmoid_scale_for_mem_enc=20.0,
        sigmoid_bias_for_mem_enc=-10.0,
        binarize_mask_from_pts_for_mem_enc=postprocessing,
        use_mask_input_as_output_without_sam=True,
        directly_add_no_mem_embed=True,
        no_obj_embed_spatial=a.occlusion_embedding,
        use_high_res_features_in_sam=True,
        multimask_output_in_sam=True,
        iou_prediction_use_sigmoid=True,
        use_obj_ptrs_in_encoder=True,
        add_tpos_enc_to_obj_ptrs=a.pointer_positions,
        **(v21 if a.pointer_positions else {}),
        only_obj_ptrs_in_the_past_for_eval=True,
        pred_obj_scores=True,
        pred_obj_scores_mlp=True,
        fixed_no_obj_ptr=True,
        multimask_output_for_tracking=True,
        use_multimask_token_for_obj_ptr=True,
        multimask_min_pt_num=0,
        multimask_max_pt_num=1,
        use_mlp_for_obj_ptr_proj=True,
        sam_mask_decoder_extra_args=stable if postprocessing else None,
        fill_hole_area=0,
    )
    return fill(model, seed).eval() if random_everywhere else model


def fill(model, seed):
    """Random weights in every parameter, also in those that the packages begin at zero or one."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.ndim > 1 and "embed" not in name and "token" not in name:
            scale = (parameter[0].numel() if "upscaling" not in name else parameter.shape[0]) ** -0.5
            parameter.data = noise * scale
        else:
            parameter.data = parameter.data + noise * 0.1
    return model


def _sam2_encoder(a):
    trunk = Hiera(
        embed_dim=a.width,
        num_heads=a.heads,
        stages=a.blocks,
        global_att_blocks=a.global_blocks,
        window_pos_embed_bkg_spatial_size=(7, 7),
        window_spec=a.windows,
    )
    neck = FpnNeck(
        position_encoding=PositionEmbeddingSine(num_pos_feats=a.hidden, normalize=True, scale=None, temperature=10000),
        d_model=a.hidden,
        backbone_channel_list=trunk.channel_list,
        fpn_top_down_levels=[2, 3],
        fpn_interp_model="nearest",
    )
    return ImageEncoder(trunk=trunk, neck=neck, scalp=1)


def _memory_attention(a):
    side = a.image_size_px // 16
    rope = {
        "embedding_dim": a.hidden,
        "num_heads": 1,
        "downsample_rate": 1,
        "dropout": 0.1,
        "rope_theta": 10000.0,
        "feat_sizes": (side, side),
    }
    layer = MemoryAttentionLayer(
        activation="relu",
        dim_feedforward=a.memory_mlp,
        dropout=0.1,
        pos_enc_at_attn=False,
        self_attention=RoPEAttention(**rope),
        d_model=a.hidden,
        pos_enc_at_cross_attn_keys=True,
        pos_enc_at_cross_attn_queries=False,
        cross_attention=RoPEAttention(**rope, rope_k_repeat=True, kv_in_dim=64),
    )
    return MemoryAttention(d_model=a.hidden, pos_enc_at_input=True, layer=layer, num_layers=a.memory_layers)


def _memory_encoder(a):
    return MemoryEncoder(
        out_dim=64,
        in_dim=a.hidden,
        position_encoding=PositionEmbeddingSine(num_pos_feats=64, normalize=True, scale=None, temperature=10000),
        mask_downsampler=MaskDownSampler(embed_dim=a.hidden, kernel_size=3, stride=2, padding=1),
        fuser=Fuser(CXBlock(dim=a.hidden, kernel_size=7, padding=3, layer_scale_init_value=1e-6), num_layers=2),
    )
