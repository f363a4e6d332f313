"""`dgsweep networks`: what it prints and what it refuses."""

import json

import pytest
from typer.testing import CliRunner

from dgsweep.cli.app import app
from dgsweep.errors import ConfigError
from dgsweep.training.describe import describe


def run(*words: str):
    return CliRunner().invoke(app, ["networks", *words])


def test_show_prints_one_json_document_with_everything_that_a_comparison_needs():
    found = run("show", "unet_tiny", "--patch", "32,24,16", "--json")
    assert found.exit_code == 0
    document = json.loads(found.stdout)
    wanted = {"parameters", "flops", "flops_mean", "taps", "dims", "peak_activation_bytes", "source", "licence"}
    assert wanted <= set(document)
    assert document["patch"] == [32, 24, 16]
    assert document["taps"]["bottleneck"] == [128, 4, 3, 2]


def test_show_prints_the_card_too():
    found = run("show", "nnunet")
    assert "Nature Methods" in found.stdout
    assert "peak_activation_bytes" in found.stdout


def test_options_change_what_is_shown():
    plain, wide = (describe("unet_tiny", "32,32,16", "1,1,1", settings=given) for given in ((), ("width=32",)))
    assert plain["options"]["width"] == 16
    assert wide["options"]["width"] == 32
    assert wide["parameters"] > 3 * plain["parameters"]


def test_every_problem_is_told_at_once_with_the_nearest_valid_choice():
    with pytest.raises(ConfigError) as error:
        describe("unet_tiny", "10,8,8", "1,2", classes=1, settings=["widht=8"])
    message = str(error.value)
    for part in ("did you mean `width`", "the nearest patch is 16,8,8", "--spacing-mm", "--classes"):
        assert part in message


@pytest.mark.parametrize("patch", ["0,8,8", "8.5,8,8", "a,b,c", "8,8", "1e9,8,8", "nan,8,8"])
def test_a_patch_that_is_none_is_refused(patch):
    with pytest.raises(ConfigError, match="--patch"):
        describe("unet_tiny", patch, "1,1,1")


def test_a_flat_patch_of_a_3d_network_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="the nearest patch is 64,64,8"):
        describe("unet_tiny", "64,64,1", "1,1,1")


def test_check_prints_what_each_check_found_and_counts_failures():
    found = run("check", "unet_tiny", "--json")
    assert found.exit_code == 0
    document = json.loads(found.stdout)
    assert document["failed"] == 0
    assert {check["check"] for check in document["checks"]} >= {"taps", "gradients", "prediction"}
