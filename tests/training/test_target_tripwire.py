"""No label or image of a target is opened before training has ended: every open() of a real trial is watched."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dgsweep.data.phantom.write import PhantomSpec, write_phantom

WATCHED_TRIAL = """
import json, os, sys
opened, phase = {"train": [], "score": []}, ["train"]
sys.addaudithook(lambda name, args: opened[phase[0]].append(os.fspath(args[0]))
                 if name == "open" and isinstance(args[0], (str, os.PathLike)) else None)
from pathlib import Path
from dgsweep.execution import worker
from dgsweep.execution.prepare import prepare
from dgsweep.execution.preparation import build_jobs
from dgsweep.execution.resources import TrialResources

prepared = prepare(Path(sys.argv[1]))
resources = TrialResources(workers=1, cpus_per_worker=1, gpus_per_worker=0.0, max_concurrent=1)
specs = prepared.plan.pretraining or prepared.plan.trials
(job,) = build_jobs(specs, prepared.manifest, prepared.config, resources)
opened["train"].clear()  # planning hashes every file, reading no voxel
train = worker.train_within_memory

def watched(task, note):
    training = train(task, note)
    phase[0] = "score"
    return training

worker.train_within_memory = watched
worker.run_trial(job, worker.WorkerLink(rank=0, world_size=1, report=lambda row: None))
spec = specs[0]
roles = {role: {name: [str(job.cases[name].image), str(job.cases[name].label)] for name in getattr(spec.split, role)}
         for role in ("train", "val", "test", "target", "unlabelled")}
sys.__stdout__.write(json.dumps({"opened": opened, "roles": roles}))
"""


def watch(folder: Path, **changes) -> dict:
    spec = PhantomSpec(shape=(32, 32, 16), centers=2, patients_per_center=4, sequences=("T1W", "T2W"))
    manifest = write_phantom(folder / "phantom", spec)
    sweep = {
        "data": {"manifest": str(manifest), "spacing_mm": [3.0, 3.0, 3.0], "patch": [16, 16, 16]},
        "protocol": {"kind": "explicit", "splits": [{"sources": ["*/T1W"], "targets": ["*/T2W"]}]},
        "methods": ["erm"],
        "networks": [{"name": "unet_tiny", "options": {"width": 4, "levels": 2}}],
        "budget": {"steps": 2},
        "output": str(folder / "run"),
        **changes,
    }
    (folder / "sweep.yaml").write_text(json.dumps(sweep))
    done = subprocess.run(
        [sys.executable, "-c", WATCHED_TRIAL, str(folder / "sweep.yaml")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def watched(tmp_path_factory) -> dict:
    return watch(tmp_path_factory.mktemp("sweep"))


@pytest.fixture(scope="module")
def transductive(tmp_path_factory) -> dict:
    protocol = {
        "kind": "explicit",
        "splits": [{"sources": ["*/T1W"], "targets": ["*/T2W"]}],
        "label_ratio": [0.5],
        "unlabelled": "both",
    }
    return watch(tmp_path_factory.mktemp("free"), methods=["mean_teacher"], protocol=protocol)


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory) -> dict:
    method = {"name": "erm", "init_from": {"name": "mae3d", "data": "all_unlabelled"}}
    return watch(tmp_path_factory.mktemp("pre"), methods=[method])


def files(watched: dict, *roles: str) -> tuple[set[str], set[str]]:
    """Images and labels of some roles."""
    pairs = [pair for role in roles for pair in watched["roles"][role].values()]
    assert pairs
    return {image for image, _ in pairs}, {label for _, label in pairs}


def test_training_opens_no_file_of_a_target_or_test_case(watched):
    images, labels = files(watched, "target", "test")
    assert not (images | labels) & set(watched["opened"]["train"])


def test_training_opens_images_and_labels_of_train_and_val_cases(watched):
    images, labels = files(watched, "train", "val")
    assert images | labels <= set(watched["opened"]["train"])


def test_scoring_opens_images_and_labels_of_target_and_test_cases(watched):
    images, labels = files(watched, "target", "test")
    assert images | labels <= set(watched["opened"]["score"])


def test_each_target_image_is_opened_before_its_label(watched):
    order = watched["opened"]["score"]
    for image, label in watched["roles"]["target"].values():
        assert order.index(image) < order.index(label)


def test_the_files_of_the_sources_and_the_targets_are_not_the_same(watched):
    sources, targets = files(watched, "train", "val"), files(watched, "target", "test")
    assert not (sources[0] | sources[1]) & (targets[0] | targets[1])
    assert all(Path(name).is_file() for name in sources[0] | targets[0])


def test_a_method_that_sees_target_scans_opens_their_images_and_none_of_their_labels(transductive):
    images, labels = files(transductive, "unlabelled")
    opened = set(transductive["opened"]["train"])
    assert images <= opened
    assert not labels & opened
    assert any("T2W" in image for image in images)


def test_it_opens_no_file_of_a_scored_case_before_training_has_ended(transductive):
    images, labels = files(transductive, "target", "test")
    assert not (images | labels) & set(transductive["opened"]["train"])


def test_no_label_of_an_unlabelled_case_is_opened_while_scoring_either(transductive):
    _, labels = files(transductive, "unlabelled")
    assert not labels & set(transductive["opened"]["score"])


def test_a_pretraining_opens_images_of_every_sequence_and_no_label_at_all(pretrained):
    images, labels = files(pretrained, "unlabelled")
    opened = set(pretrained["opened"]["train"]) | set(pretrained["opened"]["score"])
    assert images <= opened
    assert {name for name in opened if "/labels/" in name} == set()
    assert {"T1W", "T2W"} == {name.rpartition("_")[2].partition(".")[0] for name in images}
    assert all("/labels/" in name for name in labels)
