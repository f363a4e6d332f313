"""MedSegDiff: the schedule, noisy masks and steps back in closed form and against MONAI; a training that denoises."""

from dataclasses import replace

import pytest
import torch
from monai.networks.schedulers.ddim import DDIMScheduler
from monai.networks.schedulers.ddpm import DDPMScheduler
from torch import nn

from dgsweep.method.base import Batch
from dgsweep.method.conformance import MethodConformance, make_context, make_method, toy_batch
from dgsweep.method.context import Context
from dgsweep.method.recipe import Recipe
from dgsweep.networks.medsegdiff import DECLARATION as NETWORK
from dgsweep.networks.small import make_network
from dgsweep_methods.medsegdiff import DECLARATION
from dgsweep_methods.medsegdiff.diffusion import (
    cleaned,
    decoded,
    encoded,
    kept_signal,
    noised,
    sampling_steps,
    stepped_back,
)

GENERATOR = torch.Generator().manual_seed(0)
KEPT = kept_signal(1000)


class TestMedSegDiffConformance(MethodConformance):
    """With two steps of prediction instead of ten: what is checked does not depend on it."""

    declaration = replace(
        DECLARATION,
        hyperparameters={
            name: replace(item, default=2) if name == "sampling_steps" else item
            for name, item in DECLARATION.hyperparameters.items()
        },
    )


def draw(*size: int) -> torch.Tensor:
    return torch.randn(*size, generator=GENERATOR, dtype=torch.float64)


def test_the_schedule_is_the_linear_one_of_ddpm():
    assert torch.allclose(KEPT.float(), DDPMScheduler(beta_start=1e-4, beta_end=0.02).alphas_cumprod, rtol=1e-3)
    betas = [1e-4 + (0.02 - 1e-4) * index / 999 for index in range(3)]
    assert KEPT[2].item() == pytest.approx((1 - betas[0]) * (1 - betas[1]) * (1 - betas[2]))
    assert KEPT[0] > 0.999
    assert KEPT[-1] < 1e-4


@pytest.mark.parametrize("steps", [20, 100, 4000])
def test_a_schedule_of_another_length_ends_at_noise_too(steps):
    assert kept_signal(steps)[-1] < 1e-4
    assert (kept_signal(steps).diff() < 0).all()


def test_a_noisy_mask_has_the_mean_and_variance_of_q():
    clean, kept = torch.full((200_000,), -1.0, dtype=torch.float64), KEPT[300]
    noisy = noised(clean, draw(200_000), kept)
    assert noisy.mean().item() == pytest.approx(-kept.sqrt().item(), abs=0.01)
    assert noisy.var().item() == pytest.approx(1 - kept.item(), rel=0.02)
    assert abs(noisy.mean().item() + 1.0) > 0.1


def test_many_single_steps_of_noise_are_one_draw_of_q():
    mean, variance = 1.0, 0.0
    for step in range(300):
        alpha = (KEPT[step] / (KEPT[step - 1] if step else 1.0)).item()
        mean, variance = alpha**0.5 * mean, alpha * variance + 1 - alpha
    assert mean == pytest.approx(noised(torch.ones(1), torch.zeros(1), KEPT[299]).item())
    assert variance == pytest.approx(noised(torch.zeros(1), torch.ones(1), KEPT[299]).item() ** 2)


def test_the_clean_mask_is_found_again_from_the_true_noise():
    clean, noise = encoded(torch.tensor([[[[0, 2, 1]]]]), 3).double(), draw(1, 3, 1, 1, 3)
    noisy = noised(clean, noise, KEPT[700])
    assert torch.allclose(cleaned(noisy, noise, KEPT[700]), clean)
    assert not torch.allclose(cleaned(noisy, -noise, KEPT[700]), clean)


def test_with_eta_1_a_step_back_draws_from_the_posterior_of_the_two_gaussians():
    clean, noisy, fresh = draw(5), draw(5), draw(5)
    for later in (1, 300, 999):
        kept, before = KEPT[later], KEPT[later - 1]
        alpha = kept / before
        # q(x_before | x_t, x_0): precisions of N(x_t; sqrt(alpha) x, 1 - alpha) and N(x; sqrt(before) x_0, 1 - before)
        precision = alpha / (1 - alpha) + 1 / (1 - before)
        mean = (alpha.sqrt() * noisy / (1 - alpha) + before.sqrt() * clean / (1 - before)) / precision
        expected = mean + fresh / precision.sqrt()
        assert torch.allclose(stepped_back(noisy, clean, kept, before, 1.0, fresh), expected)
        assert not torch.allclose(stepped_back(noisy, clean, kept, before, 0.0, fresh), expected)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_a_step_back_from_the_truth_has_the_marginal_of_q(eta):
    clean, kept, before = torch.ones(100_000, dtype=torch.float64), KEPT[600], KEPT[200]
    earlier = stepped_back(noised(clean, draw(100_000), kept), clean, kept, before, eta, draw(100_000))
    assert earlier.mean().item() == pytest.approx(before.sqrt().item(), abs=0.01)
    assert earlier.var().item() == pytest.approx(1 - before.item(), rel=0.02)


def test_a_deterministic_step_is_that_of_monai():
    scheduler = DDIMScheduler(num_train_timesteps=1000, beta_start=1e-4, beta_end=0.02, clip_sample=True)
    scheduler.set_timesteps(10)
    noisy, noise = draw(1, 2, 4, 4).float(), draw(1, 2, 4, 4).float()
    expected, _ = scheduler.step(noise, 500, noisy)
    kept, before = scheduler.alphas_cumprod[500], scheduler.alphas_cumprod[400]
    clean = ((noisy - (1 - kept).sqrt() * noise) / kept.sqrt()).clamp(-1, 1)
    # MONAI keeps the predicted noise where it clips the clean mask; ours follows from the clipped mask
    inside = clean.abs() < 1
    found = stepped_back(noisy, cleaned(noisy, noise, kept), kept, before, 0.0, torch.zeros_like(noisy))
    assert inside.any()
    assert torch.allclose(found[inside], expected[inside], atol=1e-4)


