"""SAM 2's checkpoints: the package sam2 and our mapped networks compute the same from the same file."""

from dataclasses import replace
from unittest.mock import patch

import pytest
import torch
from originals import original_sam2
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

from dgsweep.method.promptable import mapping
from dgsweep.method.promptable.family import Architecture, build
from dgsweep.method.promptable.layout import SAM2
from dgsweep.method.promptable.weights import register

TOLERANCE = 1e-4
KEY_SLICE = 1


def registered(tmp_path, architecture, seed=0, postprocessing=True):
    original = original_sam2(architecture, seed, postprocessing)
    file = tmp_path / "original.pt"
    torch.save({"model": original.state_dict()}, file)
    return original, register("random", file, architecture.family, architecture=architecture)


def slices(size_px, count):
    """Neighbouring slices resemble each other, as a volume's do; (D, 3, H, W)."""
    generator = torch.Generator().manual_seed(3)
    common = torch.randn(1, 3, size_px, size_px, generator=generator)
    return common + 0.5 * torch.randn(count, 3, size_px, size_px, generator=generator)


def box_on(size_px):
    return torch.tensor([0.2, 0.1, 0.7, 0.9]) * size_px


def prompted(kind, size_px):
    """A prompt on the key slice: what the predictor's method takes, by name."""
    if kind == "box":
        return {"box": box_on(size_px)}
    if kind == "point":
        return {"points": torch.tensor([[0.4, 0.6]]) * size_px, "labels": torch.tensor([1], dtype=torch.int32)}
    mask = torch.zeros(size_px, size_px, dtype=torch.bool)
    mask[size_px // 4 : size_px // 2, size_px // 8 : size_px // 2] = True
    return {"mask": mask}


def original_propagation(model, frames, prompt, *, reverse=False):
    """Low-resolution logits (1, 1, H/4, W/4) and object scores by slice, as the package's predictor leaves them."""
    size_px = frames.shape[-1]
    with patch("sam2.sam2_video_predictor.load_video_frames", lambda **_: (frames, size_px, size_px)):
        state = model.init_state("frames")
    add = model.add_new_mask if "mask" in prompt else model.add_new_points_or_box
    add(state, KEY_SLICE, 1, **prompt)
    for _ in model.propagate_in_video(state, start_frame_idx=KEY_SLICE, reverse=reverse):
        pass
    outputs = state["output_dict_per_obj"][0]
    every = {**outputs["cond_frame_outputs"], **outputs["non_cond_frame_outputs"]}
    return {index: (out["pred_masks"], out["object_score_logits"]) for index, out in every.items()}


def our_propagation(model, frames, prompt, *, reverse=False):
    size_px = frames.shape[-1]
    session = Sam2VideoInferenceSession(
        video=frames, video_height=size_px, video_width=size_px, dtype=torch.float32, inference_device="cpu"
    )
    if "mask" in prompt:
        session.add_mask_inputs(session.obj_id_to_idx(1), KEY_SLICE, prompt["mask"][None, None])
    else:
        points = prompt["box"].reshape(1, 1, 2, 2) if "box" in prompt else prompt["points"][None, None]
        labels = prompt.get("labels", torch.tensor([2, 3], dtype=torch.int32))[None, None]  # 2, 3: corners of a box
        session.add_point_inputs(session.obj_id_to_idx(1), KEY_SLICE, {"point_coords": points, "point_labels": labels})
    session.obj_with_new_inputs = [1]
    tracked = {}
    model(session, frame_idx=KEY_SLICE)
    for out in model.propagate_in_video_iterator(session, start_frame_idx=KEY_SLICE, reverse=reverse):
        tracked[out.frame_idx] = (out.pred_masks, out.object_score_logits)
    return tracked


def propagation_difference(original, ours, size_px, count=4, *, kind="box", reverse=False):
    frames, prompt = slices(size_px, count), prompted(kind, size_px)
    wanted = original_propagation(original, frames, prompt, reverse=reverse)
    got = our_propagation(ours, frames, prompt, reverse=reverse)
    assert wanted.keys() == got.keys()
    assert len(wanted) == (KEY_SLICE + 1 if reverse else count - KEY_SLICE)
    return max(float((a - b).abs().max()) for index in wanted for a, b in zip(wanted[index], got[index], strict=True))


def image_difference(original, ours, size_px):
    """Over the three feature maps, and masks and IoU scores for a box and a point; `ours` is the image model."""
    pixels = slices(size_px, 2)
    with torch.no_grad():
        features = original.forward_image(pixels)["backbone_fpn"]
        features = [*features[:2], features[2] + original.no_mem_embed.reshape(1, -1, 1, 1)]
        got = ours.get_image_embeddings(pixels)
        differences = [float((a - b).abs().max()) for a, b in zip(features, got, strict=True)]
        for corners, labels, multimask in (
            (box_on(size_px).reshape(1, 2, 2), [2, 3], False),
            (torch.tensor([[[0.4, 0.6]]]) * size_px, [1], True),
        ):
            sparse, dense = original.sam_prompt_encoder(
                points=(corners, torch.tensor([labels])), boxes=None, masks=None
            )
            masks, iou, _, _ = original.sam_mask_decoder(
                image_embeddings=features[2][:1],
                image_pe=original.sam_prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=multimask,
                repeat_image=False,
                high_res_features=[level[:1] for level in features[:2]],
            )
            prompt = (
                {"input_points": corners[None], "input_labels": torch.tensor([[labels]])}
                if multimask
                else {"input_boxes": corners.reshape(1, 1, 4)}
            )
            out = ours(image_embeddings=[level[:1] for level in got], multimask_output=multimask, **prompt)
            differences += [
                float((masks - out.pred_masks[:, 0]).abs().max()),
                float((iou - out.iou_scores[:, 0]).abs().max()),
            ]
    return max(differences)


@pytest.mark.parametrize("size_px", [64, 128])
def test_features_masks_and_scores_of_the_image_model_equal_the_original_package(tmp_path, size_px):
    original, record = registered(tmp_path, Architecture.small("sam2", size_px))
    ours = build("sam2", record.path)
    assert type(ours).__name__ == "Sam2Model"
    assert image_difference(original, ours, size_px) < TOLERANCE


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("size_px", [64, 128])
def test_memory_propagation_equals_the_original_predictor(tmp_path, size_px, reverse):
    original, record = registered(tmp_path, Architecture.small("medsam2", size_px))
    ours = build("medsam2", record.path)
    assert type(ours).__name__ == "Sam2VideoModel"
    assert propagation_difference(original, ours, size_px, reverse=reverse) < TOLERANCE


def test_propagation_of_a_point_equals_the_original_predictor(tmp_path):
    original, record = registered(tmp_path, Architecture.small("medsam2", 64))
    assert propagation_difference(original, build("medsam2", record.path), 64, kind="point") < TOLERANCE


def test_a_mask_prompt_is_equal_on_its_slice_and_only_near_on_the_slices_tracked_from_it(tmp_path):
    # A known difference of transformers 5.23: the predictor of sam2 seems to remember the mask enlarged again from a
    # quarter of its size, transformers the mask itself. No protocol that prompts with boxes or points is touched.
    original, record = registered(tmp_path, Architecture.small("medsam2", 64))
    frames, prompt = slices(64, 4), prompted("mask", 64)
    wanted = original_propagation(original, frames, prompt)
    got = our_propagation(build("medsam2", record.path), frames, prompt)
    assert torch.allclose(wanted[KEY_SLICE][0], got[KEY_SLICE][0], atol=TOLERANCE)
    tracked = max(float((wanted[index][0] - got[index][0]).abs().max()) for index in (2, 3))
    assert TOLERANCE < tracked < 1.0


def test_propagation_over_more_slices_than_there_are_memories_equals_the_original_predictor(tmp_path):
    original, record = registered(tmp_path, Architecture.small("medsam2", 64))
    assert propagation_difference(original, build("medsam2", record.path), 64, count=10) < TOLERANCE


def propagated(original, size_px):
    return original_propagation(original, slices(size_px, 4), prompted("box", size_px)).values()


def test_slices_with_and_without_the_object_are_both_among_those_compared():
    scores = []
    for size_px in (64, 128):
        original = original_sam2(Architecture.small("medsam2", size_px))
        scores += [float(s) for _, s in propagated(original, size_px)]
    assert min(scores) < 0 < max(scores)


@pytest.mark.parametrize(("family", "size_px"), [("medsam2", 512), pytest.param("sam2", 1024, marks=pytest.mark.slow)])
def test_images_and_propagation_are_equal_at_the_published_image_sizes_too(tmp_path, family, size_px):
    original, record = registered(tmp_path, replace(Architecture.small(family, size_px), memory_layers=1))
    image_model, video_model = (build(family, record.path, video=video) for video in (False, True))
    assert image_difference(original, image_model, size_px) < TOLERANCE
    assert propagation_difference(original, video_model, size_px, count=3) < TOLERANCE


def test_weights_of_sam_2_0_without_the_parts_that_2_1_added_are_equal_too(tmp_path):
    old = replace(Architecture.small("sam2", 64), pointer_positions=False, occlusion_embedding=False)
    original, record = registered(tmp_path, old)
    assert propagation_difference(original, build("sam2", record.path, video=True), 64) < TOLERANCE


def test_a_network_built_for_another_image_size_refuses_slices_of_this_one(tmp_path):
    registered(tmp_path, Architecture.small("medsam2", 64))
    wide = register("wide", tmp_path / "original.pt", "medsam2", image_size_px=128)
    with pytest.raises(RuntimeError, match="shape"):
        our_propagation(build("medsam2", wide.path), slices(64, 3), prompted("box", 64))


@pytest.mark.parametrize("setting", ["prompt size", "rope"])
def test_one_size_setting_left_at_another_image_size_makes_the_masks_differ(tmp_path, setting):
    original, record = registered(tmp_path, Architecture.small("medsam2", 64))
    ours = build("medsam2", record.path)
    assert propagation_difference(original, ours, 64) < TOLERANCE
    if setting == "prompt size":
        ours.prompt_encoder.input_image_size = 128
    else:  # positions of the first 4 x 4 cells of an 8 x 8 grid, in its row order
        wide = build("medsam2", register("wide", tmp_path / "original.pt", "medsam2", image_size_px=128).path)
        ours.memory_attention.position_ids = wide.memory_attention.position_ids[:16]
    assert propagation_difference(original, ours, 64) > 10 * TOLERANCE


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("mask_decoder.transformer.layers.*.layer_norm1", "mask_decoder.transformer.layers.*.layer_norm2"),
        ("memory_attention.layers.*.layer_norm2", "memory_attention.layers.*.layer_norm3"),
        ("no_memory_embedding", "no_memory_positional_encoding"),
    ],
)
def test_one_wrong_rule_loads_strictly_and_makes_the_outputs_differ(tmp_path, monkeypatch, one, other):
    swap = {one: other, other: one}
    monkeypatch.setattr(mapping, "SAM2", tuple((old, swap.get(new, new)) for old, new in SAM2))
    mapping._rules.cache_clear()
    try:
        original, record = registered(tmp_path, Architecture.small("medsam2", 64))
        assert propagation_difference(original, build("medsam2", record.path), 64) > 10 * TOLERANCE
    finally:
        mapping._rules.cache_clear()
