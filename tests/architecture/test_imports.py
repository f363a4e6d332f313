"""What may import what, measured in fresh processes."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from code_shape import ROOT

HEAVY = ("torch", "ray", "mlflow", "monai", "torchio", "plotly", "matplotlib", "pandas", "SimpleITK")


def loaded_after(code: str, *arguments: str, cwd: Path = ROOT) -> set[str]:
    """Heavy packages that a fresh process holds after some code."""
    ending = f"\nimport sys, json\nsys.__stderr__.write(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    done = subprocess.run(
        [sys.executable, "-c", code + ending, *arguments], capture_output=True, text=True, cwd=cwd, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return set(json.loads(done.stderr.splitlines()[-1]))


def test_platform_and_methods_are_no_packages():
    assert not (ROOT / "platform" / "__init__.py").exists()
    assert not (ROOT / "methods" / "__init__.py").exists()


def test_import_platform_at_the_repository_root_is_the_standard_library():
    code = "import sys; sys.path.insert(0, '.'); import platform; print(platform.system(), platform.__file__)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    name, file = found.stdout.split()
    assert name
    assert not Path(file).is_relative_to(ROOT / "platform")


@pytest.mark.parametrize("folder", ["platform", "methods"])
def test_no_top_level_name_hides_the_standard_library(folder):
    names = {path.stem for path in (ROOT / folder).iterdir() if not path.name.startswith((".", "_"))}
    assert names
    assert not names & set(sys.stdlib_module_names)


def test_the_import_contracts_are_kept():
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout[-4000:]
    assert "0 broken" in done.stdout


def test_the_command_line_is_light_to_import():
    assert loaded_after("import dgsweep.cli") == set()


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments):
    code = (
        "import sys\nfrom dgsweep.cli import main\ntry:\n    main()\nexcept SystemExit as end:\n    assert not end.code"
    )
    assert loaded_after(code, *arguments) == set()


def test_the_measure_sees_a_heavy_import():
    assert "torch" in loaded_after("import dgsweep.method.base")


def write_data(folder: Path) -> Path:
    """Sixteen patients in two sequences, as small as scans can be."""
    rows = []
    for patient in range(16):
        for sequence in ("T1W", "T2W"):
            name = f"p{patient}-{sequence}"
            voxels = np.random.default_rng(len(rows)).normal(size=(16, 16, 8)).astype(np.float32)
            nib.save(nib.Nifti1Image(voxels, np.eye(4)), folder / f"{name}.nii.gz")
            nib.save(nib.Nifti1Image((voxels > 1).astype(np.uint8), np.eye(4)), folder / f"{name}-label.nii.gz")
            rows.append([name, f"p{patient}", f"{name}.nii.gz", f"{name}-label.nii.gz", "C1", sequence])
    with (folder / "manifest.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["case_id", "patient_id", "image", "label", "center", "sequence"], *rows])
    return folder / "manifest.csv"


def test_planning_a_sweep_imports_no_torch_ray_or_mlflow(tmp_path):
    sweep = {
        "data": {"manifest": str(write_data(tmp_path)), "patch": [16, 16, 8]},
        "methods": ["erm", "gin"],
        "networks": ["unet_tiny"],
        "search": {"trials": 3},
        "output": str(tmp_path / "run"),
    }
    (tmp_path / "sweep.yaml").write_text(json.dumps(sweep))
    code = (
        "import sys; from pathlib import Path; from dgsweep.execution.prepare import prepare;"
        "assert len(prepare(Path(sys.argv[1])).plan.trials) == 12"
    )
    heavy = loaded_after(code, str(tmp_path / "sweep.yaml"), cwd=tmp_path)
    assert not heavy & {"torch", "ray", "mlflow", "monai", "torchio", "plotly", "matplotlib"}


def test_no_torch_free_room_imports_torch():
    rooms = ("config", "plan", "metrics", "records", "analysis", "report")
    modules = sorted(
        ".".join(path.relative_to(ROOT / "platform").with_suffix("").parts)
        for room in rooms
        for path in (ROOT / "platform" / "dgsweep" / room).glob("*.py")
        if path.stem != "__init__"
    )
    assert {name.split(".")[1] for name in modules} == set(rooms)
    check = 'assert not {{"torch", "monai", "torchio", "ray"}} & set(sys.modules), "{name}"\n'
    code = "".join(f"import {name}\n" + check.format(name=name) for name in modules)
    assert not loaded_after("import sys\n" + code) & {"torch", "monai", "torchio", "ray"}
