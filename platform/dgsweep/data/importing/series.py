"""Data sets that need more than paths: DICOM series (CHAOS, NIH Pancreas-CT), and frames of ACDC by its text files."""

import re
from pathlib import Path

from dgsweep.data.file_walk import files_below
from dgsweep.data.finding import Findings
from dgsweep.data.importing.found import Found, FoundCase, ImportOptions
from dgsweep.data.importing.voxels import DicomSeries, LabelOnSeries, SliceMasks, volume

CHAOS_MR = {1: (55, 70), 2: (110, 135), 3: (175, 200), 4: (240, 255)}
"""Liver, right kidney, left kidney, spleen: ranges of grey that the challenge's page gives for MR."""
CHAOS_CT = {1: (1, 255)}
CHAOS_SEQUENCES = {"InPhase": "IP", "OutPhase": "OOP"}


def find_chaos(source: Path, options: ImportOptions) -> Found:
    """`{Train,Test}_Sets/{MR,CT}/{patient}/...`: T1DUAL in- and out-of-phase, T2SPIR and CT, masks as PNGs.

    Layout and grey values: chaos.grand-challenge.org, data. Both phases of T1DUAL share the masks.
    """
    findings, cases = Findings(), []
    for sets, split in (("Train_Sets", "train"), ("Test_Sets", "test")):
        for modality in ("MR", "CT"):
            folder = source / sets / modality
            for patient in _folders(folder):
                cases += _chaos_patient(patient, modality, split, options)
    return Found(
        cases=tuple(cases), name="CHAOS", labels={"liver": 1, "right_kidney": 2, "left_kidney": 3, "spleen": 4},
        licence="CC BY-NC-SA 4.0", citation="Kavur et al., Medical Image Analysis 2021 (arXiv:2001.06535)",
        findings=findings,
    )  # fmt: skip


def _chaos_patient(patient: Path, modality: str, split: str, options: ImportOptions) -> list[FoundCase]:
    """Cases of one person: CT and MR are of different people, although their numbers repeat."""
    name, found = f"chaos_{modality}{patient.name}", []
    if modality == "CT":
        places = [(patient / "DICOM_anon", patient / "Ground", "CT", CHAOS_CT)]
    else:
        dual, spir = patient / "T1DUAL", patient / "T2SPIR"
        places = [
            (dual / "DICOM_anon" / phase, dual / "Ground", sequence, CHAOS_MR)
            for phase, sequence in CHAOS_SEQUENCES.items()
        ]
        places.append((spir / "DICOM_anon", spir / "Ground", "T2W", CHAOS_MR))
    for images, masks, sequence, classes in places:
        if images.is_dir():
            series = DicomSeries(images)
            label = SliceMasks(masks, series, classes) if masks.is_dir() else None
            found.append(
                FoundCase(
                    case_id=f"{name}_{sequence}", patient_id=name, center=options.center or "CHAOS", sequence=sequence,
                    image=series, label=label, split=split if split == "test" else "",
                )
            )  # fmt: skip
    return found


def find_nih_pancreas(source: Path, options: ImportOptions) -> Found:
    """`PANCREAS_0001/.../*.dcm` and `label0001.nii.gz` anywhere below (TCIA, Pancreas-CT).

    The labels' headers hold no place in the world, and their rows run against DICOM's: they are turned and put onto
    their scan. Look at one with `dgsweep data check --html` before you trust it.
    """
    findings = Findings()
    labels = {match[1]: file for relative, file in files_below(source)
              if (match := re.fullmatch(r"(?:.*/)?label(\d{4})\.nii(?:\.gz)?", relative))}  # fmt: skip
    cases = []
    people = sorted(
        path for path in source.rglob("PANCREAS_*") if path.is_dir() and re.fullmatch(r"\D+\d{4}", path.name)
    )
    for person in people:
        number = person.name[-4:]
        folders = sorted({file.parent for _, file in files_below(person) if file.suffix.lower() == ".dcm"})
        if len(folders) != 1:
            findings.warn(person.name, f"{len(folders)} folders of DICOM files", "expected one; the case is left out")
            continue
        series = DicomSeries(folders[0])
        label = LabelOnSeries(labels[number], series) if number in labels else None
        cases.append(
            FoundCase(
                case_id=person.name, patient_id=person.name, center=options.center or "NIH", sequence="CT",
                image=series, label=label,
            )
        )  # fmt: skip
    return Found(
        cases=tuple(cases), name="NIH Pancreas-CT", labels={"pancreas": 1}, licence="CC BY 3.0",
        citation="Roth et al., TCIA 2016 (doi:10.7937/K9/TCIA.2016.tNB1kqBU)", findings=findings,
    )  # fmt: skip


def find_acdc(source: Path, options: ImportOptions) -> Found:
    """`{training,testing}/patient001/patient001_frame01.nii.gz` with `_gt`, end-diastole and -systole by Info.cfg.

    The 4D cine series is left out. Every frame is a case of its patient (sequence CINE, column `phase`).
    """
    findings, cases = Findings(), []
    for side, split in (("training", ""), ("testing", "test")):
        for patient in _folders(source / side):
            info = _info(patient / "Info.cfg")
            for file in sorted(patient.glob("patient*_frame*")):
                match = re.fullmatch(r"(patient\d+)_frame(\d+)\.nii(?:\.gz)?", file.name)
                image = volume(file)
                if match is None or image is None:
                    continue
                label = next((path for path in patient.glob(f"{match[1]}_frame{match[2]}_gt.nii*")), None)
                phase = next((name for name in ("ED", "ES") if info.get(name) == str(int(match[2]))), "")
                cases.append(
                    FoundCase(
                        case_id=f"{match[1]}_frame{match[2]}", patient_id=match[1], center=options.center or "Dijon",
                        sequence=options.sequence or "CINE", image=image, label=volume(label) if label else None,
                        split=split, columns={"phase": phase, "group": info.get("Group", "")},
                    )
                )  # fmt: skip
    return Found(
        cases=tuple(cases), name="ACDC", labels={"right_ventricle": 1, "myocardium": 2, "left_ventricle": 3},
        citation="Bernard et al., IEEE TMI 2018", findings=findings,
    )  # fmt: skip


def _info(path: Path) -> dict[str, str]:
    """`ED: 1` lines."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    return {name.strip(): text.strip() for name, _, text in (line.partition(":") for line in lines) if text}


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
