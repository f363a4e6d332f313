"""SAM's checkpoints: the package segment-anything and our mapped network compute the same from the same file."""

from dataclasses import replace

import pytest
import torch
from originals import original_sam

from dgsweep.method.promptable import mapping
from dgsweep.method.promptable.family import Architecture, build
from dgsweep.method.promptable.layout import SAM
from dgsweep.method.promptable.record import sidecar, write_record
from dgsweep.method.promptable.weights import register

TOLERANCE = 1e-4


def registered(tmp_path, architecture, family="sam", seed=0):
    original = original_sam(architecture, seed)
    file = tmp_path / "original.pth"
    torch.save(original.state_dict(), file)
    return original, register("random", file, family)


def images(size_px, count=2):
    return torch.randn(count, 3, size_px, size_px, generator=torch.Generator().manual_seed(7))


def original_masks(model, embedding, *, box_px=None, point_px=None, multimask=False):
    points = None if point_px is None else (point_px, torch.ones(point_px.shape[:2], dtype=torch.int))
    sparse, dense = model.prompt_encoder(points=points, boxes=box_px, masks=None)
    return model.mask_decoder(
        image_embeddings=embedding,
        image_pe=model.prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=multimask,
    )


def largest_difference(original, ours, size_px):
    """Over the embedding, and masks and IoU scores for a box and for a point."""
    box_px = torch.tensor([[0.2, 0.1, 0.7, 0.9]]) * size_px
    point_px = torch.tensor([[[0.4, 0.6]]]) * size_px
    with torch.no_grad():
        pixels = images(size_px, count=1 if size_px > 512 else 2)
        embedding, got = original.image_encoder(pixels), ours.get_image_embeddings(pixels)
        by_box = original_masks(original, embedding[:1], box_px=box_px)
        box = ours(image_embeddings=got[:1], input_boxes=box_px[None], multimask_output=False)
        by_point = original_masks(original, embedding[:1], point_px=point_px, multimask=True)
        point = ours(image_embeddings=got[:1], input_points=point_px[None], multimask_output=True)
    pairs = [
        (embedding, got),
        (by_box[0], box.pred_masks[:, 0]),
        (by_box[1], box.iou_scores[:, 0]),
        (by_point[0], point.pred_masks[:, 0]),
        (by_point[1], point.iou_scores[:, 0]),
    ]
    assert all(a.shape == b.shape and a.std() > 0.01 for a, b in pairs if a.numel() > 1)
    return max(float((a - b).abs().max()) for a, b in pairs)


@pytest.mark.parametrize("size_px", [64, 128, 208])
@pytest.mark.parametrize("family", ["sam", "medsam"])
def test_embedding_masks_and_scores_of_a_box_and_a_point_equal_the_original_package(tmp_path, family, size_px):
    original, record = registered(tmp_path, Architecture.small(family, size_px), family)
    assert largest_difference(original, build(family, record.path), size_px) < TOLERANCE


def test_they_are_equal_at_the_published_image_size_too(tmp_path):
    sizes = {"width": 16, "heads": 2, "blocks": (2,), "windows": (14,), "global_blocks": (1,)}
    original, record = registered(tmp_path, replace(Architecture.small("sam", 1024), **sizes))
    assert record.architecture.image_size_px == 1024
    assert largest_difference(original, build("sam", record.path), 1024) < TOLERANCE


def test_another_image_size_of_the_prompts_alone_makes_the_masks_differ(tmp_path):
    original, record = registered(tmp_path, Architecture.small("sam", 64))
    ours = build("sam", record.path)
    ours.prompt_encoder.input_image_size = 128
    assert largest_difference(original, ours, 64) > 100 * TOLERANCE


def test_local_attention_in_place_of_global_makes_the_embedding_differ(tmp_path):
    original, record = registered(tmp_path, Architecture.small("sam", 64))
    ours = build("sam", record.path)
    ours.vision_encoder.layers[2].window_size = 3
    with torch.no_grad():
        assert not torch.allclose(original.image_encoder(images(64)), ours.get_image_embeddings(images(64)), atol=1e-2)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("vision_encoder.layers.*.layer_norm1", "vision_encoder.layers.*.layer_norm2"),
        ("mask_decoder.transformer.layers.*.layer_norm2", "mask_decoder.transformer.layers.*.layer_norm3"),
        ("vision_encoder.layers.*.attn.rel_pos_h", "vision_encoder.layers.*.attn.rel_pos_w"),
    ],
)
def test_one_wrong_rule_loads_strictly_and_makes_the_outputs_differ(tmp_path, monkeypatch, one, other):
    swap = {one: other, other: one}
    monkeypatch.setattr(mapping, "SAM", tuple((old, swap.get(new, new)) for old, new in SAM))
    mapping._rules.cache_clear()
    try:
        original, record = registered(tmp_path, Architecture.small("sam", 64))
        assert largest_difference(original, build("sam", record.path), 64) > 100 * TOLERANCE
    finally:
        mapping._rules.cache_clear()


def test_a_record_with_another_image_size_is_refused_when_the_network_is_built(tmp_path):
    _, record = registered(tmp_path, Architecture.small("sam", 64))
    write_record(replace(record, architecture=record.architecture.at(128)))
    assert sidecar(record.path).is_file()
    with pytest.raises(Exception, match=r"pos_embed is \(1, 4, 4, 48\), expected \(1, 8, 8, 48\)"):
        build("sam", record.path)
