"""Every published layout becomes a manifest with the right people, domains, splits and labels."""

from pathlib import Path

import pytest
from import_trees import dataset_json, dicom, nifti, pairs, png

from dgsweep.data.importing import KINDS, ImportOptions, find_cases
from dgsweep.errors import InputError, ManifestError


def found(kind: str, root: Path, **options) -> dict[str, tuple]:
    """Case id -> patient, center, sequence, split, label's name."""
    cases = find_cases(kind, root, ImportOptions(**options)).cases
    assert len({case.case_id for case in cases}) == len(cases)
    return {
        case.case_id: (
            case.patient_id,
            case.center,
            case.sequence,
            case.split,
            case.label.path.name if case.label else "",
        )
        for case in cases
    }


def test_crosspan_takes_sequence_and_split_from_folders_and_the_center_from_the_name(tmp_path):
    pairs(tmp_path, "T1/train/images/NYU_0001_0000.nii.gz", "OOP/test/images/IU_7_0000.nii.gz",
          "T2/val/images/NYU_0001_0000.nii.gz",
          label_names=("T1/train/labels/NYU_0001.nii.gz", "OOP/test/labels/IU_7.nii.gz"))  # fmt: skip
    assert found("crosspan", tmp_path) == {
        "NYU_0001_T1W": ("NYU_0001", "NYU", "T1W", "train", "NYU_0001.nii.gz"),
        "IU_7_OOP": ("IU_7", "IU", "OOP", "test", "IU_7.nii.gz"),
        "NYU_0001_T2W": ("NYU_0001", "NYU", "T2W", "val", ""),
    }


def test_pansegdata_reads_centers_from_folders_or_names(tmp_path):
    pairs(tmp_path, "T1_raw/imagesTr/NYU_0001_0000.nii.gz", "t2/AHN/imagesTs/0009_0000.nii.gz",
          label_names=("T1_raw/labelsTr/NYU_0001.nii.gz", "t2/AHN/labelsTs/0009.nii.gz"))  # fmt: skip
    assert found("pansegdata", tmp_path) == {
        "NYU_0001_T1W": ("NYU_0001", "NYU", "T1W", "train", "NYU_0001.nii.gz"),
        "0009_T2W": ("0009", "AHN", "T2W", "test", "0009.nii.gz"),
    }


@pytest.mark.parametrize("folders", ["EMC/oop", "oop/EMC", "EMC/Out-of-phase"])
def test_pancreasdg_reads_phase_and_center_in_either_order(tmp_path, folders):
    pairs(tmp_path, f"{folders}/images/001.nii.gz", label_names=(f"{folders}/labels/001.nii.gz",))
    assert list(found("pancreasdg", tmp_path).values()) == [("EMC_001", "EMC", "OOP", "", "001.nii.gz")]


def test_amos_tells_ct_from_mr_by_number_and_leaves_the_test_side_unlabelled(tmp_path):
    pairs(tmp_path, "amos22/imagesTr/amos_0500.nii.gz", "amos22/imagesVa/amos_0507.nii.gz",
          "amos22/imagesTs/amos_0600.nii.gz",
          label_names=("amos22/labelsTr/amos_0500.nii.gz", "amos22/labelsVa/amos_0507.nii.gz"))  # fmt: skip
    assert found("amos", tmp_path) == {
        "amos_0500": ("amos_0500", "AMOS", "CT", "train", "amos_0500.nii.gz"),
        "amos_0507": ("amos_0507", "AMOS", "MR", "val", "amos_0507.nii.gz"),
        "amos_0600": ("amos_0600", "AMOS", "MR", "test", ""),
    }
    assert find_cases("amos", tmp_path, ImportOptions()).labels["pancreas"] == 10


@pytest.mark.parametrize(
    ("kind", "image", "label", "case_id", "pancreas"),
    [
        ("abdomenct1k", "ImagePart1/Case_00001_0000.nii.gz", "Mask/Case_00001.nii.gz", "Case_00001", 4),
        ("word", "WORD-V0.1.0/imagesVal/word_0007.nii.gz", "WORD-V0.1.0/labelsVal/word_0007.nii.gz", "word_0007", 8),
        ("btcv", "RawData/Training/img/img0001.nii.gz", "RawData/Training/label/label0001.nii.gz", "btcv_0001", 11),
    ],
)
def test_a_ct_set_is_paired_and_names_its_pancreas(tmp_path, kind, image, label, case_id, pancreas):
    pairs(tmp_path, image, label_names=(label,))
    (case,) = find_cases(kind, tmp_path, ImportOptions()).cases
    assert (case.case_id, case.sequence, case.label.path.name) == (case_id, "CT", Path(label).name)
    assert find_cases(kind, tmp_path, ImportOptions()).labels["pancreas"] == pancreas


