"""`dgsweep predict`: the same masks as the sweep's, in the scan's own geometry, once, in parts, by one or several."""

import json

import nibabel as nib
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from dgsweep.cli.app import app
from dgsweep.errors import InputError
from dgsweep.prediction.choice import Choice, chosen_trials
from dgsweep.prediction.layout import OutputLayout
from dgsweep.prediction.predict import load_models, predict_scans
from dgsweep.prediction.scans import Scan, scans_of, shard

CPU = torch.device("cpu")


def call(*arguments, code=0):
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == code, done.output
    return done


def trials(ledger) -> list[str]:
    return [spec.trial_id for spec in ledger.read_plan().trials]


def voxels(path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj)


def scans_in(phantom, count=2) -> list[Scan]:
    return scans_of(phantom)[:count]


@pytest.fixture
def few(phantom, tmp_path):
    """A folder with three scans, named as the manifest's images are."""
    folder = tmp_path / "scans"
    folder.mkdir()
    for scan in scans_in(phantom, 3):
        (folder / f"{scan.case_id}_0000.nii.gz").write_bytes(scan.path.read_bytes())
    return folder


def test_a_mask_equals_the_one_that_the_sweep_scored(swept, phantom, tmp_path):
    trial = trials(swept)[0]
    kept = sorted((swept.paths(trial).root / "predictions").glob("*.nii.gz"))
    wanted = {path.name.removesuffix(".nii.gz") for path in kept}
    call("predict", swept.paths(trial).root, phantom, tmp_path / "out")
    assert wanted
    for path in kept:
        mine = tmp_path / "out" / path.name
        np.testing.assert_array_equal(voxels(mine), voxels(path))
        np.testing.assert_allclose(nib.load(mine).affine, nib.load(path).affine)
    assert {path.name.removesuffix(".nii.gz") for path in (tmp_path / "out").glob("*.nii.gz")} >= wanted
    assert any(voxels(path).any() for path in kept)


def test_masks_carry_the_values_of_the_label_files(swept, phantom, tmp_path):
    _, specs = chosen_trials(swept.output, Choice(trials=(trials(swept)[0],)))
    models = load_models(swept, specs, CPU)
    layout = OutputLayout(name="plain", folder=tmp_path, labels=dict.fromkeys(specs[0].preprocessing.labels, 7))
    predict_scans(models, scans_in(phantom), layout)
    assert {int(value) for path in tmp_path.glob("*.nii.gz") for value in np.unique(voxels(path))} == {0, 7}


def test_what_is_there_is_not_predicted_again_unless_asked(swept, few, tmp_path):
    out, trial = tmp_path / "out", swept.paths(trials(swept)[0]).root
    call("predict", trial, few, out)
    first = sorted(out.glob("*.nii.gz"))[0]
    first.write_bytes(b"mine")
    assert "0 masks written" in call("predict", trial, few, out).output
    assert first.read_bytes() == b"mine"
    assert "3 masks written" in call("predict", trial, few, out, "--overwrite").output
    assert first.read_bytes() != b"mine"


def test_parts_cover_every_scan_once(phantom):
    scans = scans_of(phantom)
    parts = [shard(scans, f"{k}/3") for k in range(3)]
    assert sorted(scan.case_id for part in parts for scan in part) == sorted(scan.case_id for scan in scans)
    for wrong in ("3/3", "x", "-1/2"):
        with pytest.raises(InputError, match="no such part"):
            shard(scans, wrong)


def test_two_seeds_are_one_cell_too_many_unless_they_are_an_ensemble(swept, few, tmp_path):
    refused = CliRunner().invoke(app, ["predict", str(swept.output), str(few), str(tmp_path / "out")])
    assert refused.exception.exit_code == 2
    assert "2 cells fit" in str(refused.exception)
    done = call("predict", swept.output, few, tmp_path / "out", "--ensemble", "--json")
    assert json.loads(done.stdout)["trials"] == trials(swept)


def test_an_ensemble_is_the_mean_of_its_members_probabilities(swept, few, tmp_path):
    members = []
    for trial in trials(swept):
        call("predict", swept.paths(trial).root, few, tmp_path / trial, "--probabilities")
        members.append(tmp_path / trial / "probabilities")
    call("predict", swept.output, few, tmp_path / "both", "--ensemble", "--probabilities")
    for path in sorted((tmp_path / "both" / "probabilities").glob("*.nii.gz")):
        mean = np.mean([voxels(folder / path.name) for folder in members], axis=0)
        np.testing.assert_allclose(voxels(path), mean, atol=1e-6)
        assert not np.allclose(voxels(path), voxels(members[0] / path.name))


