"""Published layouts that paths alone describe. Sources are each data set's own page or paper, named beside it."""

from dgsweep.data.importing.patterns import Groups, Layout

SEQUENCES = {"t1": "T1W", "t1w": "T1W", "t2": "T2W", "t2w": "T2W", "oop": "OOP", "out-of-phase": "OOP",
             "out_of_phase": "OOP", "outofphase": "OOP", "venous": "T1W", "venous_phase": "T1W"}  # fmt: skip
"""As folders call them -> as manifests do. All T1W scans of PanSegData and PancreasDG are of the venous phase."""
NII = r"\.nii(?:\.gz)?"
IMAGE_FOLDER, LABEL_FOLDER = r"(?:images?|imgs?)", r"(?:labels?|masks?)"


def _center_of_id(groups: Groups) -> Groups:
    """The letters before the first digit or underscore: `NYU_0012` and `nyu12` are of NYU."""
    if groups.get("center"):
        return {}
    head = groups["id"].replace("-", "_").split("_")[0]
    letters = "".join(one for one in head if one.isalpha())
    return {"center": letters.upper() or "unknown"}


def _amos_modality(groups: Groups) -> Groups:
    """AMOS numbers CT scans up to 500 and MR scans from 501 on (AMOS 2022, data description)."""
    return {"sequence": "CT" if int(groups["id"].rpartition("_")[2]) <= 500 else "MR"}


CROSSPAN = Layout(
    images=(rf"(?P<sequence>t1|t2|oop)/(?P<split>train|val|test)/images/(?P<id>[^/]+?)(?:_0000)?{NII}",),
    labels=(rf"(?P<sequence>t1|t2|oop)/(?P<split>train|val|test)/labels/(?P<id>[^/]+?){NII}",),
    structures={"pancreas": 1}, case_id="{id}_{sequence}", translate={"sequence": SEQUENCES}, derive=_center_of_id,
    name="CrossPan", licence="CC BY-NC 4.0", citation="CrossPan, MIDL 2026 (arXiv:2604.18797)",
)  # fmt: skip
"""huggingface.co/datasets/linkai-peng/CrossPan. The center is what the file name begins with."""

_PANSEG = r"(?:[^/]+/)*?[^/]*?(?P<sequence>t1w?|t2w?)[^/]*/(?:(?P<center>nyu|mcf|nu|ahn|mca)/)?"
PANSEGDATA = Layout(
    images=(rf"{_PANSEG}(?:images(?P<split>tr|ts)|images)/(?P<id>[^/]+?)(?:_0000)?{NII}",),
    labels=(rf"{_PANSEG}(?:labels(?P<split>tr|ts)|labels)/(?P<id>[^/]+?){NII}",),
    structures={"pancreas": 1}, case_id="{id}_{sequence}", translate={"sequence": SEQUENCES}, derive=_center_of_id,
    name="PanSegData", citation="Zhang et al., Medical Image Analysis 2025 (arXiv:2405.12367); osf.io/kysnj",
)  # fmt: skip
"""Folders of T1 and T2 in nnU-Net v1's form, centers as folders or as the beginning of names."""

_PHASE = "(?P<sequence>venous(?:_phase)?|t1w?|oop|out[-_]?of[-_]?phase)"
PANCREASDG = Layout(
    images=(rf"(?P<center>[^/]+)/{_PHASE}/{IMAGE_FOLDER}(?:tr|ts)?/(?P<id>[^/]+?)(?:_0000)?{NII}",
            rf"{_PHASE}/(?P<center>[^/]+)/{IMAGE_FOLDER}(?:tr|ts)?/(?P<id>[^/]+?)(?:_0000)?{NII}"),
    labels=(rf"(?P<center>[^/]+)/{_PHASE}/{LABEL_FOLDER}(?:tr|ts)?/(?P<id>[^/]+?){NII}",
            rf"{_PHASE}/(?P<center>[^/]+)/{LABEL_FOLDER}(?:tr|ts)?/(?P<id>[^/]+?){NII}"),
    structures={"pancreas": 1}, case_id="{center}_{id}_{sequence}", patient_id="{center}_{id}",
    translate={"sequence": SEQUENCES}, name="PancreasDG",
)  # fmt: skip
"""Venous phase and out-of-phase by center, in either order of folders."""

