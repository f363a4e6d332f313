"""Inference times: of passes that really ran, with the counts of `networks show`."""

import json

import pytest
import torch
from typer.testing import CliRunner

from dgsweep.cli.app import app
from dgsweep.errors import ConfigError, InputError, ResourceError
from dgsweep.networks.base import NetworkTask
from dgsweep.training.describe import describe
from dgsweep.training.timing import time_network, torch_device

TASK = NetworkTask(in_channels=1, n_classes=2, patch=(16, 16, 16), spacing_mm=(1.0, 1.0, 1.0), options={"width": 4})
WIDE = NetworkTask(in_channels=1, n_classes=2, patch=(48, 48, 32), spacing_mm=(1.0, 1.0, 1.0), options={"width": 16})


def test_parameters_and_flops_are_those_that_show_prints():
    timed = time_network("unet_tiny", TASK, runs=2, device="cpu")
    shown = describe("unet_tiny", "16,16,16", "1,1,1", settings=["width=4"])
    assert (timed.parameters, timed.flops) == (shown["parameters"], shown["flops"])
    assert timed.options == {"width": 4}


def test_the_mean_is_of_so_many_passes_and_a_larger_patch_takes_longer():
    small, large = (time_network("unet_tiny", task, runs=5, device="cpu") for task in (TASK, WIDE))
    assert small.runs == 5
    assert 0 < small.median_s < large.median_s
    assert small.sd_s > 0
    assert small.threads == torch.get_num_threads()
    assert small.device.startswith("CPU")


def test_one_pass_has_a_mean_and_no_spread():
    assert time_network("unet_tiny", TASK, runs=1, device="cpu").sd_s == 0.0


@pytest.mark.parametrize("runs", [0, -1, 10**9])
def test_a_count_that_is_none_is_refused(runs):
    with pytest.raises(InputError, match="--runs"):
        time_network("unet_tiny", TASK, runs=runs)


def test_a_device_that_is_not_here_is_refused():
    with pytest.raises(ResourceError, match="--device: tpu"):
        torch_device("tpu")
    assert torch_device("cpu").type == "cpu"


def test_the_verb_prints_one_list():
    words = ["networks", "time", "unet_tiny", "--patch", "16,16,16", "--runs", "2", "--device", "cpu", "--json"]
    told = CliRunner().invoke(app, words)
    assert told.exit_code == 0
    (row,) = json.loads(told.stdout)
    assert row["name"] == "unet_tiny"
    assert row["runs"] == 2


def test_a_patch_that_does_not_fit_is_refused_before_anything_is_timed():
    told = CliRunner().invoke(app, ["networks", "time", "unet_tiny", "--patch", "10,8,8"])
    assert isinstance(told.exception, ConfigError)


@pytest.mark.parametrize("words", [[], ["unet_tiny", "--of", "runs/x"]])
def test_a_name_or_an_output_is_asked_for_and_not_both(words):
    assert CliRunner().invoke(app, ["networks", "time", *words]).exit_code == 2
