"""The small model that `make promptable` trains: from whom it learns, what it is told, and that its memory learns."""

import sys
from pathlib import Path

import numpy as np
import pytest

from dgsweep.config.schema import DataConfig, ProtocolConfig
from dgsweep.data.geometry import read_volume
from dgsweep.data.manifest import read_manifest
from dgsweep.data.phantom import PhantomSpec, write_phantom
from dgsweep.method.promptable.architecture import Architecture
from dgsweep.method.promptable.slices import to_uint8
from dgsweep.plan.split import assign_roles

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from originals import original_sam2
from promptable import stack_loss
from promptable_stacks import JITTER_PX, PREPARATION, Scan, draw_stacks, training_scans

SIZE_PX = 64
PROTOCOL = ProtocolConfig(kind="cross_sequence")


def ellipsoid():
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in (40, 32, 12)), indexing="ij")
    mask = sum((axis / radius) ** 2 for axis, radius in zip(axes, (0.5, 0.4, 0.7), strict=True)) < 1
    return Scan(np.where(mask, 200, 80).astype(np.uint8), mask)


def stacks(depth, seed=0):
    return draw_stacks([ellipsoid()], np.random.default_rng(seed), batch=2, depth=depth, size_px=SIZE_PX)


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "phantom"
    return write_phantom(folder, PhantomSpec(patients_per_center=4, centers=2, shape=(24, 24, 16)))


def test_it_learns_from_t1w_of_training_patients_and_from_no_other_scan(phantom):
    cases = read_manifest(phantom, DataConfig(manifest=str(phantom))).cases
    roles = assign_roles([case.info for case in cases], PROTOCOL.factors, PROTOCOL.folds)[0]
    levels = {case.info.case_id: to_uint8(read_volume(case.image).array, PREPARATION) for case in cases}
    learned = training_scans(phantom, PROTOCOL)
    seen = {name for name, own in levels.items() if any(np.array_equal(own, scan.levels) for scan in learned)}
    assert seen == {c.info.case_id for c in cases if c.info.sequence == "T1W" and roles[c.info.patient_id] == "train"}
    assert set(roles.values()) == {"train", "val", "test"}


def test_a_batch_is_a_function_of_its_seed():
    first, again, other = stacks(3, seed=1), stacks(3, seed=1), stacks(3, seed=2)
    assert first.pixels.equal(again.pixels)
    assert first.points.equal(again.points)
    assert not first.pixels.equal(other.pixels)


def test_boxes_lie_around_the_structure_by_no_more_than_the_jitter():
    factor = SIZE_PX / 32
    boxes = 0
    for seed in range(8):
        drawn = stacks(3, seed)
        for mask, points, labels in zip(drawn.masks, drawn.points, drawn.labels, strict=True):
            if not mask.any() or labels.tolist() != [2, 3]:
                continue
            rows, columns = np.nonzero(mask.numpy())
            tight = np.array([[columns.min(), rows.min()], [columns.max(), rows.max()]])
            assert np.abs(points.numpy() - tight).max() <= (JITTER_PX + 1) * factor
            boxes += 1
    assert boxes > 10


def test_what_is_lost_on_later_slices_teaches_the_memory():
    model = original_sam2(Architecture.small("medsam2", SIZE_PX)).train()
    for depth, taught in ((1, False), (3, True)):
        model.zero_grad(set_to_none=True)
        rng = np.random.default_rng(3)
        loss, _ = stack_loss(model, stacks(depth), rng)
        loss.backward()
        grads = [p.grad for p in model.memory_encoder.parameters() if p.grad is not None]
        assert any(bool(grad.any()) for grad in grads) == taught
