"""Sweep files that follow papers: planned as written, and refused with everything that a manifest lacks."""

import csv
from pathlib import Path

import pytest
import yaml
from hatchling.builders.wheel import WheelBuilder
from typer.testing import CliRunner

from dgsweep.cli.app import app
from dgsweep.data.bench import PAPERS, bench_sweep
from dgsweep.data.phantom import PhantomSpec, write_phantom
from dgsweep.errors import InputError, ManifestError
from dgsweep.execution.prepare import prepare

ROOT = Path(__file__).parents[2]
CENTERS = {
    "crosspan": ("A", "B", "C"),
    "pancreasdg": ("MCF", "NYU", "EMC", "NU", "IU"),
    "pansegnet": ("NYU", "MCF", "NU", "AHN", "MCA"),
    "dual_ssl": ("A", "B"),
}


@pytest.fixture(scope="module")
def phantom(tmp_path_factory) -> Path:
    """Fifteen small patients in three sequences."""
    spec = PhantomSpec(patients_per_center=15, centers=1, shape=(32, 24, 16))
    return write_phantom(tmp_path_factory.mktemp("phantom"), spec)


def with_centers(phantom: Path, name: str, centers: tuple[str, ...], drop=()) -> Path:
    """The phantom's manifest under another name, its patients dealt out to these centers."""
    with phantom.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        row["center"] = centers[int(row["patient_id"][1:]) % len(centers)]
    kept = [row for row in rows if f"{row['center']}/{row['sequence']}" not in drop]
    path = phantom.parent / name
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(kept)
    return path


@pytest.fixture(scope="module")
def planned(phantom):
    """Paper -> its sweep file as an object, and its plan on a phantom of fitting domains."""
    found = {}
    for paper, centers in CENTERS.items():
        manifest = with_centers(phantom, f"{paper}.csv", centers)
        file = phantom.parent / f"{paper}.yaml"
        file.write_text(bench_sweep(paper, manifest))
        found[paper] = yaml.safe_load(file.read_text()), prepare(file).plan
    return found


@pytest.mark.parametrize("paper", PAPERS)
def test_it_is_planned_without_an_error_or_a_refusal(planned, paper):
    written, plan = planned[paper]
    assert plan.refusals == ()
    assert {spec.method for spec in plan.trials} == {
        one if isinstance(one, str) else one["name"] for one in written["methods"]
    }
    assert plan.config["selection"] == ["last"]


def test_crosspan_trains_on_each_sequence_of_all_centers(planned):
    _, plan = planned["crosspan"]
    assert {spec.sources for spec in plan.trials} == {
        tuple(f"{center}/{sequence}" for center in "ABC") for sequence in ("T1W", "T2W", "OOP")
    }
    assert {spec.budget_steps for spec in plan.trials} == {400 * 250}
    assert plan.config["training"]["learning_rate"] == 1e-3
    assert plan.trials[0].network_options["generation"] == "v1"


def test_pansegnet_crosses_two_centers_in_five_folds_and_tests_every_external_scan(planned, phantom):
    _, plan = planned["pansegnet"]
    assert {spec.fold for spec in plan.trials} == {0, 1, 2, 3, 4}
    assert {spec.sources for spec in plan.trials} == {("MCF/T1W", "NYU/T1W"), ("MCF/T2W", "NYU/T2W")}
    assert len({spec.network for spec in plan.trials}) == 11
    assert {spec.budget_steps for spec in plan.trials} == {600 * 250}
    assert {spec.preprocessing.patch for spec in plan.trials} == {(224, 224, 32)}
    external = {case for case in plan.trials[0].domains if plan.trials[0].domains[case] == "NU/T1W"}
    assert len(external) == 3
    assert all(external <= set(spec.split.target) for spec in plan.trials if spec.sources[0].endswith("T1W"))


def test_pancreasdgs_method_is_given_unlabelled_target_scans_and_nobody_is_scored_on_them(planned):
    _, plan = planned["pancreasdg"]
    own = [spec for spec in plan.trials if spec.method == "pancreasdg"]
    assert {spec.panel for spec in own} == {"transductive"}
    domains = {spec.domains[case] for spec in own for case in spec.split.unlabelled}
    assert domains >= {"EMC/OOP", "NU/OOP"}
    for spec in own:
        assert not set(spec.split.unlabelled) & set(spec.split.target)
    assert {spec.split.target for spec in plan.trials} == {own[0].split.target}


