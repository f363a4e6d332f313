"""nnU-Net's raw data sets (v2, v1) and the Medical Segmentation Decathlon, which v1 follows; both by dataset.json."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from dgsweep.data.finding import Findings
from dgsweep.data.importing.found import Found, FoundCase, ImportOptions
from dgsweep.data.importing.voxels import Channel, Voxels, channels, volume
from dgsweep.errors import CaseError, ManifestError, Problem

MAX_JSON_BYTES = 64 * 2**20
_UNSAFE = re.compile(r"[^\w.=@-]+")


def find_nnunet(source: Path, options: ImportOptions) -> Found:
    """`imagesTr/{case}_{0000..}{ending}`, `labelsTr/{case}{ending}`, optional `imagesTs` and `labelsTs`.

    Each channel is a case of its own, named after `channel_names` (v1: `modality`); all of a case's channels are of
    one patient. See nnU-Net's documentation/dataset_format.md.
    """
    description, findings = _description(source), Findings()
    names = _channel_names(description)
    ending = str(description.get("file_ending") or ".nii.gz")
    cases = [
        case
        for folder, labels, split in (("imagesTr", "labelsTr", "train"), ("imagesTs", "labelsTs", "test"))
        for case in _nnunet_cases(source, folder, labels, split, ending, names, options, findings)
    ]
    folds = _read_splits(source, options, findings)
    cases = [_with_fold(case, folds, options) for case in cases]
    return _found(source, description, cases, findings)


def find_msd(source: Path, options: ImportOptions) -> Found:
    """`training: [{image, label}]`, `test: [...]`, channels as volumes of a 4D file, as medicaldecathlon.com describes.

    Each channel becomes a case of its own, named after `modality`; 4D files have their channels written apart.
    """
    description, findings = _description(source), Findings()
    names = _channel_names(description)
    cases: list[FoundCase] = []
    for entry in description.get("training") or []:
        pair = entry if isinstance(entry, dict) else {}
        cases += _msd_cases(source, pair.get("image"), pair.get("label"), "", names, options, findings)
    for entry in description.get("test") or []:
        image = entry.get("image") if isinstance(entry, dict) else entry
        cases += _msd_cases(source, image, None, "test", names, options, findings)
    return _found(source, description, cases, findings)


def _description(source: Path) -> Mapping[str, Any]:
    path = source / "dataset.json"
    return _mapping(path, _read_json(path))


def _read_json(path: Path) -> Any:
    """JSON that somebody else wrote; ManifestError when it is absent, too large or none."""
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise _wrong(path, f"it has {path.stat().st_size} bytes", f"at most {MAX_JSON_BYTES} are read")
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise _wrong(path, f"it cannot be read ({error})", "expected a JSON file") from error


def _mapping(path: Path, content: Any) -> Mapping[str, Any]:
    if not isinstance(content, dict):
        raise _wrong(path, f"it holds a {type(content).__name__}", "expected an object with labels and channel_names")
    return content


def _wrong(path: Path, found: str, fix: str) -> ManifestError:
    return ManifestError("the data set cannot be imported", [Problem(where=path.name, found=found, fix=fix)])


def _channel_names(description: Mapping[str, Any]) -> dict[int, str]:
    """Channel -> its name as a sequence: T1, T2 and their like become T1W and T2W."""
    given = description.get("channel_names") or description.get("modality") or {}
    if not isinstance(given, dict):
        return {}
    return {int(index): sequence_name(str(name)) for index, name in given.items() if str(index).isdecimal()}


def sequence_name(name: str) -> str:
    """A name that a domain can have; `T1` is written T1W."""
    clean = _UNSAFE.sub("-", name.strip()).strip("-") or "unknown"
    return {"t1": "T1W", "t1w": "T1W", "t2": "T2W", "t2w": "T2W"}.get(clean.lower(), clean)


def _structures(description: Mapping[str, Any], findings: Findings) -> dict[str, int]:
    """v2 has name -> value, v1 value -> name; regions of several values are no structure of their own."""
    found: dict[str, int] = {}
    for key, value in (description.get("labels") or {}).items():
        name, number = (value, key) if isinstance(value, str) and str(key).isdecimal() else (key, value)
        if isinstance(number, list):
            findings.warn("dataset.json labels", f"{name} is a region of values {number}", "its values are kept apart")
        elif str(number).isdecimal() and int(number) > 0 and str(name).lower() not in ("background", "ignore"):
            found[str(name)] = int(number)
    return found


def _found(source: Path, description: Mapping[str, Any], cases: list[FoundCase], findings: Findings) -> Found:
    declared = description.get("numTraining")
    trained = len({case.patient_id for case in cases if case.label is not None})
    if isinstance(declared, int) and declared != trained:
        findings.warn(
            "dataset.json numTraining", f"{declared}, but {trained} labelled cases lie there", "look for them"
        )
    return Found(
        cases=tuple(cases), name=str(description.get("name") or source.resolve().name),
        labels=_structures(description, findings), licence=str(description.get("licence") or ""),
        citation=str(description.get("reference") or ""), findings=findings,
    )  # fmt: skip


def _nnunet_cases(  # noqa: PLR0913, PLR0917 - one pair of folders
    source: Path, images: str, labels: str, split: str, ending: str, names: Mapping[int, str],
    options: ImportOptions, findings: Findings,
) -> Iterator[FoundCase]:  # fmt: skip
    folder = source / images
    pattern = re.compile(rf"(?P<case>.+)_(?P<channel>\d{{4}}){re.escape(ending)}")
    for file in sorted(folder.iterdir()) if folder.is_dir() else []:
        match = pattern.fullmatch(file.name)
        image = volume(file)
        if file.name.startswith(".") or not file.resolve().is_relative_to(source.resolve()):
            continue
        if match is None or image is None:
            findings.warn(f"{images}/{file.name}", "no name of an image", f"expected CASE_0000{ending}")
            continue
        case, channel = match["case"], int(match["channel"])
        label = volume(source / labels / f"{case}{ending}")
        if label is not None and not label.path.is_file():
            label = None
            if split == "train":
                findings.warn(f"{images}/{file.name}", f"no {labels}/{case}{ending}", "the case is unlabelled")
        yield _channel_case(case, image, label, "test" if split == "test" else "", channel, names, options)


def _channel_case(
    case: str, image: Voxels, label: Voxels | None, split: str, channel: int, names: Mapping[int, str],
    options: ImportOptions,
) -> FoundCase:  # fmt: skip
    sequence = names.get(channel, f"channel{channel}")
    if len(names) <= 1 and options.sequence:
        sequence = options.sequence
    return FoundCase(
        case_id=f"{case}_{sequence}" if len(names) > 1 else case, patient_id=case,
        center=options.center or "unknown", sequence=sequence, image=image, label=label, split=split,
    )  # fmt: skip


def _msd_cases(
    source: Path, image: Any, label: Any, split: str, names: Mapping[int, str], options: ImportOptions,
    findings: Findings,
) -> Iterator[FoundCase]:  # fmt: skip
    file, mask = (_below(source, text, findings) for text in (image, label))
    if file is None:
        return
    case = file.name.split(".nii")[0]
    try:
        count = channels(file)
    except CaseError as error:
        findings.error(file.name, error.problems[0].found, error.problems[0].fix, case_id=case)
        return
    for channel in range(count):
        voxels = volume(file) if count == 1 else Channel(file, channel)
        if voxels is not None:
            yield _channel_case(case, voxels, volume(mask) if mask else None, split, channel, names, options)


def _below(source: Path, text: Any, findings: Findings) -> Path | None:
    """A file that dataset.json names; None, and a finding, when it is absent or not in the folder."""
    if not isinstance(text, str) or not text:
        return None
    if PurePosixPath(text).name.startswith("."):  # macOS leaves ._files in archives
        return None
    path = (source / text).resolve()
    if not path.is_relative_to(source.resolve()):
        findings.error("dataset.json", f"{text!r} leaves the folder", "correct the path")
        return None
    if not path.is_file():
        findings.error("dataset.json", f"{text!r}: there is no such file", "copy it, or remove the entry")
        return None
    return path


def _read_splits(source: Path, options: ImportOptions, findings: Findings) -> list[Mapping[str, Sequence[str]]]:
    """splits_final.json, from where it was said to be, from the data set, or from nnUNet_preprocessed beside it."""
    beside = source.resolve().parent.parent / "nnUNet_preprocessed" / source.resolve().name
    places = [options.splits] if options.splits else [source / "splits_final.json", beside / "splits_final.json"]
    path = next((place for place in places if place is not None and place.is_file()), None)
    if path is None:
        if options.splits or options.fold is not None:
            findings.error("splits_final.json", "there is no such file", "name it by --splits")
        return []
    content = _read_json(path)
    folds = content if isinstance(content, list) else []
    if not all(isinstance(fold, dict) and {"train", "val"} <= fold.keys() for fold in folds) or not folds:
        findings.error(path.name, "no list of folds with train and val", "expected nnU-Net's splits_final.json")
        return []
    if options.fold is not None and not 0 <= options.fold < len(folds):
        findings.error("--fold", f"{options.fold}", f"{path.name} has the folds 0 to {len(folds) - 1}")
        return []
    return folds


def _with_fold(case: FoundCase, folds: Sequence[Mapping[str, Sequence[str]]], options: ImportOptions) -> FoundCase:
    """The column `split` from the wanted fold; without one the column `nnunet_fold` tells where a case is validated."""
    if not folds or case.split == "test":
        return case
    if options.fold is not None:
        fold = folds[options.fold]
        split = next((side for side in ("train", "val") if case.patient_id in fold[side]), "")
        return replace(case, split=split)
    held = [str(number) for number, fold in enumerate(folds) if case.patient_id in fold["val"]]
    return replace(case, columns={**case.columns, "nnunet_fold": "+".join(held)})
