"""MixStyle against closed forms."""

import pytest
import torch

from dgsweep.method.conformance import MethodConformance, make_context, make_method, same_weights, trained
from dgsweep.method.style import style_of
from dgsweep.method.toy import toy_batch
from dgsweep_methods.mixstyle import DECLARATION
from dgsweep_methods.mixstyle.method import mix_styles


class TestMixStyleConformance(MethodConformance):
    declaration = DECLARATION


def feature():
    generator = torch.Generator().manual_seed(0)
    scale = torch.tensor([1.0, 2.0, 5.0]).view(3, 1, 1, 1, 1)
    return scale * torch.randn(3, 4, 5, 6, 7, generator=generator) + scale


SHIFT = torch.tensor([1, 2, 0])


def test_the_statistics_of_the_result_are_the_weighted_mean_of_both():
    x, weight = feature(), torch.tensor([0.0, 0.25, 1.0])
    mean = x.double().mean(dim=(2, 3, 4)).numpy()
    std = x.double().numpy().std(axis=(2, 3, 4))
    shown = style_of(mix_styles(x, SHIFT, weight))
    for i, (lam, j) in enumerate(zip(weight.tolist(), SHIFT.tolist(), strict=True)):
        torch.testing.assert_close(
            shown.mean[i].flatten().double(), torch.tensor(lam * mean[i] + (1 - lam) * mean[j]), rtol=1e-4, atol=1e-4
        )
        torch.testing.assert_close(
            shown.std[i].flatten().double(), torch.tensor(lam * std[i] + (1 - lam) * std[j]), rtol=1e-4, atol=1e-4
        )
    assert not torch.allclose(shown.mean[0], style_of(x).mean[0], atol=1e-2)


def test_weight_one_returns_the_feature_and_the_partner_itself_too():
    x = feature()
    torch.testing.assert_close(mix_styles(x, SHIFT, torch.ones(3)), x, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(mix_styles(x, torch.arange(3), torch.zeros(3)), x, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(mix_styles(x, SHIFT, torch.zeros(3)), x, atol=1e-1)


def test_no_gradient_flows_through_the_styles():
    x = feature().requires_grad_()
    mix_styles(x, SHIFT, torch.full((3,), 0.5)).sum().backward()
    std = style_of(x.detach()).std
    expected = (0.5 * std + 0.5 * std[SHIFT]) / std
    torch.testing.assert_close(x.grad, expected.expand_as(x), rtol=1e-4, atol=1e-5)


def partners_seen(mix, domain):
    """Which sample each one takes its mean from: sample i is the constant i plus a little texture."""
    method = make_method(DECLARATION, {"mix": mix, "probability": 1.0, "alpha": 0.01})
    ctx, seen = make_context(method), [set() for _ in domain]
    level = torch.arange(4.0).view(4, 1, 1, 1, 1) + 0.01 * torch.randn(4, 1, 4, 4, 4, generator=torch.Generator())
    batch = toy_batch(0)
    ctx.batch = type(batch)(image=level, label=batch.label, domain=torch.tensor(domain), case_ids=batch.case_ids)
    for _ in range(60):
        shown = method.taps()["enc0"](level, ctx).mean(dim=(1, 2, 3, 4))
        for i in range(4):
            level_found = round(shown[i].item())
            if abs(shown[i].item() - level_found) < 0.03:  # all or nothing of the partner: nearly always at this alpha
                seen[i].add(level_found)
    return [found - {i} for i, found in enumerate(seen)]


def test_partners_are_all_others_or_those_of_other_domains():
    assert partners_seen("random", [0, 0, 1, 1]) == [{1, 2, 3}, {0, 2, 3}, {0, 1, 3}, {0, 1, 2}]
    assert partners_seen("crossdomain", [0, 0, 1, 1]) == [{2, 3}, {2, 3}, {0, 1}, {0, 1}]
    assert partners_seen("crossdomain", [0, 0, 0, 0]) == [{1, 2, 3}, {0, 2, 3}, {0, 1, 3}, {0, 1, 2}]


def test_crossdomain_depends_on_the_domains_and_random_does_not():
    def swapped(step):
        batch = toy_batch(step)
        return type(batch)(
            image=batch.image, label=batch.label, domain=torch.tensor([0, 0, 1, 1]), case_ids=batch.case_ids
        )

    for mix, differs in (("crossdomain", True), ("random", False)):
        method = make_method(DECLARATION, {"mix": mix})
        assert same_weights(trained(method), trained(method, batch=swapped)) is not differs


@pytest.mark.parametrize("layers", [("enc0",), ("enc0.pre_norm", "enc1.pre_norm")])
def test_the_chosen_layers_are_tapped(layers):
    assert tuple(make_method(DECLARATION, {"layers": layers}).taps()) == layers


def test_a_batch_of_one_is_left_as_it_is():
    method = make_method(DECLARATION, {"probability": 1.0})
    x = feature()[:1]
    assert method.taps()["enc0"](x, make_context(method)) is x
