"""The registry of weights: what it takes, what it refuses and why, and what it remembers."""

import hashlib
import json
import os
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from dgsweep.errors import WeightsError
from dgsweep.method.promptable import published, weights
from dgsweep.method.promptable.family import Architecture, build, build_random
from dgsweep.method.promptable.mapping import to_original


def random_state(family="sam", size_px=64, seed=0):
    network = build_random(family, Architecture.small(family, size_px), seed, video=True)
    return to_original(network.state_dict(), family)


@pytest.fixture
def sam_file(tmp_path):
    torch.save(random_state(), tmp_path / "mine.pth")
    return tmp_path / "mine.pth"


@pytest.fixture
def sam2_file(tmp_path):
    torch.save({"model": random_state("sam2")}, tmp_path / "mine.pt")
    return tmp_path / "mine.pt"


def refused(name, file, family="sam", **options):
    with pytest.raises(WeightsError) as caught:
        weights.register(name, file, family, **options)
    assert not weights.folder().exists() or not list(weights.folder().iterdir())
    return str(caught.value)


def test_a_registered_checkpoint_is_found_again_with_its_digest_layout_and_architecture(sam_file):
    made = weights.register("mine", sam_file, "sam")
    assert weights.find("mine") == made
    assert weights.known() == [made]
    assert made.sha256 == hashlib.sha256(sam_file.read_bytes()).hexdigest()
    assert (made.source, made.layout, made.architecture) == ("mine.pth", "original", Architecture.small("sam", 64))


def test_the_converted_file_holds_every_parameter_of_the_original_in_float32(sam_file):
    original = {name: value.half() for name, value in torch.load(sam_file, weights_only=True).items()}
    torch.save(original, sam_file)
    converted = load_file(weights.register("mine", sam_file, "sam").path)
    assert {value.dtype for value in converted.values()} == {torch.float32}
    back = to_original(converted, "sam")
    assert back.keys() == original.keys()
    assert all(torch.equal(back[name], value.float()) for name, value in original.items())


@pytest.mark.parametrize(
    ("wrap", "layout"),
    [
        (lambda state: state, "original"),
        (lambda state: {f"module.{name}": value for name, value in state.items()}, "original, under module"),
        (lambda state: {f"model.module.{n}": v for n, v in state.items()}, "original, under model.module"),
        (lambda state: {"model": state, "epoch": 3, "optimizer": {"lr": 0.1}}, "original, under model"),
        (lambda state: {**state, "pixel_mean": torch.zeros(3, 1, 1)}, "original"),
    ],
)
def test_wrappers_of_training_scripts_are_taken_off(sam_file, wrap, layout):
    plain = weights.register("plain", sam_file, "sam")
    torch.save(wrap(torch.load(sam_file, weights_only=True)), sam_file)
    wrapped = weights.register("wrapped", sam_file, "sam")
    assert wrapped.layout == layout
    one, other = load_file(plain.path), load_file(wrapped.path)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("family", ["sam", "medsam", "sam2", "medsam2"])
def test_a_file_in_the_layout_of_transformers_gives_the_same_weights(tmp_path, family):
    network = build_random(family, Architecture.small(family, 64), 5, video=True)
    save_file({name: value.clone() for name, value in network.state_dict().items()}, tmp_path / "a.safetensors")
    made = weights.register("a", tmp_path / "a.safetensors", family, image_size_px=64)
    assert made.layout == "transformers"
    state = build(family, made.path, video=True).state_dict()
    assert all(torch.equal(state[name], value) for name, value in network.state_dict().items())


def test_a_cut_off_file_is_refused(sam_file):
    sam_file.write_bytes(sam_file.read_bytes()[:-5000])
    assert "cut off or damaged" in refused("mine", sam_file)


def test_a_cut_off_safetensors_file_is_refused(tmp_path):
    save_file(random_state(), tmp_path / "a.safetensors")
    (tmp_path / "a.safetensors").write_bytes((tmp_path / "a.safetensors").read_bytes()[:-5000])
    assert "cut off, damaged or no safetensors" in refused("mine", tmp_path / "a.safetensors")


class Harm:
    """Unpickled by anything that trusts its input, it leaves a file behind."""

    def __init__(self, trace):
        self.trace = str(trace)

    def __reduce__(self):
        return os.mkdir, (self.trace,)


