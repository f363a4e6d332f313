"""The context: random streams, ramps, taps, bad losses, clipping, and what a method may not reach."""

import copy
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from dgsweep.method.base import Method
from dgsweep.method.conformance import ToyNetwork, make_context, same_weights, toy_batch
from dgsweep.method.context import Context, stream_seed
from dgsweep.method.recipe import Recipe
from dgsweep.method.workers import Alone


@dataclass(kw_only=True)
class Tapping(Method):
    """Notes every feature map that passes and doubles it."""

    name: str = "enc0"
    seen: list[Any] = field(default_factory=list)

    def taps(self):
        def double(feature, ctx):
            self.seen.append((ctx.step, tuple(feature.shape)))
            return 2 * feature

        return {self.name: double}


@dataclass(kw_only=True)
class Drawing(Method):
    """Notes the first number of its random stream at each step."""

    seen: list[float] = field(default_factory=list)

    def views(self, ctx, batch):
        self.seen.append(float(torch.rand((), generator=ctx.generator)))
        return super().views(ctx, batch)


@dataclass(kw_only=True)
class Exploding(Method):
    """Loss NaN at steps 2 and 4."""

    def loss(self, ctx, batch, views):
        terms = dict(super().loss(ctx, batch, views))
        return {name: value * float("nan") if ctx.step in (2, 4) else value for name, value in terms.items()}


def test_stream_seed_depends_on_every_part_and_fits_64_signed_bits():
    seeds = {stream_seed("a", 1, 2), stream_seed("a", 1, 3), stream_seed("b", 1, 2), stream_seed("a", 12)}
    assert len(seeds) == 4
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert stream_seed("a", 1, 2) == stream_seed("a", 1, 2)


@pytest.mark.parametrize(
    ("step", "start", "length", "expected"),
    [(0, 0.2, 0.4, 0.0), (20, 0.2, 0.4, 0.0), (40, 0.2, 0.4, 0.5), (60, 0.2, 0.4, 1.0), (99, 0.2, 0.4, 1.0),
     (49, 0.5, 0.0, 0.0), (50, 0.5, 0.0, 1.0)],
)  # fmt: skip
def test_ramp_is_a_fraction_of_the_budget(step, start, length, expected):
    ctx = Context(ToyNetwork(1, 0), Method(), Recipe(budget_steps=100), n_domains=1)
    ctx.step = step
    assert ctx.ramp(start, length) == pytest.approx(expected)


def test_a_tap_fires_in_training_and_changes_the_output():
    ctx = make_context(Tapping())
    image = toy_batch(0).image
    ctx.forward(image)
    assert ctx.method.seen == [(0, (4, 8, 16, 16, 8))]
    assert torch.equal(ctx.features["enc0"], 2 * ctx.network.block(ctx.network.norm(ctx.network.stem(image))) / 2)
    plain = make_context(Method()).forward(image)[0]
    assert not torch.equal(ctx.forward(image)[0], plain)


def test_a_tap_is_silent_in_evaluation():
    ctx = make_context(Tapping())
    plain = make_context(Method())
    ctx.network.eval()
    plain.network.eval()
    assert torch.equal(ctx.forward(toy_batch(0).image)[0], plain.forward(toy_batch(0).image)[0])
    assert ctx.method.seen == []


def test_an_unknown_tap_is_an_error_with_the_list_of_taps():
    with pytest.raises(ValueError, match=r"no tap 'enc9'; it has: stem, enc0.pre_norm, enc0, enc1.pre_norm, enc1"):
        make_context(Tapping(name="enc9"))


def test_the_stream_of_a_method_depends_on_seed_step_and_rank_and_not_on_the_global_stream():
    def seen(seed: int, rank: int) -> list[float]:
        torch.manual_seed(rank * 100 + seed + len(drawn))
        method = Drawing()
        ctx = Context(ToyNetwork(1, 0), method, Recipe(budget_steps=4, seed=seed), n_domains=2, workers=Alone(rank))
        for step in range(3):
            ctx.run_step(toy_batch(step))
        return method.seen

    drawn: list[list[float]] = []
    for seed, rank in [(0, 0), (0, 0), (1, 0), (0, 1)]:
        drawn.append(seen(seed, rank))
    assert drawn[0] == drawn[1]
    assert len({value for row in drawn[1:] for value in row}) == 9


