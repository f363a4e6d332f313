"""Checkpoints that their authors publish: file names, places, digests, licences, citations. Free of torch.

The digests of SAM and SAM 2.1 are those on which several independent public projects agree; we could not download the
files. Where none is given, none was found, and the digest of the user's file is only recorded.
"""

from dataclasses import dataclass

_META_SAM = "https://dl.fbaipublicfiles.com/segment_anything"
_META_SAM2 = "https://dl.fbaipublicfiles.com/segment_anything_2/092824"
_SAM = "Kirillov et al., Segment Anything, ICCV 2023, arXiv:2304.02643"
_MEDSAM = "Ma et al., Segment anything in medical images, Nature Communications 15:654, 2024, arXiv:2304.12306"
_SAM2 = "Ravi et al., SAM 2: Segment Anything in Images and Videos, 2024, arXiv:2408.00714"
_MEDSAM2 = "Ma et al., MedSAM2: Segment Anything in 3D Medical Images and Videos, 2025, arXiv:2504.03600"


@dataclass(frozen=True, kw_only=True)
class Published:
    """One published checkpoint."""

    name: str
    family: str
    encoder: str
    file: str
    url: str
    """Where a person downloads `file`."""
    repository: str
    """On Hugging Face, where `weights fetch` looks."""
    fetch_file: str
    """File in that repository: `file`, or the same weights in transformers' layout."""
    licence: str
    citation: str
    sha256: str = ""
    """Of `file`, in hexadecimal; empty where none is known."""


def _sam(encoder: str, file: str, size: str, sha256: str) -> Published:
    return Published(
        name=f"sam_{encoder}",
        family="sam",
        encoder=encoder,
        file=file,
        url=f"{_META_SAM}/{file}",
        repository=f"facebook/sam-vit-{size}",
        fetch_file="model.safetensors",
        licence="Apache-2.0",
        citation=_SAM,
        sha256=sha256,
    )


def _sam2(encoder: str, sha256: str) -> Published:
    name = f"sam2.1_{encoder}"
    return Published(
        name=name,
        family="sam2",
        encoder=encoder,
        file=f"{name}.pt",
        url=f"{_META_SAM2}/{name}.pt",
        repository=f"facebook/{name.replace('_', '-')}",
        fetch_file=f"{name}.pt",
        licence="Apache-2.0",
        citation=_SAM2,
        sha256=sha256,
    )


def _medsam2(name: str) -> Published:
    return Published(
        name=name,
        family="medsam2",
        encoder="hiera_tiny",
        file=f"{name}.pt",
        url=f"https://huggingface.co/wanglab/MedSAM2/resolve/main/{name}.pt",
        repository="wanglab/MedSAM2",
        fetch_file=f"{name}.pt",
        licence="CC BY-SA 4.0",
        citation=_MEDSAM2,
    )


_ALL = (
    _sam("vit_b", "sam_vit_b_01ec64.pth", "base", "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912"),
    _sam("vit_l", "sam_vit_l_0b3195.pth", "large", "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622"),
    _sam("vit_h", "sam_vit_h_4b8939.pth", "huge", "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e"),
    Published(
        name="medsam_vit_b",
        family="medsam",
        encoder="vit_b",
        file="medsam_vit_b.pth",
        url="https://zenodo.org/records/10689643/files/medsam_vit_b.pth",
        repository="wanglab/medsam-vit-base",
        fetch_file="model.safetensors",
        licence="Apache-2.0",
        citation=_MEDSAM,
    ),
    _sam2("hiera_tiny", "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69"),
    _sam2("hiera_small", "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38"),
    _sam2("hiera_base_plus", "a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5"),
    _sam2("hiera_large", "2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318"),
    _medsam2("MedSAM2_latest"),
    _medsam2("MedSAM2_2411"),
    _medsam2("MedSAM2_CTLesion"),
    _medsam2("MedSAM2_MRI_LiverLesion"),
    _medsam2("MedSAM2_US_Heart"),
)
PUBLISHED = {item.name: item for item in _ALL}
