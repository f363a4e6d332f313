"""Exported networks are loaded again and give the same numbers; what a network alone cannot do is refused."""

import dataclasses
import json

import numpy as np
import onnxruntime
import pytest
import torch
from monai.bundle import ConfigParser
from typer.testing import CliRunner

from dgsweep.cli.app import app
from dgsweep.errors import InputError
from dgsweep.prediction.bundle import network_of, plain_network, write_bundle
from dgsweep.prediction.choice import Choice, chosen_trials
from dgsweep.prediction.predict import load_models


@pytest.fixture(scope="module")
def model(swept):
    trial = swept.read_plan().trials[0].trial_id
    ledger, specs = chosen_trials(swept.output, Choice(trials=(trial,)))
    return load_models(ledger, specs, torch.device("cpu"))[0]


@pytest.fixture
def image(model):
    return torch.from_numpy(np.random.default_rng(0).normal(size=(1, 1, *model.spec.preprocessing.patch))).float()


@torch.no_grad()
def logits(network, image) -> np.ndarray:
    return network(image).numpy()


def test_a_bundle_is_built_by_monai_and_computes_the_same(model, image, tmp_path):
    write_bundle(model, tmp_path)
    parser = ConfigParser()
    parser.read_config(str(tmp_path / "configs" / "inference.json"))
    parser["bundle_root"] = str(tmp_path)
    network = parser.get_parsed_content("network_def")
    np.testing.assert_array_equal(logits(network, image), logits(plain_network(model), image))
    inferer = parser.get_parsed_content("inferer")
    assert tuple(inferer.roi_size) == model.spec.preprocessing.patch
    assert len(parser.get_parsed_content("preprocessing").transforms) == 4


def test_other_weights_would_compute_something_else(model, image, tmp_path):
    write_bundle(model, tmp_path)
    network = network_of(tmp_path)
    with torch.no_grad():
        next(network.parameters()).add_(0.1)
    assert not np.allclose(logits(network, image), logits(plain_network(model), image))


def test_metadata_has_the_keys_that_monais_specification_asks_for(model, tmp_path):
    write_bundle(model, tmp_path)
    found = json.loads((tmp_path / "configs" / "metadata.json").read_text())
    wanted = {"version", "monai_version", "pytorch_version", "task", "description", "authors", "copyright",
              "network_data_format", "changelog"}  # fmt: skip
    assert wanted <= found.keys()
    assert found["network_data_format"]["outputs"]["pred"]["channel_def"]["0"] == "background"
    assert (tmp_path / "LICENSE").exists()


def test_a_bundle_without_its_weights_is_refused_in_words(model, tmp_path):
    write_bundle(model, tmp_path)
    (tmp_path / "models" / "model.safetensors").write_bytes(b"\x80\x04pickle")
    with pytest.raises(InputError, match="export the trial again"):
        network_of(tmp_path)


def test_onnx_computes_the_same(model, image, swept, tmp_path):
    trial = model.spec.trial_id
    done = CliRunner().invoke(app, ["export", str(swept.paths(trial).root), str(tmp_path / "out"), "--onnx", "--json"])
    assert done.exit_code == 0, done.output
    session = onnxruntime.InferenceSession(str(tmp_path / "out" / "models" / "model.onnx"))
    (found,) = session.run(None, {"image": image.numpy()})
    np.testing.assert_allclose(found, logits(plain_network(model), image), atol=1e-4)
    assert json.loads(done.stdout)["largest_difference"] < 1e-3


def test_a_method_that_adapts_to_each_scan_is_not_exported_as_a_network(model, monkeypatch):
    adapting = dataclasses.replace(model)
    monkeypatch.setattr(type(model.ctx.method), "hooks", lambda _: {"adapt"})
    with pytest.raises(InputError, match="predicts through adapt"):
        plain_network(adapting)
