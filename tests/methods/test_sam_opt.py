"""SAM against the two-step update written out with plain torch."""

import pytest
import torch
from torch.func import functional_call

from dgsweep.method.conformance import MethodConformance, ToyNetwork, make_method, toy_batch
from dgsweep.method.context import Context
from dgsweep.method.losses import segmentation_loss
from dgsweep.method.recipe import Recipe
from dgsweep_methods.sam_opt import DECLARATION
from dgsweep_methods.sam_opt.method import ascent

RHO, CLIP = 0.3, 0.5
RECIPE = Recipe(
    budget_steps=10, learning_rate=0.05, momentum=0.9, weight_decay=1e-3, schedule="constant", grad_clip=CLIP
)


class TestSamOptConformance(MethodConformance):
    declaration = DECLARATION


def reference(steps, rho):
    """Foret et al., Algorithm 1: gradients by autograd at copies of the weights, one optimizer step by torch."""
    network = ToyNetwork(1, 0).train()
    names = [name for name, _ in network.named_parameters()]
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-3)
    for step in range(steps):
        batch = toy_batch(step)

        def gradient(weights, batch=batch):
            weights = [weight.detach().clone().requires_grad_() for weight in weights]
            (logits,) = functional_call(network, dict(zip(names, weights, strict=True)), (batch.image,))
            return torch.autograd.grad(segmentation_loss(logits, batch.label), weights)

        here = list(network.parameters())
        uphill = gradient(here)
        length = sum((part.double() ** 2).sum() for part in uphill).sqrt()
        at_worst = gradient([weight + rho * part / length for weight, part in zip(here, uphill, strict=True)])
        for weight, part in zip(here, at_worst, strict=True):
            weight.grad = part.float()
        torch.nn.utils.clip_grad_norm_(here, CLIP)
        optimizer.step()
    return network.state_dict()


def trained(steps=4, rho=RHO):
    ctx = Context(ToyNetwork(1, 0).train(), make_method(DECLARATION, {"rho": rho}), RECIPE, n_domains=2)
    for step in range(steps):
        ctx.run_step(toy_batch(step))
    return ctx


def difference(weights, others):
    return max(float((weights[name].double() - others[name].double()).abs().max()) for name in weights)


def test_training_equals_the_two_step_update_written_out_in_torch():
    weights = trained().network.state_dict()
    assert difference(weights, reference(4, RHO)) < 1e-6
    assert difference(weights, reference(4, 0.0)) > 1e-3
    assert difference(weights, reference(4, RHO / 2)) > 1e-3


def test_the_step_up_has_the_length_rho_over_all_tensors_together():
    gradients = [torch.tensor([3.0, 0.0]), torch.tensor([[0.0], [4.0]])]
    first, second = ascent(gradients, 0.5)
    torch.testing.assert_close(first, torch.tensor([0.3, 0.0]))
    torch.testing.assert_close(second, torch.tensor([[0.0], [0.4]]))


def test_a_zero_gradient_gives_no_step_and_no_nan():
    assert torch.equal(ascent([torch.zeros(3)], 0.5)[0], torch.zeros(3))


@pytest.mark.parametrize(("rho", "active"), [(RHO, 4), (0.0, 0)])
def test_it_is_active_when_there_is_a_radius_and_always_takes_two_passes(rho, active):
    ctx = trained(rho=rho)
    assert (ctx.active_steps, ctx.forward_passes) == (active, 8)


def test_the_logged_loss_is_that_of_the_weights_before_the_step():
    ctx, network, batch = trained(0), ToyNetwork(1, 0), toy_batch(0)
    ctx.run_step(batch)
    expected = segmentation_loss(network(batch.image)[0], batch.label)
    torch.testing.assert_close(ctx.losses["segmentation"].detach(), expected.detach())
