import numpy as np
import pytest
import tiny_models
import torch
from tiny_models import BoxStub

from dgsweep.config.prompt_protocol import parse_protocol
from dgsweep.errors import CaseError, ResourceError
from dgsweep.method.promptable.embeddings import Embeddings
from dgsweep.method.promptable.predict import Limits, Promptable, batch_slices, predict_case
from dgsweep.method.promptable.prompts import Prompt, prompts_from_mask
from dgsweep.method.promptable.slices import (
    Preparation,
    as_image,
    as_plane,
    box_in_image,
    model_input,
    to_model_px,
    to_native,
    to_uint8,
)

SHAPE = (20, 14, 5)
SIDE = tiny_models.SIDE
IMAGE_MODELS = {"sam": tiny_models.sam, "medsam": tiny_models.sam, "sam2": tiny_models.sam2}
MODELS = {**IMAGE_MODELS, "medsam2": tiny_models.sam2_video}


@pytest.fixture
def volume():
    return np.random.default_rng(3).normal(100, 40, SHAPE)


@pytest.fixture
def mask():
    inside = np.zeros(SHAPE, dtype=bool)
    inside[3:9, 2:5, 1] = inside[4:12, 6:11, 2] = inside[5:7, 3:9, 3] = True
    return inside


def prompts_of(mask, protocol):
    return prompts_from_mask(mask, parse_protocol(protocol), seed=0, case_id="case")


def encoder_passes(model):
    """A list that grows by the number of slices of each pass through the image encoder."""
    passes = []
    model.vision_encoder.register_forward_hook(lambda _module, args, _out: passes.append(len(args[0])))
    return passes


@pytest.mark.parametrize("view", ["radiological", "array"])
@pytest.mark.parametrize("family", ["sam", "medsam"])
@pytest.mark.parametrize("shape", [(32, 16), (16, 32)])
def test_a_model_that_answers_with_the_box_gives_exactly_the_voxels_of_the_box(family, view, shape):
    volume = np.random.default_rng(0).random((*shape, 4))
    boxes = {1: (2, 3, 9, 5), 2: (0, 0, 0, 6), 3: (shape[0] - 3, shape[1] - 1, shape[0] - 1, shape[1] - 1)}
    prompts = [Prompt(z=z, kind="box", box_px=box) for z, box in boxes.items()]
    stub = BoxStub(family, native=(shape[1], shape[0]))
    found = predict_case(Promptable(model=stub, family=family, preparation=Preparation(view=view)), volume, prompts)
    expected = np.zeros(volume.shape, dtype=bool)
    for z, (x0, y0, x1, y1) in boxes.items():
        expected[x0 : x1 + 1, y0 : y1 + 1, z] = True
    assert (found.mask == expected).all()
    assert ((found.probability > 0.5) == expected).all()


def test_the_image_is_that_of_the_prompted_slice(volume):
    stub = BoxStub("medsam", native=(SHAPE[1], SHAPE[0]))
    predict_case(Promptable(model=stub, family="medsam"), volume, [Prompt(z=3, kind="box", box_px=(1, 2, 3, 4))])
    shown = to_uint8(volume, Preparation())
    expected = model_input("medsam", as_image(shown[:, :, 3], Preparation()), 1024)
    assert torch.equal(stub.seen[0][0], expected)
    assert not torch.equal(stub.seen[0][0], model_input("medsam", as_image(shown[:, :, 2], Preparation()), 1024))


def by_hand(model, family, volume, prompt):
    """One slice through the whole model at once, from pixels."""
    image = as_image(to_uint8(volume, Preparation())[:, :, prompt.z], Preparation())
    corners = prompt.box_px or (*prompt.point_px, *prompt.point_px)
    corners = np.array(box_in_image(corners, SHAPE[:2], Preparation())).reshape(2, 2)
    given = torch.from_numpy(to_model_px(family, corners, image.shape, SIDE))
    pixels = model_input(family, image, SIDE)[None]
    with torch.no_grad():
        if prompt.kind == "box":
            answer = model(pixel_values=pixels, input_boxes=given.flatten()[None, None], multimask_output=False)
            low_res = answer.pred_masks[:, 0, 0]
        else:
            answer = model(pixel_values=pixels, input_points=given[None, None, :1], multimask_output=True)
            low_res = answer.pred_masks[:, 0, int(answer.iou_scores[0, 0].argmax())]
    probability, inside = to_native(family, low_res, image.shape, SIDE)
    return as_plane(probability[0].numpy(), Preparation()), as_plane(inside[0].numpy(), Preparation())


