"""nnU-Net itself on the cases of a manifest: its raw data set, fingerprint, plan and preprocessed files.

Patch, batch, spacing and network are written into its plan, so that both sides do the same work. It runs in this
process: the pools that it starts for a data set would be timed with their start.
"""

import contextlib
import io
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dgsweep.data.manifest import Case

DATASET = "Dataset900_Bench"
CONFIGURATION = "3d_fullres"


def installed() -> bool:
    """Whether nnU-Net is there: `make bench` installs it, the product never does."""
    return find_spec("nnunetv2") is not None


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A data set of nnU-Net and its plan."""

    raw: Path
    preprocessed: Path
    plans: dict[str, Any]
    dataset_json: dict[str, Any]
    names: tuple[str, ...]


def write_raw(folder: Path, cases: Sequence[Case]) -> Path:
    """Copy cases with one structure into the layout of nnU-Net and point it there; returns the data set's folder."""
    places = {"nnUNet_raw": folder / "raw", "nnUNet_preprocessed": folder / "pre", "nnUNet_results": folder / "results"}
    for name, place in places.items():
        os.environ[name] = str(place)
    os.environ["nnUNet_compile"] = "f"  # noqa: SIM112 - the name is nnU-Net's
    raw = places["nnUNet_raw"] / DATASET
    for part in ("imagesTr", "labelsTr"):
        (raw / part).mkdir(parents=True)
    for case in cases:
        shutil.copy(case.image, raw / "imagesTr" / f"{case.info.case_id}_0000.nii.gz")
        assert case.label is not None
        shutil.copy(case.label, raw / "labelsTr" / f"{case.info.case_id}.nii.gz")
    about = {
        "channel_names": {"0": "MRI"}, "labels": {"background": 0, "organ": 1},
        "numTraining": len(cases), "file_ending": ".nii.gz",
    }  # fmt: skip
    (raw / "dataset.json").write_text(json.dumps(about))
    return raw


def plan(raw: Path, patch: Sequence[int], batch: int, spacing_mm: Sequence[float], width: int, stages: int) -> Peer:
    """Let nnU-Net take its fingerprint and plan, then write our patch (x, y, z), batch, spacing and network into it."""
    from nnunetv2.experiment_planning.plan_and_preprocess_api import (
        extract_fingerprint_dataset,
        plan_experiment_dataset,
    )

    with _quiet():
        extract_fingerprint_dataset(900, num_processes=1)
        plan_experiment_dataset(900)
    preprocessed = Path(os.environ["nnUNet_preprocessed"]) / DATASET  # noqa: SIM112
    path = preprocessed / "nnUNetPlans.json"
    plans = json.loads(path.read_text())
    wanted = plans["configurations"][CONFIGURATION]
    wanted.update(patch_size=list(reversed(patch)), batch_size=batch, spacing=list(reversed(spacing_mm)))
    wanted["architecture"]["arch_kwargs"].update(
        n_stages=stages, features_per_stage=[min(320, width * 2**level) for level in range(stages)],
        kernel_sizes=[[3, 3, 3]] * stages, strides=[[1, 1, 1]] + [[2, 2, 2]] * (stages - 1),
        n_conv_per_stage=[2] * stages, n_conv_per_stage_decoder=[2] * (stages - 1),
    )  # fmt: skip
    plans["transpose_forward"] = plans["transpose_backward"] = [0, 1, 2]
    path.write_text(json.dumps(plans))
    about = json.loads((raw / "dataset.json").read_text())
    shutil.copy(raw / "dataset.json", preprocessed / "dataset.json")
    names = tuple(sorted(label.name.removesuffix(".nii.gz") for label in (raw / "labelsTr").iterdir()))
    return Peer(raw=raw, preprocessed=preprocessed, plans=plans, dataset_json=about, names=names)


def preprocess(peer: Peer, names: Sequence[str]) -> None:
    """Preprocess cases as nnU-Net does, one after the other."""
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    manager = PlansManager(peer.plans)
    configuration = manager.get_configuration(CONFIGURATION)
    folder = peer.preprocessed / configuration.data_identifier
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    preprocessor = DefaultPreprocessor(verbose=False)
    for name in names:
        image, label = peer.raw / "imagesTr" / f"{name}_0000.nii.gz", peer.raw / "labelsTr" / f"{name}.nii.gz"
        preprocessor.run_case_save(
            str(folder / name), [str(image)], str(label), manager, configuration, peer.dataset_json
        )


def fingerprint(peer: Peer, names: Sequence[str]) -> None:
    """The part of nnU-Net's planning that reads every case."""
    from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import DatasetFingerprintExtractor
    from nnunetv2.imageio.nibabel_reader_writer import NibabelIO

    for name in names:
        image, label = peer.raw / "imagesTr" / f"{name}_0000.nii.gz", peer.raw / "labelsTr" / f"{name}.nii.gz"
        DatasetFingerprintExtractor.analyze_case([str(image)], str(label), NibabelIO, 10_000)


def trainer(peer: Peer) -> Any:
    """nnU-Net's own trainer on the processor, all cases in training, its loader in this process."""
    import torch
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    os.environ["nnUNet_n_proc_DA"] = "0"  # noqa: SIM112
    with _quiet():
        one = nnUNetTrainer(
            {**peer.plans, "continue_training": False},
            CONFIGURATION,
            "all",
            peer.dataset_json,
            device=torch.device("cpu"),
        )
        one.print_to_log_file = lambda *_, **__: None
        one.initialize()
        one.dataloader_train, _ = one.get_dataloaders()
    return one


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield
