"""What `dgsweep data import KIND` knows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from dgsweep.config.names import name_advice
from dgsweep.data.file_walk import files_below
from dgsweep.data.importing import layouts
from dgsweep.data.importing.bids import find_bids
from dgsweep.data.importing.found import Found, FoundCase, ImportOptions
from dgsweep.data.importing.metadata import with_metadata
from dgsweep.data.importing.nnunet import find_msd, find_nnunet
from dgsweep.data.importing.patterns import Layout, find_by_layout, template_pattern
from dgsweep.data.importing.series import find_acdc, find_chaos, find_nih_pancreas
from dgsweep.errors import InputError, ManifestError, Problem


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One layout that can be imported."""

    about: str
    """How the files lie, in one line."""
    find: Callable[[Path, ImportOptions], Found]


def _by(layout: Layout) -> Callable[[Path, ImportOptions], Found]:
    return lambda source, options: find_by_layout(source, layout, options)


def _find_brats(source: Path, options: ImportOptions) -> Found:
    """Enhancing tumour is 4 up to 2021 and 3 from 2023 on, which the names of the files tell."""
    found = find_by_layout(source, layouts.BRATS, options)
    if any(case.patient_id.lower().startswith("brats-") for case in found.cases):
        return replace(found, labels={**found.labels, "enhancing_tumor": 3})
    return found


def _find_folder(source: Path, options: ImportOptions) -> Found:
    if not options.image_pattern:
        problem = Problem(where="--image", found="nothing", fix="for example '{center}_{patient}_{sequence}.nii.gz'")
        raise InputError("kind folder needs a pattern for images", [problem])
    labels = (template_pattern(options.label_pattern),) if options.label_pattern else ()
    layout = Layout(images=(template_pattern(options.image_pattern),), labels=labels)
    found = find_by_layout(source, layout, options)
    return replace(found, cases=_with_distinct_ids(found.cases))


def _with_distinct_ids(cases: tuple[FoundCase, ...]) -> tuple[FoundCase, ...]:
    """Ids of what tells the cases apart; center and sequence are added when the patients alone do not."""
    if len({case.case_id for case in cases}) == len(cases):
        return cases
    return tuple(
        replace(case, case_id="_".join((case.case_id, case.center, case.sequence, *case.columns.values())))
        for case in cases
    )


KINDS: Mapping[str, Kind] = {
    "nnunet": Kind(about="dataset.json (v2, v1), imagesTr/CASE_0000.nii.gz, labelsTr, splits_final", find=find_nnunet),
    "msd": Kind(about="dataset.json with `training: [{image, label}]`, channels in 4D files", find=find_msd),
    "bids": Kind(about="sub-*/anat/*_T1w.nii.gz and derivatives/*/..._dseg.nii.gz", find=find_bids),
    "crosspan": Kind(about="{T1,T2,OOP}/{train,val,test}/{images,labels}", find=_by(layouts.CROSSPAN)),
    "pansegdata": Kind(about="T1 and T2 folders with imagesTr, labelsTr", find=_by(layouts.PANSEGDATA)),
    "pancreasdg": Kind(about="CENTER/{venous,oop}/{images,labels}", find=_by(layouts.PANCREASDG)),
    "amos": Kind(about="images{Tr,Va,Ts}/amos_0001.nii.gz; CT up to 500, MR above", find=_by(layouts.AMOS)),
    "abdomenct1k": Kind(about="Case_00001_0000.nii.gz and Case_00001.nii.gz", find=_by(layouts.ABDOMENCT1K)),
    "word": Kind(about="images{Tr,Val,Ts}/word_0001.nii.gz", find=_by(layouts.WORD)),
    "btcv": Kind(about="{Training,Testing}/{img,label}/img0001.nii.gz", find=_by(layouts.BTCV)),
    "nih_pancreas": Kind(about="PANCREAS_0001/**/*.dcm and label0001.nii.gz", find=find_nih_pancreas),
    "chaos": Kind(about="{Train,Test}_Sets/{MR,CT}/PATIENT: DICOM series and PNG masks", find=find_chaos),
    "brats": Kind(about="BraTS-GLI-00000-000-{t1n,t1c,t2w,t2f,seg}.nii.gz, also 2018 to 2021", find=_find_brats),
    "prostate_multisite": Kind(about="SITE/Case00.nii.gz and Case00_Segmentation.nii.gz",
                               find=_by(layouts.PROSTATE_MULTISITE)),
    "acdc": Kind(about="{training,testing}/patient001/patient001_frame01.nii.gz", find=find_acdc),
    "folder": Kind(about="your own: --image '{center}_{patient}_{sequence}.nii.gz' --label ...", find=_find_folder),
}  # fmt: skip


def find_cases(kind: str, source: Path, options: ImportOptions) -> Found:
    """Cases of a data set, with what a person's table adds.

    Raises:
        InputError: no such kind, no such folder, or a pattern is missing.
        ManifestError: a description cannot be read, or no image was found.
    """
    if kind not in KINDS:
        raise InputError("no such kind of data set", [Problem(where="KIND", found=kind, fix=name_advice(kind, KINDS))])
    if not source.is_dir():
        raise InputError(
            "nothing to import", [Problem(where=str(source), found="no folder", fix="name the data set's")]
        )
    found = KINDS[kind].find(source, options)
    if not found.cases:
        raise ManifestError("nothing to import", [_nothing(kind, source)])
    return with_metadata(found, options.metadata)


def _nothing(kind: str, source: Path) -> Problem:
    """What was expected, and some of what lies there."""
    names = [relative for relative, _ in files_below(source)][:5]
    lies = f"it holds {', '.join(names)} ..." if names else "it is empty"
    fix = f"expected {KINDS[kind].about}; or describe it with kind `folder`"
    return Problem(where=str(source), found=f"no image of kind {kind}; {lies}", fix=fix)
