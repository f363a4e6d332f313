"""Sizes of promptable models: what is published, what can be read from a checkpoint, what cannot be built."""

import subprocess
import sys
from math import prod

import pytest
import torch

from dgsweep.errors import WeightsError
from dgsweep.method.promptable.architecture import FAMILIES, Architecture, encoders
from dgsweep.method.promptable.detect import architecture_of
from dgsweep.method.promptable.family import build_random, expected_shapes
from dgsweep.method.promptable.mapping import compare, rename

PUBLISHED = [(family, encoder) for family in FAMILIES for encoder in encoders(family) if not encoder.endswith("_mini")]


@pytest.mark.parametrize(("family", "encoder"), PUBLISHED)
def test_the_architecture_of_a_published_checkpoint_is_read_from_its_shapes(family, encoder):
    architecture = Architecture.published(family, encoder)
    assert architecture_of(expected_shapes(architecture), family) == architecture


@pytest.mark.parametrize(
    ("family", "encoder", "file_bytes"),
    [  # sizes of the published files, of which all but some thousand bytes are parameters in float32
        ("sam", "vit_b", 375_042_383),
        ("sam", "vit_h", 2_564_550_879),
        ("sam2", "hiera_tiny", 156_008_466),
        ("sam2", "hiera_large", 898_083_611),
    ],
)
def test_published_architectures_have_as_many_parameters_as_the_published_files(family, encoder, file_bytes):
    shapes = expected_shapes(Architecture.published(family, encoder))
    assert 4 * sum(map(prod, shapes.values())) == pytest.approx(file_bytes, rel=0.002)


def test_published_image_sizes_are_1024_and_512_for_medsam2():
    assert [Architecture.published(family).image_size_px for family in FAMILIES] == [1024, 1024, 1024, 512]


@pytest.mark.parametrize(("size_px", "grid"), [(1024, 64), (512, 32), (128, 8)])
def test_every_size_setting_of_sam2_follows_the_image_size(size_px, grid):
    from dgsweep.method.promptable.family import _sam2_config

    config = _sam2_config(Architecture.published("medsam2").at(size_px), video=True)
    assert config.image_size == config.prompt_encoder_config.image_size == size_px
    assert config.vision_config.backbone_config.image_size == [size_px, size_px]
    assert config.vision_config.backbone_feature_sizes == [[4 * grid] * 2, [2 * grid] * 2, [grid] * 2]
    assert config.memory_attention_rope_feat_sizes == [grid, grid]


def test_no_shape_of_sam2_depends_on_the_image_size_while_sams_positions_do():
    two, one = Architecture.published("medsam2"), Architecture.published("medsam")
    assert not compare(expected_shapes(two), expected_shapes(two.at(1024)))
    assert compare(expected_shapes(one), expected_shapes(one.at(512))).shapes


def test_an_architecture_survives_its_document():
    for family in FAMILIES:
        architecture = Architecture.small(family)
        assert Architecture.from_document(architecture.document()) == architecture


def test_everything_wrong_with_an_architecture_is_said_at_once():
    document = {**Architecture.small("medsam2").document(), "blocks": [1, 2], "image_size_px": 100, "hidden": 64}
    with pytest.raises(WeightsError) as caught:
        Architecture.from_document(document)
    assert [problem.where for problem in caught.value.problems] == ["blocks", "image_size_px", "hidden"]


def test_unknown_and_missing_fields_of_an_architecture_are_named():
    document = {**Architecture.small("sam").document(), "depth": 3}
    del document["width"]
    with pytest.raises(WeightsError) as caught:
        Architecture.from_document(document)
    assert [problem.where for problem in caught.value.problems] == ["depth", "width"]


def test_an_encoder_of_another_family_is_refused():
    with pytest.raises(WeightsError, match="one of hiera_tiny"):
        Architecture.published("sam2", "vit_b")


def test_every_name_is_mapped_there_and_back_and_to_a_name_of_its_own():
    for family in FAMILIES:
        names = list(expected_shapes(Architecture.small(family)))
        mapped = [rename(name, family) for name in names]
        assert [rename(name, family, backwards=True) for name in mapped] == names
        assert len(set(mapped)) == len(names)


def test_the_same_seed_gives_the_same_random_weights_and_another_seed_others():
    one, same, other = (build_random("medsam2", Architecture.small("medsam2"), seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("family", ["sam", "sam2"])
def test_the_masks_of_a_random_model_depend_on_image_and_prompt(family):
    model = build_random(family, Architecture.small(family, 64), 0)
    pixels = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    box_px = torch.tensor([[[8.0, 8.0, 40.0, 40.0]], [[8.0, 8.0, 40.0, 40.0]]])
    with torch.no_grad():
        masks = model(pixel_values=pixels, input_boxes=box_px, multimask_output=False).pred_masks
        elsewhere = model(pixel_values=pixels, input_boxes=box_px + 16, multimask_output=False).pred_masks
    assert (masks[0] - masks[1]).abs().max() > 1e-3
    assert (masks - elsewhere).abs().max() > 1e-3


def test_looking_for_registered_weights_needs_neither_torch_nor_transformers():
    code = (
        "import sys; from dgsweep.method.promptable import detect, family, mapping, published, weights;"
        "weights.known();"
        "sys.exit(sorted({'torch', 'transformers', 'safetensors'} & set(sys.modules)) or 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