@pytest.mark.parametrize(
    ("stem", "sequences", "separator", "enhancing"),
    [
        ("BraTS-GLI-00002-000", ("t1n", "t1c", "t2w", "t2f"), "-", 3),
        ("BraTS20_Training_001", ("t1", "t1ce", "t2", "flair"), "_", 4),
    ],
)
def test_brats_makes_one_case_a_sequence_with_the_patients_one_label(tmp_path, stem, sequences, separator, enhancing):
    names = [f"{stem}/{stem}{separator}{one}.nii.gz" for one in sequences]
    pairs(tmp_path, *names, label_names=(f"{stem}/{stem}{separator}seg.nii.gz",))
    found = find_cases("brats", tmp_path, ImportOptions())
    cases = found.cases
    assert found.labels["enhancing_tumor"] == enhancing
    assert {case.sequence for case in cases} == {"T1W", "T1CE", "T2W", "FLAIR"}
    assert {(case.patient_id, case.label.path.name) for case in cases} == {(stem, f"{stem}{separator}seg.nii.gz")}


def test_the_prostate_sites_are_centers_and_their_zones_one_structure(tmp_path):
    nifti(tmp_path / "HK" / "Case00.nii.gz")
    nifti(tmp_path / "HK" / "Case00_Segmentation.nii.gz", label=True, values=(0, 1, 2))
    pairs(tmp_path, "UCL/Case00.nii.gz")
    cases = {case.case_id: case for case in find_cases("prostate_multisite", tmp_path, ImportOptions()).cases}
    assert cases.keys() == {"HK_Case00", "UCL_Case00"}
    assert cases["UCL_Case00"].label is None
    assert sorted(set(cases["HK_Case00"].label.read().array.flat)) == [0, 1]


def test_acdc_takes_the_two_phases_that_info_names_and_leaves_the_cine_out(tmp_path):
    person = tmp_path / "training" / "patient001"
    pairs(person, "patient001_4d.nii.gz", "patient001_frame01.nii.gz", "patient001_frame12.nii.gz",
          label_names=("patient001_frame01_gt.nii.gz", "patient001_frame12_gt.nii.gz"))  # fmt: skip
    (person / "Info.cfg").write_text("ED: 1\nES: 12\nGroup: DCM\n")
    cases = find_cases("acdc", tmp_path, ImportOptions()).cases
    assert [(case.case_id, case.columns["phase"], case.label.path.name) for case in cases] == [
        ("patient001_frame01", "ED", "patient001_frame01_gt.nii.gz"),
        ("patient001_frame12", "ES", "patient001_frame12_gt.nii.gz"),
    ]


def test_chaos_pairs_three_sequences_with_masks_and_keeps_ct_and_mr_people_apart(tmp_path):
    mr, ct = tmp_path / "Train_Sets" / "MR" / "1", tmp_path / "Train_Sets" / "CT" / "1"
    for place in (mr / "T1DUAL/DICOM_anon/InPhase", mr / "T1DUAL/DICOM_anon/OutPhase", mr / "T2SPIR/DICOM_anon",
                  ct / "DICOM_anon"):  # fmt: skip
        dicom(place)
    for number in range(4):
        for folder in (mr / "T1DUAL/Ground", mr / "T2SPIR/Ground", ct / "Ground"):
            png(folder / f"IMG-0001-{number + 1:05d}.png", 63)
    told = found("chaos", tmp_path)
    assert {name: row[:3] for name, row in told.items()} == {
        "chaos_MR1_IP": ("chaos_MR1", "CHAOS", "IP"), "chaos_MR1_OOP": ("chaos_MR1", "CHAOS", "OOP"),
        "chaos_MR1_T2W": ("chaos_MR1", "CHAOS", "T2W"), "chaos_CT1_CT": ("chaos_CT1", "CHAOS", "CT"),
    }  # fmt: skip