def test_dual_ssl_takes_every_domain_as_the_only_source(planned):
    _, plan = planned["dual_ssl"]
    assert {len(spec.sources) for spec in plan.trials} == {1}
    assert len({spec.sources for spec in plan.trials}) == 6


@pytest.mark.parametrize("paper", PAPERS)
def test_every_value_says_where_it_is_from_or_that_it_is_ours(phantom, paper):
    text = bench_sweep(paper, with_centers(phantom, "any.csv", CENTERS[paper]))
    told = ("[paper]", "[code]", "[nnunet]", "[ours]", "nnU-Net", "released")
    keys = ("kind:", "folds:", "seeds:", "selection:", "budget:", "batch:", "learning_rate:", "inference:")
    lines = [line for line in text.splitlines() if line.strip().startswith(keys)]
    assert lines
    assert [line for line in lines if not any(tag in line for tag in told)] == []


def test_all_that_a_manifest_lacks_is_told_at_once(phantom):
    manifest = with_centers(phantom, "few.csv", ("NYU", "mcf", "NU"), drop=("NU/T2W",))
    with pytest.raises(ManifestError) as error:
        bench_sweep("pansegnet", manifest)
    told = str(error.value)
    wanted = ("MCF/T1W", "MCF/T2W", "NU/T2W", "AHN/T1W", "AHN/T2W", "MCA/T1W", "MCA/T2W")
    assert all(f"no case of {name}" in told for name in wanted)
    assert "no case of NYU/T1W" not in told
    assert "rename mcf/T1W" in told


def test_a_missing_sequence_and_a_single_center_are_told_of_crosspan(phantom):
    manifest = with_centers(phantom, "one.csv", ("A",), drop=("A/OOP",))
    with pytest.raises(ManifestError, match=r"(?s)no labelled case of OOP.*center: 1 with labels.*domains: 2"):
        bench_sweep("crosspan", manifest)


def test_domains_without_labels_and_too_few_patients_and_an_official_split_are_told(tmp_path):
    domains = [f"{center}/{sequence}" for center in CENTERS["pansegnet"] for sequence in ("T1W", "T2W")]
    lines = ["case_id,patient_id,image,label,center,sequence,split"]
    for i, name in enumerate(domains):
        label = "" if name == "MCA/T2W" else "y"
        lines.append(f"c{i},p{i // 2},x,{label},{name.replace('/', ',')},train")
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    with pytest.raises(ManifestError) as error:
        bench_sweep("pansegnet", tmp_path / "manifest.csv")
    told = str(error.value)
    assert "no case of MCA/T2W has a label" in told
    assert "2 labelled patients in the sources -> 5 folds need as many" in told
    assert "official split" in told


def test_another_organ_is_refused(tmp_path, phantom):
    manifest = tmp_path / "manifest.csv"
    manifest.write_text(with_centers(phantom, "organ.csv", ("A", "B")).read_text())
    (tmp_path / "dataset.yaml").write_text("labels: {background: 0, liver: 1}\n")
    with pytest.raises(ManifestError, match="labels names liver"):
        bench_sweep("dual_ssl", manifest)


def test_an_unknown_paper_is_refused_with_the_nearest(phantom):
    with pytest.raises(InputError, match="crosspan"):
        bench_sweep("crossspan", phantom)


def test_the_verb_prints_or_writes_a_new_file_and_overwrites_none(phantom, tmp_path):
    manifest = with_centers(phantom, "verb.csv", ("A", "B"))
    printed = CliRunner().invoke(app, ["bench", "dual_ssl", str(manifest)])
    assert yaml.safe_load(printed.stdout)["name"] == "dual_ssl"
    file = tmp_path / "sweep.yaml"
    arguments = ["bench", "dual_ssl", str(manifest), "--output", str(file)]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    before = file.read_text()
    again = CliRunner().invoke(app, arguments)
    assert isinstance(again.exception, InputError)
    assert file.read_text() == before


def test_the_templates_are_in_the_wheel():
    found = {file.distribution_path for file in WheelBuilder(str(ROOT)).recurse_included_files()}
    assert {f"dgsweep/data/bench/{paper}.yaml" for paper in PAPERS} <= found
