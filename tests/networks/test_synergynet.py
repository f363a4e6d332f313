"""SynergyNet: nearest codes, their loss without a line in the trainer, and features and codes that read each other."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from dgsweep.errors import PlanError
from dgsweep.method.base import Batch, Method
from dgsweep.method.context import Context
from dgsweep.method.recipe import Recipe
from dgsweep.networks.builder import count_parameters
from dgsweep.networks.small import implementation_of, make_network, make_task
from dgsweep.networks.synergynet import DECLARATION
from dgsweep.networks.synergynet.fusion import Attention, Exchange
from dgsweep.networks.synergynet.quantiser import Quantiser, nearest, quantisation_loss

PATCH = (32, 32, 2)
GENERATOR = torch.Generator().manual_seed(0)
FEATURE = torch.randn(2, 3, 4, 5, generator=GENERATOR)
CODES = torch.randn(7, 3, generator=GENERATOR)


def quantiser(**changes) -> Quantiser:
    made = Quantiser(**{"codes": 7, "channels": 3, "commitment": 0.25, "weight": 1.0} | changes)
    with torch.no_grad():
        made.codebook.copy_(CODES)
    return made


def test_the_nearest_code_is_that_of_all_distances():
    distances = torch.cdist(FEATURE.movedim(1, -1).flatten(0, 2), CODES)
    assert torch.equal(nearest(FEATURE, CODES).flatten(), distances.argmin(dim=1))
    assert not torch.equal(nearest(FEATURE, CODES).flatten(), distances.argmax(dim=1))


def test_codes_stand_for_features_and_gradients_pass_straight_through():
    made = quantiser().eval()
    feature = FEATURE.clone().requires_grad_()
    quantised, weights = made(feature), torch.randn(2, 3, 4, 5, generator=GENERATOR)
    assert torch.allclose(quantised, CODES[nearest(FEATURE, CODES)].movedim(-1, 1))
    assert torch.equal(torch.autograd.grad((quantised * weights).sum(), feature)[0], weights)


def test_in_training_the_backward_pass_also_descends_on_the_loss_of_quantisation():
    made, weights = quantiser(weight=3.0).train(), torch.randn(2, 3, 4, 5, generator=GENERATOR)
    feature = FEATURE.clone().requires_grad_()
    carried = torch.autograd.grad((made(feature) * weights).sum(), [feature, made.codebook])
    codes = made.codebook[nearest(FEATURE, CODES)].movedim(-1, 1)
    term = 3.0 * quantisation_loss(feature, codes, 0.25)
    added = torch.autograd.grad((feature * weights).sum() + term, [feature, made.codebook])
    assert all(torch.allclose(a, b, atol=1e-7) for a, b in zip(carried, added, strict=True))
    assert not torch.allclose(carried[0], weights, atol=1e-4)


@pytest.mark.parametrize(("mode", "weight"), [(True, 0.0), (False, 3.0)])
def test_without_weight_or_in_evaluation_there_is_no_such_gradient(mode, weight):
    made, feature = quantiser(weight=weight).train(mode), FEATURE.clone().requires_grad_()
    gradient, codebook = torch.autograd.grad(made(feature).sum(), [feature, made.codebook], allow_unused=True)
    assert torch.equal(gradient, torch.ones_like(FEATURE))
    assert codebook is None or not codebook.any()


def test_the_gradient_of_a_code_points_from_the_vectors_that_chose_it():
    made = quantiser(commitment=0.0).train()
    (gradient,) = torch.autograd.grad(made(FEATURE).sum(), made.codebook)
    vectors, chosen = FEATURE.movedim(1, -1).flatten(0, 2), nearest(FEATURE, CODES).flatten()
    for code in range(7):
        own = vectors[chosen == code]
        assert torch.allclose(gradient[code], 2.0 * (CODES[code] - own).sum(dim=0) / FEATURE.numel(), atol=1e-6)
    assert gradient.any()


def quantisation_error(network: nn.Module, image: torch.Tensor) -> float:
    seen: list[torch.Tensor] = []
    made = network.core.core.bottleneck.quantiser
    handle = made.register_forward_hook(lambda _m, inputs, out: seen.extend([inputs[0].detach(), out.detach()]))
    network(image)
    handle.remove()
    return float((seen[0] - seen[1]).square().mean())


def test_plain_erm_trains_the_codebook():
    recipe = Recipe(budget_steps=4, learning_rate=0.5, momentum=0.0, weight_decay=0.0, schedule="constant")
    image, label = torch.randn(1, 2, *PATCH, generator=GENERATOR), torch.randint(3, (1, *PATCH), generator=GENERATOR)
    batch = Batch(image=image, label=label, domain=torch.zeros(1, dtype=torch.long), case_ids=("a",))
    moved = {}
    for weight in (0.0, 50.0):
        network = make_network(DECLARATION, PATCH, options=dict(DECLARATION.small) | {"quantisation": weight}).train()
        before = network.core.core.bottleneck.quantiser.codebook.detach().clone()
        error = quantisation_error(network, image)
        ctx = Context(network, Method(), recipe, n_domains=1)
        for _ in range(recipe.budget_steps):
            ctx.run_step(batch)
        after = network.core.core.bottleneck.quantiser.codebook.detach()
        moved[weight] = not torch.equal(before, after), quantisation_error(network, image) < error
    assert moved[50.0] == (True, True)
    assert moved[0.0][0] is False


def test_features_and_codes_read_each_other_by_the_attention_of_torch():
    exchange = Exchange(6, 2)
    continuous, discrete = torch.randn(1, 5, 6, generator=GENERATOR), torch.randn(1, 4, 6, generator=GENERATOR)

    def torch_attention(ours: Attention, tokens: torch.Tensor, read: torch.Tensor) -> torch.Tensor:
        theirs = nn.MultiheadAttention(6, 2, batch_first=True)
        with torch.no_grad():
            theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key_value.weight]))
            theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key_value.bias]))
        theirs.out_proj = ours.project
        return theirs(tokens, read, read, need_weights=False)[0]

    found = exchange.to_discrete(continuous, discrete)
    assert torch.allclose(found, torch_attention(exchange.to_discrete, continuous, discrete), atol=1e-6)
    assert not torch.allclose(found, torch_attention(exchange.to_discrete, continuous, continuous), atol=1e-3)


def test_the_joined_map_depends_on_features_and_on_codes():
    exchange = Exchange(6, 2)
    one, other = (torch.randn(1, 4, 6, generator=GENERATOR) for _ in range(2))
    joined = exchange(one, other)
    assert not torch.allclose(joined, exchange(one, other + 1.0), atol=1e-3)
    assert not torch.allclose(joined, exchange(one + 1.0, other), atol=1e-3)
    assert functional.mse_loss(joined, exchange(one.clone(), other.clone())) == 0


def test_its_card_states_its_parameters():
    options = {name: option.default for name, option in DECLARATION.options.items()}
    task = make_task(DECLARATION, PATCH, options=options)
    with torch.device("meta"):
        found = count_parameters(implementation_of(DECLARATION)(task))
    two_inputs, three_classes = 9 * 32, 33
    assert found == 14_066_786 + two_inputs + three_classes


def test_heads_that_cannot_share_the_channels_are_refused():
    with pytest.raises(PlanError, match="3 heads cannot share"):
        make_network(DECLARATION, PATCH, options=dict(DECLARATION.small) | {"heads": 3})
