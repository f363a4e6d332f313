"""Parameter names of the original checkpoints beside the names that transformers 5.23 gives the same parameters.

Each row is one module (or bare parameter), `*` stands for a number, and a row holds for `.weight` and `.bias`. The
left names are those of the packages segment-anything 1.0 and sam2 1.1.0, the right ones those of `SamModel` and
`Sam2VideoModel`; no row is ambiguous in either direction, so the table maps both ways.
"""

from collections.abc import Iterable

Rows = tuple[tuple[str, str], ...]


def _under(original: str, transformers: str, parts: Iterable[tuple[str, str]]) -> Rows:
    return tuple((f"{original}.{old}", f"{transformers}.{new}") for old, new in parts)


def _same(*names: str) -> Rows:
    return tuple((name, name) for name in names)


def _attention(name: str, out: str) -> Rows:
    """Projections of one attention layer; SAM 2's output projection has another name in transformers."""
    return _under(name, name, (*_same("q_proj", "k_proj", "v_proj"), ("out_proj", out)))


_NORMS = tuple((f"norm{i}", f"layer_norm{i}") for i in range(1, 5))
_MLP = (("mlp.layers.0", "mlp.proj_in"), ("mlp.layers.1", "mlp.proj_out"))
_HEAD = (("layers.0", "proj_in"), ("layers.1", "layers.0"), ("layers.2", "proj_out"))
"""A head of three layers: transformers keeps only the middle one in its list."""


def _prompt_encoder(name: str) -> Rows:
    parts = (
        ("pe_layer.positional_encoding_gaussian_matrix", "shared_embedding.positional_embedding"),
        ("point_embeddings.*", "point_embed.*"),
        *_same("not_a_point_embed", "no_mask_embed"),
        ("mask_downscaling.0", "mask_embed.conv1"),
        ("mask_downscaling.1", "mask_embed.layer_norm1"),
        ("mask_downscaling.3", "mask_embed.conv2"),
        ("mask_downscaling.4", "mask_embed.layer_norm2"),
        ("mask_downscaling.6", "mask_embed.conv3"),
    )
    return _under(name, "prompt_encoder", parts)


def _mask_decoder(name: str, *, mlp: Rows, out: str) -> Rows:
    layer = (
        *_attention("self_attn", out),
        *_attention("cross_attn_token_to_image", out),
        *_attention("cross_attn_image_to_token", out),
        *_NORMS,
        *mlp,
    )
    transformer = (
        *_under("layers.*", "layers.*", layer),
        *_attention("final_attn_token_to_image", out),
        ("norm_final_attn", "layer_norm_final_attn"),
    )
    parts = (
        *_under("transformer", "transformer", transformer),
        *_same("iou_token", "mask_tokens"),
        ("output_upscaling.0", "upscale_conv1"),
        ("output_upscaling.1", "upscale_layer_norm"),
        ("output_upscaling.3", "upscale_conv2"),
        *_under("output_hypernetworks_mlps.*", "output_hypernetworks_mlps.*", _HEAD),
        *_under("iou_prediction_head", "iou_prediction_head", _HEAD),
    )
    return _under(name, "mask_decoder", parts)


_VIT_BLOCK = (
    *_NORMS[:2],
    *_same("attn.rel_pos_h", "attn.rel_pos_w", "attn.qkv", "attn.proj", "mlp.lin1", "mlp.lin2"),
)
_VIT = (
    *_same("pos_embed"),
    ("patch_embed.proj", "patch_embed.projection"),
    *_under("blocks.*", "layers.*", _VIT_BLOCK),
    ("neck.0", "neck.conv1"),
    ("neck.1", "neck.layer_norm1"),
    ("neck.2", "neck.conv2"),
    ("neck.3", "neck.layer_norm2"),
)
SAM: Rows = (
    *_under("image_encoder", "vision_encoder", _VIT),
    *_prompt_encoder("prompt_encoder"),
    *_mask_decoder("mask_decoder", mlp=_same("mlp.lin1", "mlp.lin2"), out="out_proj"),
)

_HIERA_BLOCK = (*_NORMS[:2], *_same("attn.qkv", "attn.proj", "proj"), *_MLP)
_HIERA = (
    *_same("pos_embed", "pos_embed_window"),
    ("patch_embed.proj", "patch_embed.projection"),
    *_under("blocks.*", "blocks.*", _HIERA_BLOCK),
)
_MEMORY_LAYER = (
    *_attention("self_attn", "o_proj"),
    *_attention("cross_attn_image", "o_proj"),
    *_same("linear1", "linear2"),
    *_NORMS[:3],
)
_FUSER_LAYER = (
    ("gamma", "scale"),
    ("dwconv", "depthwise_conv"),
    ("norm", "layer_norm"),
    ("pwconv1", "pointwise_conv1"),
    ("pwconv2", "pointwise_conv2"),
)
_DOWNSAMPLER = (
    *((f"encoder.{3 * i}", f"layers.{i}.conv") for i in range(4)),
    *((f"encoder.{3 * i + 1}", f"layers.{i}.layer_norm") for i in range(4)),
    ("encoder.12", "final_conv"),
)
_MEMORY: Rows = (
    ("maskmem_tpos_enc", "memory_temporal_positional_encoding"),
    ("no_mem_pos_enc", "no_memory_positional_encoding"),
    ("no_obj_ptr", "no_object_pointer"),
    ("no_obj_embed_spatial", "occlusion_spatial_embedding_parameter"),
    *_same("mask_downsample"),
    *_under("memory_attention.layers.*", "memory_attention.layers.*", _MEMORY_LAYER),
    ("memory_attention.norm", "memory_attention.layer_norm"),
    *_under("memory_encoder.mask_downsampler", "memory_encoder.mask_downsampler", _DOWNSAMPLER),
    ("memory_encoder.pix_feat_proj", "memory_encoder.feature_projection"),
    *_under("memory_encoder.fuser.layers.*", "memory_encoder.memory_fuser.layers.*", _FUSER_LAYER),
    ("memory_encoder.out_proj", "memory_encoder.projection"),
    *_under("obj_ptr_proj", "object_pointer_proj", _HEAD),
    ("obj_ptr_tpos_proj", "temporal_positional_encoding_projection_layer"),
)
MEMORY_ONLY = tuple(sorted({new.split(".")[0] for _, new in _MEMORY}))
"""First parts of the transformers names that only the video model has; the image model leaves them out."""
SAM2: Rows = (
    ("no_mem_embed", "no_memory_embedding"),
    *_under("image_encoder.trunk", "vision_encoder.backbone", _HIERA),
    ("image_encoder.neck.convs.*.conv", "vision_encoder.neck.convs.*"),
    *_prompt_encoder("sam_prompt_encoder"),
    *_mask_decoder("sam_mask_decoder", mlp=_MLP, out="o_proj"),
    ("sam_mask_decoder.conv_s0", "mask_decoder.conv_s0"),
    ("sam_mask_decoder.conv_s1", "mask_decoder.conv_s1"),
    ("sam_mask_decoder.obj_score_token", "mask_decoder.obj_score_token"),
    *_under("sam_mask_decoder.pred_obj_score_head", "mask_decoder.pred_obj_score_head", _HEAD),
    *_MEMORY,
)
UNUSED = ("pixel_mean", "pixel_std")
"""Buffers of SAM that some checkpoints carry; preprocessing has its own constants."""
