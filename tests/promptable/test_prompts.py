import subprocess
import sys

import numpy as np
import pytest

from dgsweep.config.prompt_protocol import PROTOCOLS, Protocol, parse_protocol
from dgsweep.method.promptable.prompts import prompts_from_mask


def made(mask, protocol, seed=0, case_id="case"):
    return prompts_from_mask(mask, parse_protocol(protocol), seed=seed, case_id=case_id)


@pytest.fixture
def mask():
    """Two slices: 5 x 2 voxels in slice 1, 3 x 4 in slice 3; slice 2 between them is empty."""
    volume = np.zeros((20, 12, 5), dtype=bool)
    volume[4:9, 2:4, 1] = True
    volume[10:13, 5:9, 3] = True
    return volume


def test_a_per_slice_box_is_tight_in_each_slice_with_both_ends_inside(mask):
    assert [(prompt.z, prompt.box_px) for prompt in made(mask, "per_slice_box")] == [
        (1, (4, 2, 8, 3)),
        (3, (10, 5, 12, 8)),
    ]


def test_the_global_box_goes_around_the_whole_structure_in_every_slice_that_has_it(mask):
    assert [(prompt.z, prompt.box_px) for prompt in made(mask, "global_3d_box")] == [
        (1, (4, 2, 12, 8)),
        (3, (4, 2, 12, 8)),
    ]


def test_the_key_slice_is_that_of_the_largest_area_and_not_of_the_largest_box(mask):
    mask[0, 0, 1] = True  # the box of slice 1 grows beyond that of slice 3, its area to 11 of 12 voxels
    assert [(prompt.z, prompt.box_px) for prompt in made(mask, "keyslice_propagate")] == [(3, (10, 5, 12, 8))]
    mask[0:2, 0, 1] = True
    assert made(mask, "keyslice_propagate")[0].z == 1  # 12 of 12: the lower of equal ones


def test_one_box_goes_around_all_components_of_a_slice():
    volume = np.zeros((20, 12, 1), dtype=bool)
    volume[2:4, 3:5, 0] = volume[15:17, 8:10, 0] = True
    for protocol in ("per_slice_box", "keyslice_propagate", "global_3d_box"):
        assert made(volume, protocol)[0].box_px == (2, 3, 16, 9)


@pytest.mark.parametrize("protocol", ["global_3d_box", "per_slice_box", "keyslice_propagate", "center_point"])
def test_one_voxel_in_the_only_slice_at_the_corner_gives_one_prompt_on_it(protocol):
    volume = np.zeros((7, 5, 1), dtype=bool)
    volume[6, 4, 0] = True
    (prompt,) = made(volume, protocol)
    assert (prompt.box_px or prompt.point_px * 2) == (6, 4, 6, 4)


@pytest.mark.parametrize("protocol", [*PROTOCOLS[:3], {"jittered_box": 5}, "center_point", "predicted_box"])
def test_an_empty_mask_gives_no_prompts(protocol):
    assert made(np.zeros((6, 5, 4), dtype=bool), protocol) == ()


def test_the_centre_of_a_filled_mask_is_its_centroid(mask):
    assert [prompt.point_px for prompt in made(mask, "center_point")] == [(6, 2), (11, 6)]  # 2.5 and 6.5 round to even


def test_the_centre_of_a_hollow_mask_is_its_innermost_voxel_and_not_in_the_hole():
    volume = np.zeros((21, 21, 1), dtype=bool)
    volume[2:19, 2:19, 0] = True
    volume[4:15, 4:17, 0] = False  # the wall at high x is 4 wide, the others 2
    x, y = made(volume, "center_point")[0].point_px
    assert volume[x, y, 0]
    assert x in (16, 17)
    assert 4 <= y <= 16
    assert not volume[10, 10, 0]  # the centroid lies about here


def test_a_mask_that_fills_the_slice_is_prompted_at_its_middle_although_it_has_no_border():
    volume = np.ones((9, 9, 1), dtype=bool)
    volume[4, 4, 0] = False  # so that the centroid lies outside
    x, y = made(volume, "center_point")[0].point_px
    assert volume[x, y, 0]
    assert {x, y} & {1, 2, 6, 7}  # as far from the edge of the slice as from the hole


def jittered(mask, px, **kwargs):
    return {prompt.z: prompt.box_px for prompt in made(mask, {"jittered_box": px}, **kwargs)}


def test_a_jitter_of_zero_is_the_tight_box(mask):
    assert jittered(mask, 0) == {prompt.z: prompt.box_px for prompt in made(mask, "per_slice_box")}


def test_every_shift_up_to_the_jitter_and_none_beyond_it_is_drawn_on_every_side():
    volume = np.zeros((40, 40, 1), dtype=bool)
    volume[15:25, 12:28, 0] = True
    draws = [jittered(volume, 3, case_id=str(index))[0] for index in range(300)]
    for side, tight in enumerate((15, 12, 24, 27)):
        shifts = [box[side] - tight for box in draws]
        assert set(shifts) == set(range(-3, 4))
        assert max(shifts.count(shift) for shift in range(-3, 4)) < 75  # 43 are expected of each


def test_a_slice_keeps_its_jitter_whatever_other_slices_there_are(mask):
    alone = np.zeros_like(mask)
    alone[..., 3] = mask[..., 3]
    assert jittered(mask, 4)[3] == jittered(alone, 4)[3]
    assert jittered(mask, 4)[3] != jittered(alone, 4, case_id="another")[3]
    assert jittered(mask, 4)[3] != jittered(alone, 4, seed=1)[3]


def test_a_jittered_box_stays_in_the_slice_and_is_never_empty():
    volume = np.zeros((6, 4, 1), dtype=bool)
    volume[0, 3, 0] = True
    for index in range(200):
        x0, y0, x1, y1 = jittered(volume, 20, case_id=str(index))[0]
        assert 0 <= x0 <= x1 <= 5
        assert 0 <= y0 <= y1 <= 3


def test_a_predicted_box_is_the_box_of_its_rule_and_no_oracle(mask):
    assert made(mask, {"predicted_box": "global_3d_box"}) == made(mask, "global_3d_box")
    assert made(mask, "predicted_box") == made(mask, "per_slice_box")
    assert not parse_protocol("predicted_box").oracle
    assert all(parse_protocol(name).oracle for name in ("global_3d_box", {"jittered_box": 1}, "center_point"))


def test_protocols_are_read_as_a_name_or_with_a_parameter_and_print_as_they_are_written():
    written = ["per_slice_box", {"jittered_box": 10}, "jittered_box: 20", {"predicted_box": None}]
    read = [parse_protocol(value) for value in written]
    assert read[1] == Protocol(name="jittered_box", jitter_px=10)
    assert [protocol.label for protocol in read] == [
        "per_slice_box",
        "jittered_box: 10",
        "jittered_box: 20",
        "predicted_box: per_slice_box",
    ]


@pytest.mark.parametrize("mask", [np.ones((3, 3)), np.full((3, 3, 3), 2), np.full((3, 3, 3), np.nan)])
def test_what_is_no_binary_volume_is_refused(mask):
    with pytest.raises(ValueError, match="a mask"):
        made(mask, "per_slice_box")


def test_protocols_can_be_read_without_torch():
    code = "import sys, dgsweep.method.promptable.prompts; sys.exit('torch' in sys.modules or 'scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
