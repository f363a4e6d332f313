"""`dgsweep weights`: what a person sees."""

import json

import pytest
import torch
from typer.testing import CliRunner

from dgsweep.cli.app import app
from dgsweep.errors import WeightsError
from dgsweep.method.promptable.family import Architecture, build_random
from dgsweep.method.promptable.mapping import to_original
from dgsweep.method.promptable.published import PUBLISHED


def dgsweep(*words):
    return CliRunner().invoke(app, ["weights", *map(str, words)])


@pytest.fixture
def checkpoint(tmp_path):
    state = to_original(build_random("medsam2", Architecture.small("medsam2", 64), 0).state_dict(), "medsam2")
    torch.save({"model": state}, tmp_path / "mine.pt")
    return tmp_path / "mine.pt"


def test_add_shows_digest_licence_and_citation(checkpoint):
    shown = dgsweep("add", "MedSAM2_latest", checkpoint, "--image-size-px", 64)
    assert shown.exit_code == 0
    assert "medsam2, hiera_mini, 64 px, layout original, under model" in shown.output
    assert "SHA-256" in shown.output
    assert "CC BY-SA 4.0" in shown.output
    assert "arXiv:2504.03600" in shown.output


def test_add_takes_the_architecture_from_a_file(checkpoint, tmp_path):
    document = tmp_path / "architecture.json"
    document.write_text(json.dumps(Architecture.small("medsam2", 64).document()))
    shown = dgsweep("add", "mine", checkpoint, "--family", "medsam2", "--architecture", document, "--json")
    assert json.loads(shown.stdout)["architecture"]["image_size_px"] == 64


def test_an_architecture_file_that_is_no_json_is_refused(checkpoint, tmp_path):
    (tmp_path / "a.json").write_text("{")
    shown = dgsweep("add", "mine", checkpoint, "--family", "medsam2", "--architecture", tmp_path / "a.json")
    assert isinstance(shown.exception, WeightsError)
    assert shown.exception.exit_code == 2


def test_list_shows_registered_and_published_checkpoints(checkpoint):
    dgsweep("add", "mine", checkpoint, "--family", "medsam2", "--image-size-px", 64)
    rows = {row["name"]: row for row in json.loads(dgsweep("list", "--json").stdout)}
    assert rows["mine"]["registered"] == "yes"
    assert rows.keys() == {"mine", *PUBLISHED}
    assert all(rows[name]["registered"] == "no" and rows[name]["licence"] for name in PUBLISHED)
    assert "mine" in dgsweep("list").output


def test_fetch_without_a_network_exits_with_the_manual_steps(monkeypatch):
    monkeypatch.setattr("dgsweep.method.promptable.weights._from_hugging_face", offline)
    shown = dgsweep("fetch", "sam_vit_b")
    assert isinstance(shown.exception, WeightsError)
    assert "dgsweep weights add sam_vit_b sam_vit_b_01ec64.pth" in str(shown.exception)


def offline(*_):
    raise OSError("no network")