AMOS = Layout(
    images=(rf"(?:.*/)?images(?P<split>tr|va|ts)/(?P<id>amos_\d+){NII}",),
    labels=(rf"(?:.*/)?labels(?P<split>tr|va|ts)/(?P<id>amos_\d+){NII}",),
    structures={name: value for value, name in enumerate((
        "spleen", "right_kidney", "left_kidney", "gall_bladder", "esophagus", "liver", "stomach", "aorta", "postcava",
        "pancreas", "right_adrenal_gland", "left_adrenal_gland", "duodenum", "bladder", "prostate_uterus"), start=1)},
    center="AMOS", derive=_amos_modality, name="AMOS", licence="CC BY 4.0",
    citation="Ji et al., NeurIPS 2022 (arXiv:2206.08023)",
)  # fmt: skip
"""Both parts, CT and MRI; sequence is CT or MR."""

ABDOMENCT1K = Layout(
    images=(rf"(?:.*/)?(?P<id>case_\d+)_0000{NII}",), labels=(rf"(?:.*/)?(?P<id>case_\d+){NII}",),
    structures={"liver": 1, "kidney": 2, "spleen": 3, "pancreas": 4}, center="AbdomenCT-1K", sequence="CT",
    name="AbdomenCT-1K", citation="Ma et al., TPAMI 2022 (arXiv:2010.14808)",
)  # fmt: skip

WORD = Layout(
    images=(rf"(?:.*/)?images(?P<split>tr|val|ts)/(?P<id>word_\d+){NII}",),
    labels=(rf"(?:.*/)?labels(?P<split>tr|val|ts)/(?P<id>word_\d+){NII}",),
    structures={name: value for value, name in enumerate((
        "liver", "spleen", "left_kidney", "right_kidney", "stomach", "gallbladder", "esophagus", "pancreas", "duodenum",
        "colon", "intestine", "adrenal", "rectum", "bladder", "left_head_of_femur", "right_head_of_femur"), start=1)},
    center="WORD", sequence="CT", name="WORD", citation="Luo et al., Medical Image Analysis 2022 (arXiv:2111.02403)",
)  # fmt: skip

BTCV = Layout(
    images=(rf"(?:.*/)?(?P<split>training|testing)/img/img(?P<id>\d+){NII}",),
    labels=(rf"(?:.*/)?(?P<split>training|testing)/label/label(?P<id>\d+){NII}",),
    structures={name: value for value, name in enumerate((
        "spleen", "right_kidney", "left_kidney", "gallbladder", "esophagus", "liver", "stomach", "aorta",
        "inferior_vena_cava", "portal_and_splenic_vein", "pancreas", "right_adrenal_gland", "left_adrenal_gland"),
        start=1)},
    case_id="btcv_{id}", patient_id="btcv_{id}", center="BTCV", sequence="CT", name="BTCV",
    citation="Landman et al., MICCAI 2015 multi-atlas labeling challenge (Synapse syn3193805)",
)  # fmt: skip

_BRATS_2023 = r"(?:.*/)?(?P<id>brats-[a-z]+-\d+-\d+)"
_BRATS_2020 = r"(?:.*/)?(?P<id>brats(?:\d+)_(?:training|validation|\d+)_?\d*)"
BRATS = Layout(
    images=(rf"{_BRATS_2023}-(?P<sequence>t1n|t1c|t2w|t2f){NII}",
            rf"{_BRATS_2020}_(?P<sequence>t1|t1ce|t2|flair){NII}"),
    labels=(rf"{_BRATS_2023}-seg{NII}", rf"{_BRATS_2020}_seg{NII}"),
    structures={"necrotic_core": 1, "edema": 2, "enhancing_tumor": 4}, case_id="{id}_{sequence}", center="BraTS",
    translate={"sequence": {"t1n": "T1W", "t1": "T1W", "t1c": "T1CE", "t1ce": "T1CE", "t2w": "T2W", "t2": "T2W",
                            "t2f": "FLAIR", "flair": "FLAIR"}},
    name="BraTS", citation="Menze et al., IEEE TMI 2015; Baid et al. 2021 (arXiv:2107.02314)",
)  # fmt: skip
"""One case a sequence, all with the label of their patient. Values as up to 2021."""

PROSTATE_MULTISITE = Layout(
    images=(rf"(?P<center>[^/]+)/(?P<id>case\d+){NII}",),
    labels=(rf"(?P<center>[^/]+)/(?P<id>case\d+)_segmentation{NII}",),
    structures={"prostate": 1}, merged=True, case_id="{center}_{id}", patient_id="{center}_{id}", sequence="T2W",
    name="Prostate multi-site", citation="Liu et al., MICCAI 2020 (SAML; arXiv:2007.02035)",
)  # fmt: skip
"""BIDMC, BMC, HK, I2CVB, RUNMC, UCL. Some sites label two zones: both are prostate."""
