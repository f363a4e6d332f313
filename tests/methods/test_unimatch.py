"""UniMatch: boxes, dropped channels, and three streams against one weak view."""

from dataclasses import replace

import pytest
import torch

from dgsweep.method.conformance import MethodConformance, advance, make_context, make_method
from dgsweep.method.intensity import strong_view
from dgsweep.method.toy import toy_batch, toy_unlabelled
from dgsweep_methods.unimatch import DECLARATION
from dgsweep_methods.unimatch.method import boxes, confident_dice, drop_channels


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def test_boxes_are_boxes_of_the_published_share_with_unequal_sides():
    inside = boxes(400, (20, 24, 16), stream())
    sides = torch.stack([inside.flatten(2).any(2).sum(1), inside.any(3).any(1).sum(1), inside.any(2).any(1).sum(1)])
    assert torch.equal(sides.prod(0), inside.flatten(1).sum(1))  # full within their corners
    share = inside.flatten(1).float().mean(1)
    assert 0.0 < float(share.min()) < 0.06
    assert 0.33 < float(share.max()) < 0.47
    assert 0.18 < float(share.mean()) < 0.24
    relative = sides.T / torch.tensor([20.0, 24.0, 16.0])
    assert float((relative.amax(1) / relative.amin(1)).median()) > 1.2
    anywhere = inside.float().mean(0)
    assert float(anywhere[10, 12, 8]) > float(anywhere[0, 0, 0]) > 0


def test_dropped_channels_are_zero_as_a_whole_and_the_mean_stays():
    feature = torch.ones(50, 40, 2, 2, 2)
    dropped = drop_channels(feature, 0.75, stream())
    assert set(dropped.unique().tolist()) == {0.0, 4.0}
    assert torch.equal(dropped.amax((2, 3, 4)), dropped.amin((2, 3, 4)))
    assert float(dropped.mean()) == pytest.approx(1.0, abs=0.1)
    assert torch.equal(drop_channels(feature, 0.0, stream()), feature)


def test_dice_counts_sure_voxels_of_the_batch_and_the_background_as_a_class():
    logits = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]]).log().view(3, 2, 1, 1, 1).requires_grad_()
    label, sure = torch.tensor([0, 1, 1]).view(3, 1, 1, 1), torch.tensor([True, True, False]).view(3, 1, 1, 1)
    background, foreground = 2 * 0.9 / (0.81 + 0.04 + 1), 2 * 0.8 / (0.01 + 0.64 + 1)
    loss = confident_dice(logits, label, sure)
    assert float(loss.detach()) == pytest.approx(1 - (background + foreground) / 2, abs=1e-4)
    assert float(confident_dice(logits, label, sure | True).detach()) > float(loss.detach()) + 0.05
    loss.backward()
    assert logits.grad[:2].all()
    assert not logits.grad[2].any()
    assert float(confident_dice(logits.detach(), label, sure & False)) == pytest.approx(0.0, abs=1e-6)


def test_sure_background_alone_teaches():
    logits = torch.zeros(1, 2, 2, 2, 2, requires_grad=True)
    confident_dice(
        logits, torch.zeros(1, 2, 2, 2, dtype=torch.long), torch.ones(1, 2, 2, 2, dtype=torch.bool)
    ).backward()
    assert float(logits.grad[:, 0].max()) < -1e-3


def case(**hp):
    ctx = make_context(make_method(DECLARATION, {"confidence": 0.6, **hp}))
    advance(ctx, 2)
    batch = replace(toy_batch(5), unlabelled=toy_unlabelled(5))
    ctx.generator.manual_seed(1)
    with torch.no_grad():
        terms = ctx.method.loss(ctx, batch, ctx.method.views(ctx, batch))
        probability, label = ctx.network(batch.unlabelled.image)[0].softmax(1).max(1)
    return ctx, batch.unlabelled.image, label, probability >= 0.6, terms


def test_the_feature_stream_is_the_patch_itself_with_dropped_channels():
    ctx, image, label, sure, terms = case(weight=3.0)
    with torch.no_grad():
        hidden = ctx.network.block(ctx.network.norm(ctx.network.stem(image)))
        deep = drop_channels(ctx.network.deep(hidden), 0.5, stream(1))
        logits = ctx.network.head(ctx.network.decoded(deep))
    assert 0.1 < float(sure.float().mean()) < 0.9
    assert float(terms["features"]) == pytest.approx(1.5 * float(confident_dice(logits, label, sure)))
    for wrong in (
        confident_dice(logits, label, sure | True),
        confident_dice(ctx.network(image)[0].detach(), label, sure),
    ):
        assert float(terms["features"]) != pytest.approx(1.5 * float(wrong), rel=1e-4)


def test_without_changes_the_strong_streams_are_the_weak_view():
    ctx, image, label, sure, terms = case(weight=3.0, strength=0.0, p_cutmix=0.0)
    with torch.no_grad():
        expected = 1.5 * float(confident_dice(ctx.network(image)[0], label, sure))
    assert float(terms["strong"]) == pytest.approx(expected)
    for changed in ({"strength": 0.5}, {"p_cutmix": 1.0}):
        terms = case(weight=3.0, **{"strength": 0.0, "p_cutmix": 0.0, **changed})[4]
        assert float(terms["strong"]) != pytest.approx(expected, rel=1e-4)


def test_boxes_carry_image_label_and_confidence_of_the_same_other_sample(monkeypatch):
    ctx, image, label, sure, _ = case(strength=0.0, p_cutmix=1.0)
    shown = []
    monkeypatch.setattr(ctx, "forward", lambda mixed: shown.append(mixed) or [torch.zeros(4, 2, *mixed.shape[2:])])
    ctx.method._strong_stream(ctx, image, label, sure)
    moved = (shown[0] != image)[:, 0]
    owner = torch.stack([(shown[0][:, 0] == other).where(moved, False).flatten(1).sum(1) for other in image[:, 0]])
    assert bool(((owner > 0).sum(0) == 1).all())  # whatever moved came from one other sample
    assert int(moved.sum()) == int(owner.sum()) > 0


def test_the_two_strong_streams_differ():
    image = toy_unlabelled(0).image
    generator = stream()
    assert not torch.equal(strong_view(image, 0.5, generator), strong_view(image, 0.5, generator))


def test_taps_leave_features_alone_outside_the_feature_stream():
    ctx, image, *_ = case()
    plain = make_context(make_method(DECLARATION))
    plain.network.load_state_dict(ctx.network.state_dict())
    assert torch.equal(ctx.network(image)[0], plain.network.eval()(image)[0])
    ctx.state["gaps"] = True
    assert not torch.equal(ctx.network(image)[0], plain.network(image)[0])


def test_five_forward_passes_a_step_and_one_without_unlabelled_patches():
    ctx = make_context(make_method(DECLARATION))
    advance(ctx, 1)
    assert ctx.forward_passes == DECLARATION.forward_passes_per_step
    batch = toy_batch(0)
    assert set(ctx.method.loss(ctx, batch, ctx.method.views(ctx, batch))) == {"segmentation"}
    assert ctx.forward_passes == DECLARATION.forward_passes_per_step + 1


class TestUniMatchKeepsItsWord(MethodConformance):
    declaration = DECLARATION
