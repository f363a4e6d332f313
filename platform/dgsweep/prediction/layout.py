"""Where masks go and what lies beside them: plain, as nnU-Net writes them, or as BIDS derivatives."""

import csv
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import dgsweep
from dgsweep.prediction.scans import Scan
from dgsweep.storage.files import write_bytes

LayoutName = Literal["plain", "nnunet", "bids"]
BIDS_VERSION = "1.11.0"
_BIDS_NAME = re.compile(r"(sub-[a-zA-Z0-9]+)((?:_[a-z]+-[a-zA-Z0-9+]+)*)_([a-zA-Z0-9]+)")


@dataclass(frozen=True, kw_only=True)
class OutputLayout:
    """Names of everything that a prediction leaves in its folder."""

    name: LayoutName
    folder: Path
    labels: Mapping[str, int]
    """Structure -> value in the masks."""

    def mask(self, scan: Scan) -> Path:
        """File of a scan's mask."""
        if self.name == "bids":
            return self._bids_folder(scan) / f"{self._bids_stem(scan)}_desc-dgsweep_dseg.nii.gz"
        return self.folder / f"{scan.case_id}.nii.gz"

    def probability(self, scan: Scan, structure: str) -> Path:
        """File of the probabilities of one structure (and of `background`)."""
        if self.name == "bids":
            label = re.sub(r"[^a-zA-Z0-9]", "", structure)
            return self._bids_folder(scan) / f"{self._bids_stem(scan)}_label-{label}_desc-dgsweep_probseg.nii.gz"
        return self.folder / "probabilities" / f"{scan.case_id}_{structure}.nii.gz"

    def write_beside(self, facts: Mapping[str, object]) -> None:
        """What describes the whole folder: how it was made, and the files that the layout asks for."""
        self._json("predict.json", {"dgsweep": dgsweep.__version__, "labels": dict(self.labels), **facts})
        if self.name == "nnunet":
            labels = {"background": 0, **self.labels}
            self._json("dataset.json", {"channel_names": {"0": "image"}, "labels": labels, "file_ending": ".nii.gz"})
        if self.name == "bids":
            made = [{"Name": "dgsweep", "Version": dgsweep.__version__}]
            described = {"Name": "dgsweep predictions", "BIDSVersion": BIDS_VERSION, "DatasetType": "derivative"}
            self._json("dataset_description.json", {**described, "GeneratedBy": made})
            write_bytes(self.folder / "desc-dgsweep_dseg.tsv", self._table().encode())

    def write_sidecar(self, scan: Scan) -> None:
        """BIDS: which image a mask is of, and in whose space."""
        if self.name == "bids":
            name = self.mask(scan).name.removesuffix(".nii.gz") + ".json"
            facts = {"SpatialReference": "orig", "Sources": [f"bids:raw:{scan.labelled_name}"], "Manual": False}
            write_bytes(self._bids_folder(scan) / name, (json.dumps(facts, indent=1) + "\n").encode())

    def _bids_folder(self, scan: Scan) -> Path:
        parts = self._bids_stem(scan).split("_")
        session = next((part for part in parts if part.startswith("ses-")), "")
        return self.folder.joinpath(*filter(None, (parts[0], session, "anat")))

    def _bids_stem(self, scan: Scan) -> str:
        """Entities of the image's name, or a subject made of the case id."""
        match = _BIDS_NAME.fullmatch(scan.labelled_name.split(".nii")[0])
        if match is not None:
            return f"{match[1]}{match[2]}_space-orig"
        return f"sub-{re.sub(r'[^a-zA-Z0-9]', '', scan.case_id)}_space-orig"

    def _table(self) -> str:
        text = io.StringIO()
        writer = csv.writer(text, delimiter="\t", lineterminator="\n")
        writer.writerow(["index", "name"])
        writer.writerows([(0, "background"), *((value, name) for name, value in self.labels.items())])
        return text.getvalue()

    def _json(self, name: str, content: Mapping[str, object]) -> None:
        write_bytes(self.folder / name, (json.dumps(content, indent=1) + "\n").encode())