@pytest.mark.parametrize("protocol", ["per_slice_box", "center_point"])
@pytest.mark.parametrize("family", IMAGE_MODELS)
def test_batches_of_kept_embeddings_equal_the_model_called_slice_by_slice(family, protocol, volume, mask):
    model, prompts = IMAGE_MODELS[family](), prompts_of(mask, protocol)
    found = predict_case(Promptable(model=model, family=family, limits=Limits(batch_slices=2)), volume, prompts)
    for prompt in prompts:
        probability, inside = by_hand(model, family, volume, prompt)
        assert np.abs(found.probability[:, :, prompt.z] - probability).max() < 1e-5
        assert (found.mask[:, :, prompt.z] == inside).mean() > 0.99
        others = [z for z in (1, 2, 3) if z != prompt.z]
        assert min(np.abs(found.probability[:, :, z] - probability).max() for z in others) > 1e-3


@pytest.mark.parametrize("family", IMAGE_MODELS)
def test_nothing_is_found_in_slices_without_a_prompt(family, volume, mask):
    found = predict_case(Promptable(model=IMAGE_MODELS[family](), family=family), volume, prompts_of(mask, "per_slice_box"))  # fmt: skip  # noqa: E501
    assert not found.mask[:, :, [0, 4]].any()
    assert not found.probability[:, :, [0, 4]].any()
    assert found.mask.any()


@pytest.mark.parametrize("family", MODELS)
def test_a_second_protocol_costs_no_encoder_pass_and_gives_the_same_mask_as_alone(family, volume, mask, tmp_path):
    promptable = Promptable(model=MODELS[family](), family=family)
    alone = predict_case(promptable, volume, prompts_of(mask, "center_point"))
    passes, kept = encoder_passes(promptable.model), Embeddings(key="case")
    first = predict_case(promptable, volume, prompts_of(mask, "per_slice_box"), embeddings=kept)
    assert sum(passes) == first.encoded_slices == (SHAPE[2] if family == "medsam2" else 3)
    kept.save(tmp_path / "kept.safetensors")
    loaded = Embeddings.load(tmp_path / "kept.safetensors", "case")
    for embeddings in (kept, loaded):
        second = predict_case(promptable, volume, prompts_of(mask, "center_point"), embeddings=embeddings)
        assert second.encoded_slices == 0
        assert (second.probability == alone.probability).all()
    assert sum(passes) == first.encoded_slices
    assert (second.probability != first.probability).any()


def test_only_slices_that_are_not_kept_yet_are_encoded(volume, mask):
    promptable, kept = Promptable(model=tiny_models.sam(), family="sam"), Embeddings(key="case")
    assert predict_case(promptable, volume, prompts_of(mask, "keyslice_propagate"), embeddings=kept).encoded_slices == 1
    assert predict_case(promptable, volume, prompts_of(mask, "per_slice_box"), embeddings=kept).encoded_slices == 2


@pytest.mark.parametrize("family", MODELS)
def test_a_case_without_the_organ_gets_an_empty_prediction_that_says_so(family, volume, mask):
    promptable = Promptable(model=MODELS[family](), family=family)
    passes = encoder_passes(promptable.model)
    found = predict_case(promptable, volume, prompts_of(mask & False, "per_slice_box"))
    assert found.no_prompt
    assert not found.mask.any()
    assert found.probability.shape == SHAPE
    assert not passes
    assert not predict_case(promptable, volume, prompts_of(mask, "per_slice_box")).no_prompt


@pytest.mark.parametrize("family", MODELS)
@pytest.mark.parametrize("depth", [1, 2])
def test_one_or_two_slices_are_enough(family, depth, volume, mask):
    promptable = Promptable(model=MODELS[family](), family=family)
    few = np.ascontiguousarray(mask[:, :, 2 : 2 + depth])
    for protocol in ("per_slice_box", "keyslice_propagate", "center_point"):
        found = predict_case(promptable, volume[:, :, 2 : 2 + depth], prompts_of(few, protocol))
        assert found.probability.shape == (*SHAPE[:2], depth)
        assert np.isfinite(found.probability).all()


@pytest.mark.parametrize("family", MODELS)
def test_the_probability_is_above_a_half_exactly_in_the_mask(family, volume, mask):
    found = predict_case(Promptable(model=MODELS[family](), family=family), volume, prompts_of(mask, "center_point"))
    assert ((found.probability > 0.5) == found.mask).all()
    assert found.probability.dtype == np.float32


