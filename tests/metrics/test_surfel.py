"""Areas of surface elements, by hand and against the table of surface-distance."""

import math

import numpy as np
import pytest
from surface_distance import lookup_tables

from dgsweep.metrics.masks import mask_pair
from dgsweep.metrics.surfel import surfel_areas_mm2, surfels


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (0.7, 0.7, 3.0), (5.0, 1.0, 1.3), (1.2, 2.4, 0.4)])
def test_all_256_areas_equal_those_of_surface_distance(spacing_mm):
    theirs = lookup_tables.create_table_neighbour_code_to_surface_area(spacing_mm)
    np.testing.assert_allclose(surfel_areas_mm2(spacing_mm), theirs, rtol=1e-12, atol=1e-15)


def test_areas_of_another_spacing_are_told_apart():
    theirs = lookup_tables.create_table_neighbour_code_to_surface_area((1.0, 3.0, 1.0))
    assert not np.allclose(surfel_areas_mm2((3.0, 1.0, 1.0)), theirs)


def test_a_flat_wall_has_the_area_of_a_voxel_face():
    # Bits 4 to 7 are the voxels with offset 1 along x: the wall between lies across x and measures y by z.
    assert surfel_areas_mm2((2.0, 3.0, 5.0))[0b11110000] == pytest.approx(15.0)


def test_one_voxel_alone_is_an_octahedron():
    mask = np.zeros((3, 3, 3), dtype=bool)
    mask[1, 1, 1] = True
    pair = mask_pair(mask, mask, spacing_mm=(1.0, 1.0, 1.0), tau_mm=0.0)
    points, areas = surfels(pair.pred, pair.spacing_mm)
    # Eight equilateral triangles with side sqrt(1/2), one at each corner of the voxel.
    assert areas == pytest.approx([math.sqrt(3) / 4 * 0.5] * 8)
    assert sorted(map(tuple, points.position_mm(points.keys))) == [
        (x, y, z) for x in (1, 2) for y in (1, 2) for z in (1, 2)
    ]


def test_a_mask_that_fills_the_image_has_the_surface_of_its_box():
    mask = np.ones((4, 5, 6), dtype=bool)
    pair = mask_pair(mask, mask, spacing_mm=(1.0, 1.0, 1.0), tau_mm=0.0)
    points, areas = surfels(pair.pred, pair.spacing_mm)
    # (n+1)^3 corners less the inner (n-1)^3; faces count whole, edges are cut by a slope, so a little less than 148.
    assert points.keys.size == 5 * 6 * 7 - 3 * 4 * 5
    assert areas[areas == 1.0].size == 2 * (3 * 4 + 3 * 5 + 4 * 5)
    assert 120 < areas.sum() < 2 * (4 * 5 + 4 * 6 + 5 * 6)