def test_a_clean_mask_decodes_to_its_classes():
    label = torch.tensor([[[[0, 2, 1]]]])
    probabilities = decoded(encoded(label, 3))
    assert torch.equal(probabilities.argmax(dim=1), label)
    assert torch.allclose(probabilities.sum(dim=1), torch.ones(1, 1, 1, 3))
    assert torch.allclose(decoded(torch.full((1, 4, 1, 1, 1), -3.0)), torch.full((1, 4, 1, 1, 1), 0.25))


def test_prediction_visits_steps_from_last_to_first():
    assert sampling_steps(1000, 4) == [999, 666, 333, 0]
    assert sampling_steps(5, 10) == [4, 3, 2, 1, 0]
    assert sampling_steps(1000, 1) == [999]


class Oracle(nn.Module):
    """Knows the mask, so it gives the exact noise of whatever it is told."""

    def __init__(self, label: torch.Tensor) -> None:
        super().__init__()
        self.weight, self.n_classes, self.taps = nn.Parameter(torch.zeros(1)), 2, {}
        self.clean, self.told, self.steps = encoded(label, 2), None, []

    def conditioned(self, noisy: torch.Tensor, step: torch.Tensor):
        kept = KEPT.float()[step.long()][:, None, None, None]
        self.told = (noisy - kept.sqrt() * self.clean) / (1 - kept).sqrt()
        self.steps.append(step)
        return torch.no_grad()

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        return [self.told + self.weight + 0.0 * image]


@pytest.mark.parametrize("values", [{}, {"sampling_steps": 1}, {"eta": 1.0, "ensemble": 2}])
def test_a_network_that_knows_the_noise_is_trained_to_nothing_and_predicts_the_mask(values):
    batch = toy_batch(0, n=1)
    network, method = Oracle(batch.label), make_method(DECLARATION, values)
    ctx = Context(network, method, Recipe(budget_steps=1), n_domains=1)
    loss = method.loss(ctx, batch, method.views(ctx, batch))["denoising"]
    assert loss.item() == pytest.approx(0.0, abs=1e-8)
    assert network.steps[0].shape == (1, batch.label.shape[-1])
    assert len(network.steps[0].unique()) > 1
    found = method.predict_case(ctx, batch.image[0])
    assert torch.equal(found.argmax(dim=0), batch.label[0])
    assert len(network.steps) == 1 + values.get("sampling_steps", 10) * values.get("ensemble", 1)


def test_training_lowers_the_error_of_the_noise():
    method = make_method(DECLARATION)
    ctx = make_context(method)
    errors = []
    for step in range(60):
        ctx.run_step(toy_batch(step % 3))
        errors.append(float(ctx.losses["denoising"].detach()))
    assert sum(errors[-10:]) < 0.9 * sum(errors[:10])


def test_prediction_depends_on_the_seed_alone_and_not_on_cases_before():
    method = make_method(DECLARATION, {"sampling_steps": 2})
    image, other = toy_batch(0, n=1).image[0], toy_batch(1, n=1).image[0]
    with torch.no_grad():
        ctx = make_context(method)
        first = method.predict_case(ctx, image)
        method.predict_case(ctx, other)
        assert torch.equal(method.predict_case(ctx, image), first)
        assert not torch.equal(method.predict_case(make_context(method, seed=1), image), first)
    assert first.shape == (2, *image.shape[1:])


def test_a_network_that_cannot_be_told_a_mask_is_refused():
    plain = nn.Conv3d(1, 2, 1)
    with pytest.raises(ValueError, match="needs a network that removes noise"):
        Context(plain, make_method(DECLARATION), Recipe(budget_steps=1), n_domains=1)


def test_a_case_that_is_no_multiple_of_the_patch_is_predicted_whole():
    method = make_method(DECLARATION, {"sampling_steps": 1})
    image = torch.randn(1, 20, 12, 9, generator=GENERATOR)
    with torch.no_grad():
        found = method.predict_case(make_context(method), image)
    assert found.shape == (2, 20, 12, 9)
    assert torch.allclose(found.sum(dim=0), torch.ones(20, 12, 9), atol=1e-5)


def test_one_view_is_asked_for():
    method = make_method(DECLARATION)
    batch: Batch = toy_batch(0)
    views = [*method.views(make_context(method), batch)] * 2
    with pytest.raises(ValueError, match="one view"):
        method.loss(make_context(method), batch, views)


def test_method_and_network_train_and_predict_together():
    patch, method = (64, 64, 2), make_method(DECLARATION, {"sampling_steps": 2})
    network = make_network(NETWORK, patch).train()
    recipe = Recipe(budget_steps=2, optimizer="adamw", learning_rate=1e-3, patch=patch)
    ctx = Context(network, method, recipe, n_domains=1)
    image = torch.randn(1, 2, *patch, generator=GENERATOR)
    label = torch.randint(3, (1, *patch), generator=GENERATOR)
    batch = Batch(image=image, label=label, domain=torch.zeros(1, dtype=torch.long), case_ids=("a",))
    for _ in range(2):
        ctx.run_step(batch)
    assert int(ctx.first_bad_step) < 0
    assert ctx.active_steps == 2
    with torch.no_grad():
        found = method.predict_case(ctx, torch.randn(2, 70, 64, 3, generator=GENERATOR))
    assert found.shape == (3, 70, 64, 3)
    assert torch.allclose(found.sum(dim=0), torch.ones(70, 64, 3), atol=1e-5)
