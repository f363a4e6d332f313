"""BIDS: raw images, and label maps as `_dseg` in derivatives (BIDS 1.11, imaging derivatives)."""

import csv
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from dgsweep.data.file_walk import files_below
from dgsweep.data.finding import Findings
from dgsweep.data.importing.found import Found, FoundCase, ImportOptions
from dgsweep.data.importing.nnunet import sequence_name
from dgsweep.data.importing.voxels import volume

SUFFIXES = {"T1w", "T2w", "T2starw", "FLAIR", "PDw", "inplaneT1", "inplaneT2", "UNIT1", "angio", "MESE", "MEGRE", "dwi",
            "ct", "CT", "pet", "bold", "T1map", "T2map", "VFA", "inPhase", "outPhase"}  # fmt: skip
CENTER_COLUMNS = ("center", "centre", "site", "institution")
_DERIVED = ("space", "desc", "label", "seg", "res", "den", "hemi")
"""Entities that a label map may have beyond its image's."""
_ENTITY = re.compile(r"([a-zA-Z0-9]+)-([a-zA-Z0-9+]+)")


def find_bids(source: Path, options: ImportOptions) -> Found:
    """One case an image; its label is the `_dseg` file whose other entities are the same, from any pipeline.

    The center is the column `center`, `site` or `institution` of participants.tsv; several runs stay apart.
    """
    findings = Findings()
    files = list(files_below(source))
    masks = _label_maps(files, findings)
    people = _participants(source / "participants.tsv")
    cases = []
    for relative, file in files:
        entities, suffix = _parts(file.name)
        if relative.startswith(("derivatives/", "sourcedata/")) or suffix not in SUFFIXES or "sub" not in entities:
            continue
        image = volume(file)
        if image is None:
            continue
        label = masks.get(_key(entities, suffix)) or masks.get(_key(entities, ""))
        person = people.get(f"sub-{entities['sub']}", {})
        center = next((person[name] for name in CENTER_COLUMNS if person.get(name)), options.center or "unknown")
        cases.append(
            FoundCase(
                case_id="_".join(f"{name}-{value}" for name, value in entities.items()) + f"_{suffix}",
                patient_id=f"sub-{entities['sub']}", center=center, sequence=_sequence(entities, suffix),
                image=image, label=volume(label) if label else None,
                columns={name: text for name, text in person.items() if name not in CENTER_COLUMNS},
            )
        )  # fmt: skip
    return Found(cases=tuple(cases), name=source.resolve().name, labels=_label_table(files), findings=findings)


def _parts(name: str) -> tuple[dict[str, str], str]:
    """`sub-01_ses-2_T1w.nii.gz` -> its entities in order and its suffix."""
    stem = name.split(".", maxsplit=1)[0]
    *pairs, suffix = stem.split("_")
    found = [match for pair in pairs if (match := _ENTITY.fullmatch(pair))]
    return {match[1]: match[2] for match in found}, suffix


def _key(entities: Mapping[str, str], suffix: str) -> tuple[tuple[str, str], ...]:
    """What image and label share; with the image's suffix where the label's name keeps it (`_T1w_dseg`)."""
    kept = {name: value for name, value in entities.items() if name not in _DERIVED}
    return tuple(sorted({**kept, **({"suffix": suffix} if suffix else {})}.items()))


def _label_maps(files: list[tuple[str, Path]], findings: Findings) -> dict[tuple[tuple[str, str], ...], Path]:
    found: dict[tuple[tuple[str, str], ...], Path] = {}
    for relative, file in files:
        entities, suffix = _parts(file.name)
        if suffix != "dseg" or volume(file) is None or "sub" not in entities:
            continue
        if entities.get("space", "orig") not in ("orig", "native", "individual"):
            continue  # in the space of an atlas, not of the scan
        before = file.name.split(".")[0].split("_")[-2]
        key = _key(entities, before if before in SUFFIXES else "")
        if key in found:
            findings.warn(relative, f"{found[key].name} is a label map of the same image", "the first one is taken")
        found.setdefault(key, file)
    return found


def _sequence(entities: Mapping[str, str], suffix: str) -> str:
    """Acquisition or contrast where they are told apart by it: `acq-oop_T1w` is another sequence than `T1w`."""
    extra = [entities[name] for name in ("acq", "ce", "part", "echo", "inv") if name in entities]
    return "-".join([sequence_name(suffix), *extra])


def _rows(path: Path) -> Iterator[dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            yield from (
                {str(name): (text or "").strip() for name, text in row.items() if name is not None}
                for row in csv.DictReader(stream, delimiter="\t")
            )
    except (OSError, UnicodeDecodeError, csv.Error):
        return


def _participants(path: Path) -> dict[str, dict[str, str]]:
    """participant_id -> the other columns; `n/a` is nothing."""
    return {
        row["participant_id"]: {
            name: text for name, text in row.items() if name != "participant_id" and text not in ("", "n/a")
        }
        for row in _rows(path)
        if row.get("participant_id")
    }


def _label_table(files: list[tuple[str, Path]]) -> dict[str, int]:
    """Name -> index of the first `_dseg.tsv`."""
    for _, file in files:
        if file.name.endswith("dseg.tsv"):
            table = {row["name"]: row["index"] for row in _rows(file) if row.get("name") and row.get("index")}
            return {name: int(index) for name, index in table.items() if index.isdecimal() and int(index) > 0}
    return {}
