"""The small model that `make promptable` trains: from whom it learns, what it is told, and that its memory learns."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from dgsweep.config.schema import DataConfig, ProtocolConfig
from dgsweep.data.geometry import read_volume
from dgsweep.data.manifest import read_manifest
from dgsweep.data.phantom import PhantomSpec, write_phantom
from dgsweep.method.promptable.architecture import Architecture
from dgsweep.method.promptable.slices import to_uint8
from dgsweep.plan.split import assign_roles

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from originals import original_sam2
from promptable_model import begun, remembering, stack_loss
from promptable_objects import SIZE_VX, candidates, draw_blob, regions
from promptable_probe import answered, ellipse, probe
from promptable_stacks import JITTER_PX, PREPARATION, Scan, draw_stacks, scans_of

SIZE_PX = 64
PROTOCOL = ProtocolConfig(kind="cross_sequence")


def ellipsoid():
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in (40, 32, 12)), indexing="ij")
    body, mask = (
        sum((axis / radius) ** 2 for axis, radius in zip(axes, radii, strict=True)) < 1
        for radii in ((0.9, 0.9, 2), (0.5, 0.4, 0.7))
    )
    levels = np.select([mask, body], [200, 80], 0).astype(np.uint8)
    return Scan(levels, mask, regions(levels))


def stacks(depth, seed=0, kind="box", objects=3):
    rng = np.random.default_rng(seed)
    return draw_stacks([ellipsoid()], rng, batch=2, objects=objects, depth=depth, size_px=SIZE_PX, kind=kind)


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "phantom"
    return write_phantom(folder, PhantomSpec(patients_per_center=4, centers=2, shape=(24, 24, 16)))


def test_it_learns_from_t1w_of_training_patients_and_from_no_other_scan(phantom):
    cases = read_manifest(phantom, DataConfig(manifest=str(phantom))).cases
    roles = assign_roles([case.info for case in cases], PROTOCOL.factors, PROTOCOL.folds)[0]
    levels = {case.info.case_id: to_uint8(read_volume(case.image).array, PREPARATION) for case in cases}
    learned = scans_of(phantom, PROTOCOL, "train")
    seen = {name for name, own in levels.items() if any(np.array_equal(own, scan.levels) for scan in learned)}
    assert seen == {c.info.case_id for c in cases if c.info.sequence == "T1W" and roles[c.info.patient_id] == "train"}
    assert set(roles.values()) == {"train", "val", "test"}


def test_a_batch_is_a_function_of_its_seed():
    first, again, other = stacks(3, seed=1), stacks(3, seed=1), stacks(3, seed=2)
    assert first.pixels.equal(again.pixels)
    assert first.points.equal(again.points)
    assert not first.pixels.equal(other.pixels)


def test_boxes_lie_around_the_object_by_no_more_than_twice_the_jitter():
    factor = SIZE_PX / 32
    boxes = 0
    for seed in range(6):
        drawn = stacks(3, seed)
        for mask, points, labels in zip(drawn.masks, drawn.points, drawn.labels, strict=True):
            if not mask.any() or labels.tolist() != [2, 3]:
                continue
            rows, columns = np.nonzero(mask.numpy())
            tight = np.array([[columns.min(), rows.min()], [columns.max(), rows.max()]])
            assert np.abs(points.numpy() - tight).max() <= (2 * JITTER_PX + 1) * factor
            boxes += 1
    assert boxes > 10


def test_points_lie_in_their_object():
    found = 0
    for seed in range(6):
        drawn = stacks(1, seed, kind="point")
        for mask, point in zip(drawn.masks, drawn.points, strict=True):
            column, row = (int(value) + 1 for value in point[0])
            found += bool(mask[max(0, row - 2) : row + 3, max(0, column - 2) : column + 3].any())
    assert found == 6 * 2 * 3


def test_one_image_is_asked_for_several_objects():
    several = 0
    for seed in range(6):
        drawn = stacks(1, seed)
        assert drawn.image.tolist() == [0, 0, 0, 1, 1, 1]
        several += sum(len({tuple(mask.flatten().tolist()) for mask in drawn.masks[start : start + 3]}) > 1
                       for start in (0, 3))  # fmt: skip
    assert several > 3


def test_regions_follow_intensity_and_leave_out_specks_and_the_body():
    levels = np.zeros((50, 50, 20), dtype=np.uint8)
    levels[3:47, 3:47] = 60  # the body: too large
    levels[6:22, 6:30, 2:18], levels[28:44, 10:40, 2:18] = 120, 200
    levels[24:26, 44:46, 5:7] = 200  # a speck
    numbered = regions(levels)
    sizes = [np.bincount(part.ravel())[1:] for part in numbered]
    assert all(size >= SIZE_VX[0] and size <= SIZE_VX[1] for part in sizes for size in part if size)
    everything = [part == n for part in numbered for n in range(1, part.max() + 1)]
    things = [levels == value for value in (120, 200)]
    fits = [[2 * (one & thing).sum() / (one.sum() + thing.sum()) for one in everything] for thing in things]
    assert min(map(max, fits)) > 0.8
    assert np.argmax(fits[0]) != np.argmax(fits[1])


def test_a_candidate_is_neither_a_speck_nor_a_rim_nor_the_whole_image():
    slice_ = np.zeros((1, 40, 40), dtype=np.uint16)
    slice_[0, 2:12, 2:12] = 1
    slice_[0, 20, 20] = 2
    slice_[0, 15:35, 15] = slice_[0, 15:35, 34] = slice_[0, 15, 15:35] = slice_[0, 34, 15:35] = 3
    assert candidates(slice_, (10, 900), widest=0.75) == [(0, 1, 100)]
    assert candidates(slice_, (10, 900), widest=0.2) == []


def test_a_pasted_shape_differs_from_what_it_covers():
    images = np.full((3, 40, 40), 100, dtype=np.uint8)
    blobs = [draw_blob(images.shape, images, np.random.default_rng(seed)) for seed in range(10)]
    assert all(abs(blob.shade - 100) >= 25 for blob in blobs)
    assert len({int(blob.masks.sum()) for blob in blobs}) > 5


def test_the_ellipse_that_the_model_must_beat_fills_its_box():
    mask = np.zeros((30, 30), dtype=bool)
    mask[5:15, 10:26] = True
    drawn = ellipse(mask)
    rows, columns = np.nonzero(drawn)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (5, 14, 10, 25)
    assert drawn.sum() == pytest.approx(np.pi / 4 * 160, rel=0.05)


def test_the_probe_tells_a_model_that_has_not_learned_from_the_ellipse():
    torch.manual_seed(0)
    model = begun(original_sam2(Architecture.small("medsam2", SIZE_PX), random_everywhere=False))
    said = probe(model, [ellipsoid()], SIZE_PX)
    assert said["ellipse"] > 0.9 > said["box"]
    assert set(said) == {"ellipse", "box", "jittered", "point"}


def test_what_is_lost_on_later_slices_teaches_the_memory():
    model = original_sam2(Architecture.small("medsam2", SIZE_PX)).train()
    for depth, taught in ((1, False), (3, True)):
        model.zero_grad(set_to_none=True)
        rng = np.random.default_rng(3)
        loss, _ = stack_loss(model, stacks(depth), rng)
        loss.backward()
        grads = [p.grad for p in model.memory_encoder.parameters() if p.grad is not None]
        assert any(bool(grad.any()) for grad in grads) == taught
        assert any(p.grad is not None for p in model.image_encoder.parameters()) != taught  # that is done by then


def test_a_box_is_answered_otherwise_than_another_box_in_the_same_image_after_some_steps():
    torch.manual_seed(0)
    model = begun(original_sam2(Architecture.small("medsam2", SIZE_PX), random_everywhere=False)).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    drawn, losses = stacks(1, seed=4), []
    for step in range(12):
        loss, _ = stack_loss(model, drawn, np.random.default_rng(step))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    own, other = (answered(model, drawn.pixels[drawn.image], points) for points in (drawn.points, drawn.points.flip(0)))
    assert not own.equal(other)


def test_the_memory_begins_by_looking_at_the_same_place():
    torch.manual_seed(0)
    model = begun(original_sam2(Architecture.small("medsam2", SIZE_PX), random_everywhere=False)).eval()
    drawn, places = stacks(1), (SIZE_PX // 16) ** 2

    @torch.no_grad()
    def felt_in_its_own_place():
        """Share of the places of which a mark in the memory is felt most in the same place."""
        _, feats, positions, _ = model._prepare_backbone_features(model.forward_image(drawn.pixels[:1]))
        memory = torch.zeros(places, places, 64)  # place, batch, channels: every one of the batch has another mark
        memory[range(places), range(places)] = torch.randn(64)
        seen, position = (levels[-1].expand(-1, places, -1) for levels in (feats, positions))
        marked, empty = (
            model.memory_attention(curr=seen, curr_pos=position, memory=m, memory_pos=torch.zeros_like(m))
            for m in (memory, torch.zeros_like(memory))
        )
        felt = (marked - empty).norm(dim=2).argmax(dim=0)
        return float((felt == torch.arange(places)).float().mean())

    before = felt_in_its_own_place()
    remembering(model, drawn.pixels)
    assert felt_in_its_own_place() == 1.0 > before
