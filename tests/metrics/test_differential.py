"""Scores against libraries that we did not write, on random pairs of masks."""

import numpy as np
import pytest
import surface_distance
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from medpy.metric import binary as medpy_binary
from monai.metrics import (
    compute_average_surface_distance,
    compute_dice,
    compute_hausdorff_distance,
    compute_iou,
    compute_surface_dice,
)

from dgsweep.metrics import score_case, surface

# Exact in 32-bit floats, so that MONAI's single precision decides no comparison with a tolerance: the squares of these
# tolerances are no multiple of 1/16, squared distances on these spacings are.
SPACINGS = st.sampled_from([0.5, 0.75, 1.0, 1.25, 2.5, 3.0])
TAUS = st.sampled_from([0.6, 1.1, 1.9, 2.3, 4.1])
QUICK = settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module", params=[0, 10**9], ids=["tree", "transform"], autouse=True)
def _both_ways_to_find_distances(request):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(surface, "VOXELS_PER_SEARCH", request.param)
        yield


def _box(draw, shape):
    ends = [sorted((draw(st.integers(0, n - 1)), draw(st.integers(0, n - 1)))) for n in shape]
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(slice(low, high + 1) for low, high in ends)] = True
    return mask


@st.composite
def masks(draw, shape):
    """Boxes (often touching the border of the image), boxes with holes, scattered voxels and single voxels."""
    kind = draw(st.sampled_from(["box", "hollow", "noise", "blob", "voxel", "full"]))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    if kind == "full":
        return np.ones(shape, dtype=bool)
    if kind == "voxel":
        mask = np.zeros(shape, dtype=bool)
        mask[tuple(rng.integers(0, shape))] = True
        return mask
    mask = _box(draw, shape)
    if kind == "hollow":
        mask = mask & ~_box(draw, shape)
    if kind == "noise":
        mask = rng.random(shape) < draw(st.sampled_from([0.05, 0.4, 0.9]))
    if kind == "blob":
        grid = np.stack(np.indices(shape), -1)
        mask = (((grid - rng.uniform(0, shape)) / rng.uniform(1, 6, 3)) ** 2).sum(-1) <= 1
    if not mask.any():
        mask[0, 0, 0] = True
    return mask


@st.composite
def pairs(draw):
    """Two non-empty masks, at times nested or equal, with a spacing and a tolerance."""
    shape = tuple(draw(st.integers(3, 12)) for _ in range(3))
    pred, ref = draw(masks(shape)), draw(masks(shape))
    relation = draw(st.sampled_from(["free", "free", "nested", "equal"]))
    if relation == "nested":
        pred = pred | ref
    if relation == "equal":
        pred = ref.copy()
    return pred, ref, tuple(draw(SPACINGS) for _ in range(3)), draw(TAUS)


def _batch(mask):
    return torch.from_numpy(mask.astype(np.uint8))[None, None]


def _monai(pred, ref, spacing_mm, tau_mm):
    first, second = _batch(pred), _batch(ref)
    return {
        "dice": compute_dice(first, second).item(),
        "jaccard": compute_iou(first, second).item(),
        "hd95_mm": compute_hausdorff_distance(first, second, True, percentile=95, spacing=spacing_mm).item(),
        "assd_mm": compute_average_surface_distance(first, second, True, symmetric=True, spacing=spacing_mm).item(),
        "nsd": compute_surface_dice(first, second, [tau_mm], True, spacing=spacing_mm).item(),
    }


def _medpy(pred, ref, spacing_mm):
    return {
        "dice": medpy_binary.dc(pred, ref),
        "jaccard": medpy_binary.jc(pred, ref),
        "precision": medpy_binary.precision(pred, ref),
        "recall": medpy_binary.recall(pred, ref),
        "hd95_pooled_mm": medpy_binary.hd95(pred, ref, voxelspacing=spacing_mm),
        "assd_mm": medpy_binary.assd(pred, ref, voxelspacing=spacing_mm),
        "volume_error": medpy_binary.ravd(pred, ref),
    }


def _deepmind_nsd(pred, ref, spacing_mm, tau_mm):
    distances = surface_distance.compute_surface_distances(ref, pred, spacing_mm)
    return surface_distance.compute_surface_dice_at_tolerance(distances, tau_mm)


def _same(ours, theirs, rel):
    return {key: ours[key] for key in theirs} == pytest.approx(theirs, rel=rel, abs=rel)


@pytest.mark.filterwarnings("ignore")
@QUICK
@given(pairs())
def test_overlap_hd95_assd_and_nsd_equal_monai(case):
    assert _same(score_case(*case), _monai(*case), rel=2e-5)


@pytest.mark.filterwarnings("ignore")
@QUICK
@given(pairs())
def test_overlap_pooled_hd95_assd_and_volume_error_equal_medpy(case):
    pred, ref, spacing_mm, _ = case
    assert _same(score_case(*case), _medpy(pred, ref, spacing_mm), rel=1e-9)


@pytest.mark.filterwarnings("ignore")
@QUICK
@given(pairs())
def test_surfel_nsd_equals_surface_distance(case):
    assert score_case(*case, surfel_nsd=True)["nsd_surfel"] == pytest.approx(_deepmind_nsd(*case), abs=1e-9)


@pytest.mark.filterwarnings("ignore")
@QUICK
@given(pairs())
def test_surfel_nsd_equals_monai_with_sub_voxels(case):
    pred, ref, spacing_mm, tau_mm = case
    monai = compute_surface_dice(_batch(pred), _batch(ref), [tau_mm], True, spacing=spacing_mm, use_subvoxels=True)
    assert score_case(*case, surfel_nsd=True)["nsd_surfel"] == pytest.approx(monai.item(), abs=2e-5)


@pytest.mark.filterwarnings("ignore")
def test_the_comparisons_notice_other_definitions():
    pred, ref = np.zeros((2, 32, 14, 14), dtype=bool)
    pred[2:10, 2:12, 2:12] = True
    ref[2:30, 5:9, 5:9] = True
    ref |= pred
    ours = score_case(pred, ref, (3.0, 1.0, 1.25), 1.1, surfel_nsd=True)
    one_way = compute_average_surface_distance(_batch(pred), _batch(ref), True, spacing=(3.0, 1.0, 1.25)).item()
    other_spacing = _monai(pred, ref, (1.0, 1.0, 1.0), 1.1)
    assert abs(ours["assd_mm"] - one_way) > 0.1
    assert abs(ours["hd95_mm"] - medpy_binary.hd95(pred, ref, voxelspacing=(3.0, 1.0, 1.25))) > 0.1
    assert not _same(ours, other_spacing, rel=2e-5)
    assert abs(ours["nsd_surfel"] - ours["nsd"]) > 0.01