def test_probabilities_add_up_and_their_largest_is_the_mask(swept, few, tmp_path):
    call("predict", swept.paths(trials(swept)[0]).root, few, tmp_path, "--probabilities")
    mask = sorted(tmp_path.glob("*.nii.gz"))[0]
    case = mask.name.removesuffix(".nii.gz")
    names = ["background", *json.loads((tmp_path / "predict.json").read_text())["labels"]]
    classes = np.stack([voxels(tmp_path / "probabilities" / f"{case}_{name}.nii.gz") for name in names])
    np.testing.assert_allclose(classes.sum(axis=0), 1, atol=1e-5)
    np.testing.assert_array_equal(classes.argmax(axis=0), voxels(mask))


def test_a_scan_that_cannot_be_read_does_not_stop_the_others(swept, few, tmp_path):
    (few / "broken.nii.gz").write_bytes(b"no gzip")
    done = call("predict", swept.paths(trials(swept)[0]).root, few, tmp_path / "out", code=2)
    assert "3 masks written" in done.output
    assert "broken.nii.gz" in done.output


def test_a_cell_is_chosen_by_method_and_sources_and_what_fits_nothing_is_answered_with_what_there_is(swept):
    _, specs = chosen_trials(swept.output, Choice(method="erm", sources="*T1W*", ensemble=True))
    assert len(specs) == 2
    with pytest.raises(InputError, match=r"method gin.*erm \|"):
        chosen_trials(swept.output, Choice(method="gin"))
    with pytest.raises(InputError, match="2 trials begin with ''"):
        chosen_trials(swept.output, Choice(trials=("",)))


def test_a_trial_is_found_by_the_mlflow_run_that_shows_it(swept):
    shown = json.loads(swept.files.mlflow.read_text())
    trial, run = next(iter(shown["trials"].items()))
    _, (spec,) = chosen_trials(swept.output, Choice(mlflow_run=run))
    assert spec.trial_id == trial
    with pytest.raises(InputError, match="the MLflow run cannot be read"):
        chosen_trials(swept.output, Choice(mlflow_run=shown["parent"]))


def test_nnunet_users_find_their_dataset_json_beside_the_masks(swept, few, tmp_path):
    call("predict", swept.paths(trials(swept)[0]).root, few, tmp_path, "--layout", "nnunet")
    described = json.loads((tmp_path / "dataset.json").read_text())
    assert described["labels"]["background"] == 0
    assert described["file_ending"] == ".nii.gz"
    assert len(list(tmp_path.glob("*.nii.gz"))) == 3


def test_bids_names_follow_the_images_and_its_files_are_there(swept, phantom, tmp_path):
    scans = tmp_path / "raw"
    for subject, name in (("sub-01", "sub-01_ses-a_acq-fs_T1w.nii.gz"), ("x", "odd name_7.nii.gz")):
        (scans / subject).mkdir(parents=True)
        (scans / subject / name).write_bytes(scans_in(phantom)[0].path.read_bytes())
    call("predict", swept.paths(trials(swept)[0]).root, scans, tmp_path / "out", "--layout", "bids")
    found = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.nii.gz"))
    assert found == [
        "sub-01/ses-a/anat/sub-01_ses-a_acq-fs_space-orig_desc-dgsweep_dseg.nii.gz",
        "sub-oddname7/anat/sub-oddname7_space-orig_desc-dgsweep_dseg.nii.gz",
    ]
    sidecar = json.loads((tmp_path / "out" / found[0].replace(".nii.gz", ".json")).read_text())
    assert sidecar["SpatialReference"] == "orig"
    described = json.loads((tmp_path / "out" / "dataset_description.json").read_text())
    assert described["DatasetType"] == "derivative"
    table = (tmp_path / "out" / "desc-dgsweep_dseg.tsv").read_text().splitlines()
    assert table[:2] == ["index\tname", "0\tbackground"]


def test_two_scans_of_one_name_are_refused_before_anything_is_written(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "scan.nii.gz").write_bytes(b"")
    with pytest.raises(InputError, match="masks would overwrite each other"):
        scans_of(tmp_path)