class Dropping(ToyNetwork):
    """A network with dropout."""

    def forward(self, image):
        return super().forward(torch.nn.functional.dropout(image, 0.5, training=self.training))


def test_dropout_depends_on_seed_step_and_rank_and_not_on_what_was_drawn_before():
    def weights(global_seed: int, seed: int = 0, rank: int = 0) -> torch.Tensor:
        recipe = Recipe(budget_steps=4, seed=seed, learning_rate=0.1)
        ctx = Context(Dropping(1, 0).train(), Method(), recipe, n_domains=2, workers=Alone(rank))
        for step in range(2):
            torch.manual_seed(global_seed)
            ctx.run_step(toy_batch(step))
        return ctx.network.stem.weight.detach().clone()

    assert torch.equal(weights(1), weights(2))
    assert not torch.equal(weights(1), weights(1, seed=1))
    assert not torch.equal(weights(1), weights(1, rank=1))


def test_the_first_step_with_a_bad_loss_is_remembered():
    ctx = make_context(Exploding())
    for step in range(5):
        ctx.run_step(toy_batch(step))
    assert int(ctx.first_bad_step) == 2


def test_a_good_training_remembers_no_bad_step():
    ctx = make_context(Method())
    ctx.run_step(toy_batch(0))
    assert int(ctx.first_bad_step) == -1


def test_gradients_are_clipped_to_the_recipe_norm():
    recipe = Recipe(
        budget_steps=1, learning_rate=1.0, momentum=0.0, weight_decay=0.0, schedule="constant", grad_clip=1e-3
    )
    ctx = Context(ToyNetwork(1, 0).train(), Method(), recipe, n_domains=2)
    before = [value.clone() for value in ctx.network.parameters()]
    ctx.run_step(toy_batch(0))
    moved = torch.cat([(old - new).flatten() for old, new in zip(before, ctx.network.parameters(), strict=True)])
    assert moved.norm().item() == pytest.approx(1e-3, rel=1e-2)


@dataclass(kw_only=True)
class WithModule(Method):
    """Scales the image by a learned factor."""

    def setup(self, ctx):
        ctx.add_module("scale", torch.nn.Conv3d(1, 1, 1))

    def views(self, ctx, batch):
        (view,) = super().views(ctx, batch)
        return [type(view)(image=ctx.modules["scale"](view.image), label=view.label)]


def test_an_auxiliary_module_starts_from_the_seed_and_leaves_the_global_stream_alone():
    starts = []
    for global_seed, seed in [(1, 0), (2, 0), (2, 1)]:
        torch.manual_seed(global_seed)
        before = torch.random.get_rng_state()
        starts.append(make_context(WithModule(), seed=seed).modules["scale"].weight.detach().clone())
        assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(starts[0], starts[1])
    assert not torch.equal(starts[0], starts[2])


def test_an_auxiliary_module_is_trained_and_kept_in_the_checkpoint():
    ctx, fresh = make_context(WithModule()), make_context(WithModule())
    fresh.load_state_dict(copy.deepcopy(ctx.state_dict()))
    start = ctx.modules["scale"].weight.clone()
    for step in range(3):
        ctx.run_step(toy_batch(step))
    assert not torch.equal(start, ctx.modules["scale"].weight)
    fresh.load_state_dict(copy.deepcopy(ctx.state_dict()))
    assert torch.equal(fresh.modules["scale"].weight, ctx.modules["scale"].weight)
    assert same_weights(fresh, ctx)


def test_subset_keeps_images_labels_domains_and_case_ids_together():
    batch = toy_batch(0)
    part = batch.subset(batch.domain == 1)
    assert part.case_ids == ("toy1", "toy3")
    assert torch.equal(part.image, batch.image[1::2])
    assert torch.equal(part.label, batch.label[1::2])
    assert part.domain.tolist() == [1, 1]


@dataclass(kw_only=True)
class AtTestTime(Method):
    """Notes mode, gradients and random stream when it adapts, and changes everything that it can."""

    seen: list[Any] = field(default_factory=list)

    def adapt(self, ctx, image):
        if image.max() > 100:
            raise RuntimeError("this case breaks")
        drawn = float(torch.rand((), generator=ctx.generator))
        loss = ctx.forward(image)[0].sum()
        loss.backward()
        self.seen.append((ctx.network.training, drawn))
        with torch.no_grad():
            ctx.network.head.weight.zero_()
        if image.max() > 10:
            ctx.mark_active()


