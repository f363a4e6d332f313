"""nnU-Net's and the Decathlon's data sets: channels, test sides, folds, damaged descriptions."""

import json

import numpy as np
from import_trees import dataset_json, nifti, pairs

from dgsweep.data.importing import ImportOptions, find_cases, write_import

V2 = {"channel_names": {"0": "T2", "1": "ADC"}, "labels": {"background": 0, "prostate": 1}, "file_ending": ".nii.gz"}


def test_each_channel_is_a_case_of_its_patient_with_the_one_label(tmp_path):
    dataset_json(tmp_path, **V2, numTraining=1)
    pairs(tmp_path, "imagesTr/p1_0000.nii.gz", "imagesTr/p1_0001.nii.gz", "imagesTs/p9_0000.nii.gz",
          label_names=("labelsTr/p1.nii.gz",))  # fmt: skip
    result = find_cases("nnunet", tmp_path, ImportOptions(center="UCL"))
    assert [(case.case_id, case.patient_id, case.center, case.sequence, case.split) for case in result.cases] == [
        ("p1_T2W", "p1", "UCL", "T2W", ""), ("p1_ADC", "p1", "UCL", "ADC", ""), ("p9_T2W", "p9", "UCL", "T2W", "test"),
    ]  # fmt: skip
    assert [case.label.path.name if case.label else "" for case in result.cases] == ["p1.nii.gz", "p1.nii.gz", ""]
    assert result.labels == {"prostate": 1}
    assert not result.findings.all


def test_version_one_names_values_first_and_its_modality_is_the_sequence(tmp_path):
    dataset_json(tmp_path, modality={"0": "MRI"}, labels={"0": "background", "1": "pancreas"}, numTraining=3)
    pairs(tmp_path, "imagesTr/p1_0000.nii.gz", label_names=("labelsTr/p1.nii.gz",))
    result = find_cases("nnunet", tmp_path, ImportOptions())
    assert (result.cases[0].case_id, result.cases[0].sequence, result.labels) == ("p1", "MRI", {"pancreas": 1})
    assert "3, but 1 labelled cases" in result.findings.all[0].found


def test_regions_are_said_to_be_no_structure_of_their_own(tmp_path):
    dataset_json(tmp_path, channel_names={"0": "T1"}, labels={"background": 0, "whole": [1, 2], "core": 2, "ignore": 3})
    pairs(tmp_path, "imagesTr/p1_0000.nii.gz")
    result = find_cases("nnunet", tmp_path, ImportOptions())
    assert result.labels == {"core": 2}
    assert any("whole is a region" in finding.found for finding in result.findings.all)


def test_a_fold_of_splits_final_becomes_the_official_split(tmp_path):
    dataset_json(tmp_path, channel_names={"0": "T1"}, labels={"background": 0, "a": 1})
    pairs(tmp_path, "imagesTr/p1_0000.nii.gz", "imagesTr/p2_0000.nii.gz", "imagesTs/p3_0000.nii.gz")
    folds = [{"train": ["p1"], "val": ["p2"]}, {"train": ["p2"], "val": ["p1"]}]
    (tmp_path / "splits_final.json").write_text(json.dumps(folds))
    told = {case.case_id: case.split for case in find_cases("nnunet", tmp_path, ImportOptions(fold=1)).cases}
    assert told == {"p1": "val", "p2": "train", "p3": "test"}
    noted = find_cases("nnunet", tmp_path, ImportOptions()).cases
    assert {case.case_id: (case.split, case.columns.get("nnunet_fold")) for case in noted} == {
        "p1": ("", "1"), "p2": ("", "0"), "p3": ("test", None),
    }  # fmt: skip
    wrong = find_cases("nnunet", tmp_path, ImportOptions(fold=5)).findings.all
    assert "folds 0 to 1" in wrong[-1].fix


def test_the_decathlons_channels_are_written_apart_from_their_4d_file(tmp_path):
    source, out = tmp_path / "Task05", tmp_path / "out"
    nifti(source / "imagesTr" / "p_00.nii.gz", shape=(6, 5, 4, 2))
    nifti(source / "labelsTr" / "p_00.nii.gz", label=True)
    dataset_json(source, name="Prostate", modality={"0": "T2", "1": "ADC"}, labels={"0": "background", "1": "PZ"},
                 training=[{"image": "./imagesTr/p_00.nii.gz", "label": "./labelsTr/p_00.nii.gz"},
                           {"image": "./imagesTr/._p_00.nii.gz", "label": "./labelsTr/._p_00.nii.gz"}],
                 test=["./imagesTs/absent.nii.gz"])  # fmt: skip
    result = find_cases("msd", source, ImportOptions())
    assert [case.case_id for case in result.cases] == ["p_00_T2W", "p_00_ADC"]
    assert ["absent" in finding.found for finding in result.findings.errors] == [True]
    written = write_import(result, out)
    assert (written.cases, written.copied) == (2, 2)
    second = result.cases[1].image.read().array
    np.testing.assert_array_equal(second, np.arange(240, dtype=np.int16).reshape(6, 5, 4, 2)[..., 1])


def test_a_description_that_names_files_outside_is_refused_for_those(tmp_path):
    source = tmp_path / "Task01"
    nifti(tmp_path / "secret.nii.gz")
    pairs(source, "imagesTr/a.nii.gz")
    dataset_json(source, labels={}, training=[{"image": "../secret.nii.gz"}, {"image": "imagesTr/a.nii.gz"}])
    result = find_cases("msd", source, ImportOptions())
    assert [case.case_id for case in result.cases] == ["a"]
    assert "leaves the folder" in result.findings.errors[0].found