def test_prompts_that_do_not_lie_in_the_image_are_all_named(volume):
    prompts = [
        Prompt(z=5, kind="box", box_px=(0, 0, 1, 1)),
        Prompt(z=1, kind="box", box_px=(0, 0, 20, 1)),
        Prompt(z=2, kind="point", point_px=(0, 14)),
        Prompt(z=3, kind="box", box_px=(0, 0, 19, 13)),
        Prompt(z=3, kind="point", point_px=(0, 0)),
        Prompt(z=4, kind="point"),
    ]
    with pytest.raises(CaseError) as caught:
        predict_case(Promptable(model=tiny_models.sam(), family="sam"), volume, prompts)
    assert [problem.where for problem in caught.value.problems] == [f"prompt in slice {z}" for z in (5, 1, 2, 3, 4)]


def test_nan_is_refused_before_anything_is_encoded(volume, mask):
    promptable = Promptable(model=tiny_models.sam(), family="sam")
    passes = encoder_passes(promptable.model)
    volume[0, 0, 4] = np.nan
    with pytest.raises(CaseError, match="NaN"):
        predict_case(promptable, volume, prompts_of(mask, "per_slice_box"))
    assert not passes


@pytest.mark.parametrize("family", MODELS)
def test_progress_counts_up_to_the_whole(family, volume, mask):
    told = []
    promptable = Promptable(model=MODELS[family](), family=family, limits=Limits(batch_slices=2))
    predict_case(promptable, volume, prompts_of(mask, "per_slice_box"), progress=lambda *step: told.append(step))
    for stage in ("encode", "decode"):
        steps = [(done, total) for name, done, total in told if name == stage]
        assert [done for done, _ in steps] == sorted({done for done, _ in steps})
        assert steps[-1][0] == steps[-1][1]


def test_a_batch_that_does_not_fit_is_halved(volume, mask, monkeypatch):
    model = tiny_models.sam()
    encode, sizes = model.get_image_embeddings, []

    def small_memory(pixels):
        sizes.append(len(pixels))
        if len(pixels) > 1:
            raise torch.OutOfMemoryError("full")
        return encode(pixels)

    monkeypatch.setattr(model, "get_image_embeddings", small_memory)
    promptable = Promptable(model=model, family="sam", limits=Limits(batch_slices=3))
    found = predict_case(promptable, volume, prompts_of(mask, "per_slice_box"))
    assert sizes == [3, 1, 1, 1]
    assert found.encoded_slices == 3


def test_a_batch_of_prompts_that_does_not_fit_is_halved_too(volume, mask, monkeypatch):
    model = tiny_models.sam()
    promptable = Promptable(model=model, family="sam", limits=Limits(batch_slices=3))
    whole = predict_case(promptable, volume, prompts_of(mask, "per_slice_box"))
    decoder, sizes = model.mask_decoder.forward, []

    def small_memory(*arguments, **named):
        sizes.append(len(named["image_embeddings"]))
        if sizes[-1] > 1:
            raise torch.OutOfMemoryError("full")
        return decoder(*arguments, **named)

    monkeypatch.setattr(model.mask_decoder, "forward", small_memory)
    found = predict_case(promptable, volume, prompts_of(mask, "per_slice_box"))
    assert sizes == [3, 1, 1, 1]
    assert (found.mask == whole.mask).all()
    assert np.abs(found.probability - whole.probability).max() < 1e-5


def test_one_slice_that_does_not_fit_is_an_error_that_says_so(volume, mask, monkeypatch):
    model, sizes = tiny_models.sam(), []

    def no_memory(pixels):
        sizes.append(len(pixels))
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(model, "get_image_embeddings", no_memory)
    promptable = Promptable(model=model, family="sam", limits=Limits(batch_slices=8))
    with pytest.raises(ResourceError, match=r"one slice of \d+ pixels does not fit: full"):
        predict_case(promptable, volume, prompts_of(mask, "per_slice_box"))
    assert sizes == [3, 1]  # of three slices, though eight were allowed


@pytest.mark.parametrize(
    ("memory_mib", "bytes_of_one", "slices"),
    [
        (1000, 300 * 2**20, 3),
        (900, 300 * 2**20, 3),  # exactly
        (900, 300 * 2**20 + 1, 2),  # a byte too much
        (300, 300 * 2**20, 1),
        (100, 300 * 2**20, 1),  # not even one, and it went through
        (0, 2**20, 1),
        (32, 2**20, 32),
        (33, 2**20, 32),  # no faster beyond
        (1, 0, 32),  # nothing was allocated
    ],
)
def test_the_batch_is_what_fits_into_the_memory(memory_mib, bytes_of_one, slices):
    assert batch_slices(memory_mib=memory_mib, bytes_of_one=bytes_of_one) == slices
