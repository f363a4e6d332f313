import numpy as np
import pytest
import tiny_models
import torch
from torch.nn import functional
from transformers import Sam2VideoInferenceSession

from dgsweep.method.promptable.embeddings import Embeddings
from dgsweep.method.promptable.predict import Promptable, predict_case
from dgsweep.method.promptable.prompts import Prompt
from dgsweep.method.promptable.propagate import fill_holes, largest_component, propagated
from dgsweep.method.promptable.slices import (
    Preparation,
    as_image,
    as_plane,
    box_in_image,
    model_input,
    to_model_px,
    to_uint8,
)

SHAPE = (20, 14, 10)
NATIVE = (14, 20)
SIDE = tiny_models.SIDE
BOX = (4, 3, 12, 9)


@pytest.fixture(scope="module")
def model():
    return tiny_models.sam2_video(seed=1)


@pytest.fixture(scope="module")
def volume():
    return np.random.default_rng(3).normal(100, 40, SHAPE)


def video_of(volume):
    shown = to_uint8(volume, Preparation())
    images = [as_image(shown[:, :, z], Preparation()) for z in range(volume.shape[2])]
    return torch.stack([model_input("medsam2", image, SIDE) for image in images])


def tracked(model, volume, keys, reverse):
    """Logits (Z, H, W) by transformers from the video itself, with its own cache of features, or NaN where unseen."""
    session = Sam2VideoInferenceSession(video=video_of(volume), video_height=14, video_width=20, dtype=torch.float32)
    box = box_in_image(BOX, SHAPE[:2], Preparation())
    corners = torch.from_numpy(to_model_px("medsam2", np.array(box).reshape(2, 2), NATIVE, SIDE))
    for key in keys:
        session.add_point_inputs(
            session.obj_id_to_idx(7), key,
            {"point_coords": corners[None, None], "point_labels": torch.tensor([[[2, 3]]])},
        )  # fmt: skip
        session.obj_with_new_inputs = [7]
        model(session, frame_idx=key)
    logits = torch.full((volume.shape[2], *NATIVE), torch.nan)
    start = max(keys) if reverse else min(keys)
    for frame in model.propagate_in_video_iterator(session, start_frame_idx=start, reverse=reverse):
        low_res = fill_holes(frame.pred_masks.float())
        logits[frame.frame_idx] = functional.interpolate(low_res, NATIVE, mode="bilinear")[0, 0]
    return logits


def predicted(model, volume, keys):
    prompts = [Prompt(z=key, kind="box", box_px=BOX) for key in keys]
    return predict_case(Promptable(model=model, family="medsam2"), volume, prompts)


@pytest.mark.parametrize("keys", [(4,), (0,), (9,), (3, 6), (0, 9)])
def test_both_ways_equal_transformers_tracking_the_video_itself(model, volume, keys):
    up, down = tracked(model, volume, keys, reverse=False), tracked(model, volume, keys, reverse=True)
    logits = torch.fmax(up, down)
    planes = np.stack([as_plane(image.numpy(), Preparation()) for image in logits], axis=2)
    found = predicted(model, volume, keys)
    union = (np.nan_to_num(np.stack([as_plane(i.numpy(), Preparation()) for i in up], axis=2), nan=-1) > 0) | (
        np.nan_to_num(np.stack([as_plane(i.numpy(), Preparation()) for i in down], axis=2), nan=-1) > 0
    )
    expected = largest_component(union)
    assert expected.any()
    assert (found.mask == expected).mean() > 0.999
    kept = ~(union & ~expected)
    theirs = torch.sigmoid(torch.from_numpy(np.ascontiguousarray(planes))).numpy()
    assert np.abs(found.probability - theirs)[kept].max() < 1e-3
    assert np.abs(found.probability - theirs[:, :, ::-1])[kept].max() > 0.05


def test_every_slice_is_reached_from_the_first_the_middle_the_last_and_the_only_key_slice(model, volume):
    for key in (0, 4, 9):
        assert (predicted(model, volume, (key,)).probability.reshape(-1, SHAPE[2]).max(axis=0) > 0).all()
    only = predict_case(
        Promptable(model=model, family="medsam2"), volume[:, :, :1], [Prompt(z=0, kind="box", box_px=BOX)]
    )
    assert only.probability.max() > 0


def test_the_way_down_sees_nothing_of_the_slices_above_the_key_slice(model, volume):
    changed = volume.copy()
    changed[:, :, 5:] = changed[:, :, 5:][::-1]
    low, other = predicted(model, volume, (4,)), predicted(model, changed, (4,))
    below = low.probability[:, :, :5], other.probability[:, :, :5]
    both = (below[0] > 0) & (below[1] > 0)  # where neither lost a component to what was found above
    assert np.abs(below[0] - below[1])[both].max() < 1e-5
    assert np.abs(low.probability - other.probability)[:, :, 5:].max() > 1e-3


def test_the_prompt_of_another_slice_changes_the_others_through_memory(model, volume):
    first, second = predicted(model, volume, (2,)), predicted(model, volume, (2, 7))
    assert np.abs(first.probability - second.probability)[:, :, 3].max() > 1e-4


def test_embeddings_of_an_image_model_cannot_be_propagated(model):
    with pytest.raises(ValueError, match="positional encoding"):
        propagated(model, Embeddings(key="", maps={0: ()}), {0: torch.zeros(2, 2)}, native=NATIVE)


def test_small_holes_are_filled_and_large_ones_and_the_background_are_not():
    logits = torch.full((1, 1, 12, 12), -3.0)
    logits[0, 0, 1:11, 1:11] = 2.0
    logits[0, 0, 2:4, 2:6] = -1.0  # 8 pixels
    logits[0, 0, 6:9, 3:6] = -1.0  # 9 pixels
    filled = fill_holes(logits)
    assert (filled[0, 0, 2:4, 2:6] > 0).all()
    assert (filled[0, 0, 6:9, 3:6] < 0).all()
    assert (filled[0, 0, 0] == -3).all()
    assert (logits[0, 0, 2:4, 2:6] == -1).all()


def test_the_largest_component_counts_corners_as_neighbours():
    mask = np.zeros((6, 6, 6), dtype=bool)
    mask[0, 0, 0] = mask[1, 1, 1] = mask[2, 2, 2] = True
    mask[4:6, 5, 5] = True
    assert np.argwhere(largest_component(mask)).tolist() == [[0, 0, 0], [1, 1, 1], [2, 2, 2]]
    assert not largest_component(mask & False).any()
