"""The topology rule against nnU-Net's published plans; theirs are z,y,x, ours x,y,z."""

import pytest

from dgsweep.networks.topology import plan_topology

THIN, PLANE, CUBE = (3, 3, 1), (2, 2, 1), (2, 2, 2)


@pytest.mark.parametrize(
    ("patch", "spacing_mm", "poolings"),
    [
        ((128, 128, 128), (1.0, 1.0, 1.0), [CUBE] * 5),
        ((128, 128, 128), (0.767, 0.767, 1.0), [CUBE] * 5),  # Task003 Liver
        ((40, 56, 40), (1.0, 1.0, 1.0), [CUBE] * 3),  # Task004 Hippocampus
        ((256, 320, 20), (0.625, 0.625, 3.6), [PLANE, PLANE, CUBE, CUBE, PLANE]),  # Task005 Prostate, 5 of its 6
        ((224, 256, 20), (1.5625, 1.5625, 5.0), [PLANE, CUBE, CUBE, PLANE, PLANE]),  # Task027 ACDC
        ((128, 128, 48), (0.79, 0.79, 2.5), [PLANE, CUBE, CUBE, CUBE, PLANE]),
        ((20, 256, 224), (5.0, 1.5625, 1.5625), [(1, 2, 2), CUBE, CUBE, (1, 2, 2), (1, 2, 2)]),  # a sagittal stack
    ],
)
def test_strides_are_those_of_the_published_plan(patch, spacing_mm, poolings):
    assert list(plan_topology(patch, spacing_mm).strides) == [(1, 1, 1), *poolings]


@pytest.mark.parametrize(
    ("patch", "spacing_mm", "kernels"),
    [
        ((128, 128, 128), (1.0, 1.0, 1.0), [(3, 3, 3)] * 6),
        ((256, 320, 20), (0.625, 0.625, 3.6), [THIN, THIN, *[(3, 3, 3)] * 4]),
        ((224, 256, 20), (1.5625, 1.5625, 5.0), [THIN, *[(3, 3, 3)] * 5]),
        ((128, 128, 48), (0.79, 0.79, 2.5), [THIN, *[(3, 3, 3)] * 5]),
    ],
)
def test_kernels_are_flat_while_the_thick_axis_is_twice_as_coarse(patch, spacing_mm, kernels):
    assert list(plan_topology(patch, spacing_mm).kernels) == kernels


def test_a_level_has_one_kernel_and_one_stride():
    topology = plan_topology((64, 64, 32), (1.5, 1.5, 3.0))
    assert len(topology.kernels) == len(topology.strides) == 5


def test_the_multiple_is_the_product_of_the_strides():
    assert plan_topology((256, 320, 20), (0.625, 0.625, 3.6)).multiple == (32, 32, 4)


@pytest.mark.parametrize("patch", [(128, 128, 48), (48, 40, 24), (20, 12, 36)])
def test_every_patch_is_a_multiple_of_what_its_own_topology_needs(patch):
    multiple = plan_topology(patch, (1.0, 1.0, 1.0)).multiple
    assert all(side % step == 0 for side, step in zip(patch, multiple, strict=True))
    assert multiple != (1, 1, 1)


def test_an_axis_of_odd_length_is_pooled_no_further():
    assert plan_topology((36, 64, 64), (1.0, 1.0, 1.0)).strides[2:4] == (CUBE, (1, 2, 2))


def test_the_last_axis_alone_is_not_pooled_to_the_smallest_edge():
    assert len(plan_topology((8, 8, 16), (1.0, 1.0, 1.0)).strides) == 2
    assert len(plan_topology((8, 8, 24), (1.0, 1.0, 1.0)).strides) == 3