def test_a_folder_is_described_by_a_pattern_and_further_names_become_columns(tmp_path):
    pairs(tmp_path, "scans/NYU_001_T1_v2.nii.gz", "scans/NYU_001_T2_v1.nii.gz", label_names=("seg/NYU_001_T1.nii.gz",))
    cases = find_cases(
        "folder", tmp_path,
        ImportOptions(image_pattern="scans/{center}_{patient}_{sequence}_{visit}.nii.gz",
                      label_pattern="seg/{center}_{patient}_{sequence}.nii.gz"),
    ).cases  # fmt: skip
    told = {(case.patient_id, case.center, case.sequence, case.columns["visit"], bool(case.label)) for case in cases}
    assert told == {("001", "NYU", "T1", "v2", True), ("001", "NYU", "T2", "v1", False)}


def test_a_persons_table_wins_over_file_names(tmp_path):
    pairs(tmp_path, "A_1_T1.nii.gz", "A_2_T1.nii.gz")
    table = tmp_path / "people.csv"
    table.write_text("patient_id,center,vendor\n1,B,Siemens\n9,C,GE\n")
    options = ImportOptions(image_pattern="{center}_{patient}_{sequence}.nii.gz", metadata=table)
    result = find_cases("folder", tmp_path, options)
    assert [(case.center, case.columns) for case in result.cases] == [("B", {"vendor": "Siemens"}), ("A", {})]
    assert "1 rows of nobody, first '9'" in result.findings.all[0].found


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"nnunet", "msd", "folder"}))
def test_a_folder_of_something_else_is_refused_with_what_was_expected(tmp_path, kind):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(ManifestError, match=r"no image of kind .*; it holds notes.txt .*kind `folder`"):
        find_cases(kind, tmp_path, ImportOptions())


def test_an_unknown_kind_is_answered_with_the_nearest(tmp_path):
    with pytest.raises(InputError, match="did you mean `nnunet`"):
        find_cases("nnunett", tmp_path, ImportOptions())


def test_a_link_that_leads_out_of_the_folder_and_hidden_files_are_left_out(tmp_path):
    secret = nifti(tmp_path / "elsewhere" / "secret.nii.gz")
    inside = tmp_path / "set"
    pairs(inside, "C_1_T1.nii.gz", "._C_1_T1.nii.gz")
    (inside / "C_2_T1.nii.gz").symlink_to(secret)
    cases = find_cases("folder", inside, ImportOptions(image_pattern="{center}_{patient}_{sequence}.nii.gz")).cases
    assert [case.patient_id for case in cases] == ["1"]


def test_bids_pairs_derivatives_by_entities_and_takes_centers_from_participants(tmp_path):
    pairs(tmp_path, "sub-01/anat/sub-01_T1w.nii.gz", "sub-01/anat/sub-01_acq-oop_T1w.nii.gz",
          "sub-02/ses-a/anat/sub-02_ses-a_T2w.nii.gz", "derivatives/fsl/sub-01/anat/sub-01_desc-brain_T1w.nii.gz",
          label_names=("derivatives/man/sub-01/anat/sub-01_space-orig_dseg.nii.gz",
                       "derivatives/man/sub-02/ses-a/anat/sub-02_ses-a_desc-manual_dseg.nii.gz",
                       "derivatives/man/sub-02/ses-a/anat/sub-02_ses-a_space-MNI_dseg.nii.gz"))  # fmt: skip
    (tmp_path / "participants.tsv").write_text("participant_id\tsite\tage\nsub-01\tNYU\t60\nsub-02\tMCF\tn/a\n")
    (tmp_path / "derivatives" / "man" / "dseg.tsv").write_text("index\tname\n0\tbackground\n1\tpancreas\n")
    assert found("bids", tmp_path) == {
        "sub-01_T1w": ("sub-01", "NYU", "T1W", "", "sub-01_space-orig_dseg.nii.gz"),
        "sub-01_acq-oop_T1w": ("sub-01", "NYU", "T1W-oop", "", ""),
        "sub-02_ses-a_T2w": ("sub-02", "MCF", "T2W", "", "sub-02_ses-a_desc-manual_dseg.nii.gz"),
    }
    assert find_cases("bids", tmp_path, ImportOptions()).labels == {"pancreas": 1}


def test_dataset_json_that_is_none_is_refused_in_words(tmp_path):
    dataset_json(tmp_path, labels={})
    (tmp_path / "dataset.json").write_text("[1, 2")
    with pytest.raises(ManifestError, match=r"dataset.json: it cannot be read"):
        find_cases("nnunet", tmp_path, ImportOptions())