def test_a_pickle_with_code_is_refused_and_the_code_does_not_run(tmp_path):
    torch.save({"model": Harm(tmp_path / "ran")}, tmp_path / "bad.pt")
    message = refused("mine", tmp_path / "bad.pt")
    assert "wants to run code" in message
    assert "mkdir" in message
    assert not (tmp_path / "ran").exists()
    torch.load(tmp_path / "bad.pt", weights_only=False)
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\n<!DOCTYPE html><html><body>Sign in</body></html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "a Git LFS pointer"),
        (b"", "empty"),
        (b"not a checkpoint at all, just text", "no checkpoint of torch"),
    ],
)
def test_what_is_no_checkpoint_is_called_what_it_is(tmp_path, content, says):
    (tmp_path / "a.pt").write_bytes(content)
    assert says in refused("mine", tmp_path / "a.pt")


def test_a_missing_file_is_refused(tmp_path):
    assert "no such file" in refused("mine", tmp_path / "nowhere.pt")


def test_missing_and_unexpected_keys_and_shapes_are_all_named_by_their_original_names(sam_file):
    state = torch.load(sam_file, weights_only=True)
    del state["mask_decoder.iou_token.weight"], state["image_encoder.neck.0.weight"]
    state["image_encoder.extra.weight"] = torch.zeros(2)
    state["mask_decoder.mask_tokens.weight"] = torch.zeros(5, 64)
    torch.save(state, sam_file)
    message = refused("mine", sam_file)
    assert "2 missing keys: image_encoder.neck.0.weight, mask_decoder.iou_token.weight" in message
    assert "1 unexpected keys: image_encoder.extra.weight" in message
    assert "mask_decoder.mask_tokens.weight is (5, 64), expected (4, 64)" in message


def test_a_file_of_another_family_is_refused_with_what_it_looks_like(sam_file, sam2_file):
    message = refused("mine", sam_file, "sam2")
    assert "laid out as sam, not as sam2" in message
    assert "missing keys: no_mem_embed" in message
    assert "unexpected keys: image_encoder.pos_embed" in message
    assert "laid out as sam2, not as sam" in refused("mine", sam2_file, "medsam")


def test_parameters_that_are_not_finite_are_refused(sam_file):
    state = torch.load(sam_file, weights_only=True)
    state["mask_decoder.iou_token.weight"][0, 0] = float("nan")
    torch.save(state, sam_file)
    assert "1 parameters not finite: mask_decoder.iou_token.weight" in refused("mine", sam_file)


def test_something_other_than_tensors_is_refused(tmp_path):
    torch.save([1, 2], tmp_path / "list.pt")
    assert "a list -> a dictionary of parameters" in refused("mine", tmp_path / "list.pt")
    torch.save({"a": 1.0}, tmp_path / "numbers.pt")
    assert "1 entries that are no tensors: a" in refused("mine", tmp_path / "numbers.pt")


def test_a_hiera_of_ones_own_needs_its_architecture_and_is_taken_with_it(tmp_path):
    own = replace(Architecture.small("medsam2", 64), encoder="own", blocks=(1, 1, 1, 1), global_blocks=(2,))
    state = to_original(build_random("medsam2", own, 0).state_dict(), "medsam2")
    torch.save({"model": state}, tmp_path / "own.pt")
    assert "--architecture FILE.json" in refused("own", tmp_path / "own.pt", "medsam2")
    assert weights.register("own", tmp_path / "own.pt", "medsam2", architecture=own).architecture == own


def test_the_image_size_of_our_small_hiera_must_be_given(sam2_file):
    assert "--image-size-px" in refused("mine", sam2_file, "sam2")
    assert weights.register("mine", sam2_file, "sam2", image_size_px=64).architecture.image_size_px == 64


def test_a_vit_is_refused_at_another_image_size_than_its_own(sam_file):
    assert "these weights are for 64 px only" in refused("mine", sam_file, image_size_px=128)


def test_a_name_is_not_given_to_other_weights_unless_asked(sam_file, tmp_path):
    first = weights.register("mine", sam_file, "sam")
    assert weights.register("mine", sam_file, "sam") == first
    torch.save(random_state(seed=1), tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="--replace"):
        weights.register("mine", tmp_path / "other.pth", "sam")
    second = weights.register("mine", tmp_path / "other.pth", "sam", replace=True)
    assert weights.find("mine") == second
    assert second.sha256 != first.sha256


