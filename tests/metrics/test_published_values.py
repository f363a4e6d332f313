"""Values that MONAI 1.6.1, MedPy 0.5.2, SimpleITK and surface-distance gave on small masks, noted before our code."""

import numpy as np
import pytest

from dgsweep.metrics import score_case

UNIT_MM = (1.0, 1.0, 1.0)


def boxes(shape, *corners):
    """Return a mask of `shape` with the union of half-open boxes ((x0, x1), (y0, y1), (z0, z1))."""
    mask = np.zeros(shape, dtype=bool)
    for corner in corners:
        mask[tuple(slice(low, high) for low, high in corner)] = True
    return mask


def shifted_box_with_outlier():
    ref = boxes((25, 30, 30), [(5, 13), (5, 15), (5, 15)])
    # The far corner of the outlier lies (5, 7, 7) off the nearest corner of the box: sqrt(123) = 11.0905 mm.
    return boxes(ref.shape, [(5, 13), (6, 16), (5, 15)], [(16, 18), (20, 22), (20, 22)]), ref


def ball(shape, *, centre_mm, radius_mm, spacing_mm):
    """Return the voxels whose centre lies within a ball."""
    axes = np.meshgrid(*(np.arange(n) * s for n, s in zip(shape, spacing_mm, strict=True)), indexing="ij")
    return sum((axis - at) ** 2 for axis, at in zip(axes, centre_mm, strict=True)) <= radius_mm**2


def balls_on_thick_slices():
    shape, spacing_mm = (7, 28, 28), (5.0, 1.0, 1.0)
    pred = ball(shape, centre_mm=(15, 14, 14), radius_mm=9, spacing_mm=spacing_mm)
    return pred, ball(shape, centre_mm=(15, 13, 13), radius_mm=10, spacing_mm=spacing_mm)


def single_voxels():
    return boxes((9, 9, 9), [(2, 3), (4, 5), (2, 3)]), boxes((9, 9, 9), [(2, 3), (4, 5), (5, 6)])


def box_in_the_corner_of_the_image():
    return boxes((24, 24, 24), [(0, 9), (0, 6), (0, 10)]), boxes((24, 24, 24), [(0, 10), (0, 6), (0, 10)])


def small_box_inside_big():
    return boxes((20, 32, 32), [(8, 12), (12, 20), (12, 20)]), boxes((20, 32, 32), [(4, 16), (4, 28), (4, 28)])


def cavity():
    ref = boxes((20, 30, 30), [(2, 18), (3, 27), (3, 27)])
    return ref & ~boxes(ref.shape, [(8, 12), (13, 17), (13, 17)]), ref


def missed_tail():
    pred = boxes((32, 14, 14), [(2, 10), (2, 12), (2, 12)])
    return pred, pred | boxes(pred.shape, [(10, 30), (5, 9), (5, 9)])


CASES = {
    "A": (shifted_box_with_outlier, UNIT_MM, 1.0),
    "B": (balls_on_thick_slices, (5.0, 1.0, 1.0), 2.0),
    "C": (single_voxels, (5.0, 1.0, 1.0), 2.0),
    "D": (box_in_the_corner_of_the_image, UNIT_MM, 0.5),
    "H": (small_box_inside_big, UNIT_MM, 2.0),
    "I": (cavity, UNIT_MM, 2.0),
    "J": (missed_tail, UNIT_MM, 2.0),
}

PUBLISHED = [
    ("A", "dice", 0.8955),
    ("B", "dice", 0.8565),
    ("C", "dice", 0.0),
    ("D", "dice", 0.9474),
    ("A", "jaccard", 0.8108),
    ("B", "jaccard", 0.7491),
    ("D", "jaccard", 0.9000),
    ("A", "hd95_mm", 1.0),
    ("B", "hd95_mm", 2.2361),
    ("C", "hd95_mm", 3.0),
    ("D", "hd95_mm", 1.0),
    ("H", "hd95_mm", 10.7703),
    ("I", "hd95_mm", 0.0),
    ("J", "hd95_mm", 18.0),
    ("A", "hd95_pooled_mm", 1.0),
    ("B", "hd95_pooled_mm", 2.0),
    ("C", "hd95_pooled_mm", 3.0),
    ("D", "hd95_pooled_mm", 1.0),
    ("H", "hd95_pooled_mm", 10.6771),
    ("I", "hd95_pooled_mm", 0.0),
    ("J", "hd95_pooled_mm", 16.0),
    ("A", "assd_mm", 0.4025),
    ("B", "assd_mm", 0.3714),
    ("C", "assd_mm", 3.0),
    ("D", "assd_mm", 0.1394),
    ("H", "assd_mm", 7.4653),
    ("I", "assd_mm", 0.1158),
    ("J", "assd_mm", 2.4695),
    ("A", "nsd", 0.9905),
    ("B", "nsd", 0.9575),
    ("C", "nsd", 0.0),
    ("D", "nsd", 0.8606),
    ("A", "nsd_surfel", 0.9836),
    ("B", "nsd_surfel", 0.9584),
    ("C", "nsd_surfel", 0.5),
    ("D", "nsd_surfel", 0.8593),
    ("A", "precision", 0.8911),
    ("B", "precision", 0.9934),
    ("A", "recall", 0.9000),
    ("B", "recall", 0.7528),
    ("C", "precision", 0.0),
    ("C", "recall", 0.0),
    ("D", "precision", 1.0),
    ("D", "recall", 0.9),
    ("A", "volume_error", 0.0100),
    ("B", "volume_error", -0.2422),
    ("D", "volume_error", -0.1),
]


@pytest.mark.parametrize(("case", "metric", "expected"), PUBLISHED)
def test_score_equals_the_value_that_other_tools_gave(case, metric, expected):
    masks, spacing_mm, tau_mm = CASES[case]
    pred, ref = masks()
    assert score_case(pred, ref, spacing_mm, tau_mm, surfel_nsd=True)[metric] == pytest.approx(expected, abs=5.1e-5)


@pytest.mark.parametrize(
    ("case", "one", "other"),
    [("H", "hd95_mm", "hd95_pooled_mm"), ("J", "hd95_mm", "hd95_pooled_mm"), ("C", "nsd", "nsd_surfel")],
)
def test_definitions_that_differ_give_different_scores(case, one, other):
    masks, spacing_mm, tau_mm = CASES[case]
    scores = score_case(*masks(), spacing_mm, tau_mm, surfel_nsd=True)
    assert abs(scores[one] - scores[other]) > 0.05


def test_the_wall_of_a_cavity_counts_as_surface():
    pred, ref = cavity()
    # 96 wall voxels, 32 of them 5 deep, 32 each 6 and 7 deep, over two outer surfaces of 2440 voxels and the wall.
    by_hand = (32 * 5 + 32 * 6 + 32 * 7) / (2 * 2440 + 96)
    assert score_case(pred, ref, UNIT_MM)["assd_mm"] == pytest.approx(by_hand, rel=1e-12)
    assert score_case(ref, ref, UNIT_MM)["assd_mm"] == 0.0