def test_adaptation_happens_in_evaluation_mode_from_a_fresh_stream_and_leaves_nothing_behind():
    ctx, image = make_context(AtTestTime()), toy_batch(0, n=1).image
    ctx.run_step(toy_batch(0))
    before = copy.deepcopy(ctx.state_dict())
    for case in (image, image + 20):
        with torch.no_grad(), ctx.adapted(case):
            assert not ctx.network.head.weight.any()
            assert not ctx.network.training
    (first, second) = ctx.method.seen
    assert first == second
    assert first[0] is False
    assert (ctx.adapted_cases, ctx.active_cases, ctx.forward_passes) == (2, 1, before["forward_passes"])
    assert ctx.network.training
    assert all(parameter.grad is None for parameter in ctx.network.parameters())
    assert all(torch.equal(value, before["network"][name]) for name, value in ctx.network.state_dict().items())


def test_a_case_that_breaks_leaves_the_network_as_it_was():
    ctx = make_context(AtTestTime())
    before = copy.deepcopy(ctx.network.state_dict())
    with pytest.raises(RuntimeError, match="this case breaks"), ctx.adapted(toy_batch(0, n=1).image + 200):
        pass
    assert ctx.network.training
    assert ctx.adapted_cases == 0
    assert all(torch.equal(value, before[name]) for name, value in ctx.network.state_dict().items())


def test_the_network_can_be_asked_at_other_weights():
    ctx, other, image = make_context(Method()), make_context(Method(), seed=3), toy_batch(0).image
    own = ctx.forward(image)[0]
    asked = ctx.forward(image, dict(other.network.named_parameters()))[0]
    assert torch.equal(asked, other.forward(image)[0])
    assert torch.equal(ctx.forward(image)[0], own)
    assert not torch.equal(asked, own)
    assert ctx.forward_passes == 3


class HeldTwice(ToyNetwork):
    """Holds its layers under a second name, as MONAI's DynUNet does."""

    def __init__(self, in_channels, seed):
        super().__init__(in_channels, seed)
        self.again = torch.nn.ModuleList([self.stem, self.norm])


def test_a_network_that_holds_a_layer_under_two_names_gets_its_own_weights_back():
    ctx, other, image = make_context(Method()), make_context(Method(), seed=3), toy_batch(0).image
    ctx.network = HeldTwice(1, 0).train()
    own = [(name, value.data_ptr()) for name, value in ctx.network.named_parameters()]
    given = {name: value * 1.0 for name, value in other.network.named_parameters()}
    torch.testing.assert_close(ctx.forward(image, given)[0], other.forward(image)[0])
    assert [(name, value.data_ptr()) for name, value in ctx.network.named_parameters()] == own
    assert all(value.is_leaf for value in ctx.network.parameters())


def test_overridden_hooks_are_named():
    assert Method().hooks() == ()
    assert Tapping().hooks() == ("taps",)


def test_domain_losses_are_the_segmentation_losses_of_each_domains_samples():
    ctx, batch = make_context(Method()), toy_batch(0, n=5)
    outputs = ctx.forward(batch.image)
    expected = [ctx.seg_loss(ctx.forward(part.image), part.label) for part in ctx.domains_in(batch)]
    torch.testing.assert_close(ctx.domain_losses(outputs, batch), torch.stack(expected), rtol=1e-5, atol=1e-6)
    whole = ctx.seg_loss(outputs, batch.label)
    shares = torch.tensor([3 / 5, 2 / 5])
    torch.testing.assert_close((shares * torch.stack(expected)).sum(), whole, rtol=1e-5, atol=1e-6)
    assert abs(float((expected[0] - expected[1]).detach())) > 1e-3


def test_a_tap_can_read_the_batch_of_its_step():
    seen = []

    @dataclass(kw_only=True)
    class Looking(Method):
        def taps(self):
            return {"enc0": lambda feature, ctx: (seen.append(ctx.batch.domain), feature)[1]}

    ctx = make_context(Looking())
    assert ctx.batch is None
    for step in range(2):
        ctx.run_step(toy_batch(step))
    assert [domain.tolist() for domain in seen] == [[0, 1, 0, 1]] * 2