def test_a_name_without_a_family_is_refused_with_the_published_names(sam_file):
    message = refused("mine", sam_file, "")
    assert "--family sam or medsam or sam2 or medsam2" in message
    assert "MedSAM2_latest" in message


@pytest.mark.parametrize("name", ["../mine", "", ".hidden", "a/b"])
def test_a_name_that_is_no_file_name_is_refused(sam_file, name):
    assert "letters, digits" in refused(name, sam_file)


def test_a_file_that_is_not_the_published_one_is_refused_by_digest_and_by_content(sam_file):
    message = refused("sam_vit_b", sam_file, "")
    assert "published is ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912" in message
    sam_file.write_bytes(sam_file.read_bytes()[:-5000])
    assert "cut off or damaged" in refused("sam_vit_b", sam_file, "")


def test_a_published_name_brings_family_licence_and_citation(sam_file, monkeypatch):
    digest = hashlib.sha256(sam_file.read_bytes()).hexdigest()
    one = replace(published.PUBLISHED["sam_vit_b"], sha256=digest)
    monkeypatch.setitem(published.PUBLISHED, "sam_vit_b", one)
    made = weights.register("sam_vit_b", sam_file)
    assert (made.family, made.licence) == ("sam", "Apache-2.0")
    assert "arXiv:2304.02643" in made.citation


def test_weights_that_are_not_registered_are_refused_with_the_way_to_register_them():
    with pytest.raises(WeightsError, match=r"dgsweep weights add MedSAM2_latest MedSAM2_latest\.pt"):
        weights.find("MedSAM2_latest")
    with pytest.raises(WeightsError, match=r"dgsweep weights add mine FILE --family"):
        weights.find("mine")


def test_converted_weights_that_were_cut_off_are_noticed(sam_file):
    made = weights.register("mine", sam_file, "sam")
    made.path.write_bytes(made.path.read_bytes()[:-10])
    with pytest.raises(WeightsError, match=r"dgsweep weights add mine mine\.pth --replace"):
        weights.find("mine")


def test_a_writer_that_is_stopped_leaves_the_former_weights(sam_file, tmp_path, monkeypatch):
    first = weights.register("mine", sam_file, "sam")
    torch.save(random_state(seed=1), tmp_path / "other.pth")

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("safetensors.torch.save_file", stop)
    with pytest.raises(KeyboardInterrupt):
        weights.register("mine", tmp_path / "other.pth", "sam", replace=True)
    assert weights.find("mine") == first
    assert len(list(weights.folder().iterdir())) == 2


def test_weights_of_one_family_are_not_built_as_another(sam_file):
    made = weights.register("mine", sam_file, "sam")
    with pytest.raises(WeightsError, match="registered as sam"):
        build("medsam", made.path)


def test_fetch_registers_what_was_downloaded(sam_file, monkeypatch):
    monkeypatch.setitem(published.PUBLISHED, "sam_vit_b", replace(published.PUBLISHED["sam_vit_b"], sha256=""))
    assert weights.fetch("sam_vit_b", lambda *_: sam_file) == weights.find("sam_vit_b")


def test_fetch_without_a_network_gives_the_steps_by_hand(monkeypatch):
    def offline(*_):
        raise ConnectionError("no route to host")

    with pytest.raises(WeightsError) as caught:
        weights.fetch("MedSAM2_latest", offline)
    for part in (
        "no route to host",
        "https://huggingface.co/wanglab/MedSAM2/resolve/main/MedSAM2_latest.pt",
        "dgsweep weights add MedSAM2_latest MedSAM2_latest.pt",
    ):
        assert part in str(caught.value)


def test_fetch_of_a_name_that_nobody_publishes_lists_those_that_are():
    with pytest.raises(WeightsError, match=r"sam2\.1_hiera_tiny"):
        weights.fetch("mine")


def test_a_record_of_another_format_is_refused(sam_file):
    made = weights.register("mine", sam_file, "sam")
    place = made.path.with_suffix(".json")
    place.write_text(json.dumps({**json.loads(place.read_text()), "format": 99}))
    with pytest.raises(WeightsError, match="register the weights again"):
        weights.find("mine")
