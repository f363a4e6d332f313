"""Does a method do what it says, and does it differ from ERM? Behind `dgsweep methods check` and the pytest class.

Everything runs on a synthetic two-domain batch and a network of two convolutions, in about a second on a CPU.
"""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from dgsweep.config.composition import part_names
from dgsweep.config.declaration import MethodDeclaration
from dgsweep.method.base import Batch, Method
from dgsweep.method.catalog import build_method, load_implementation
from dgsweep.method.context import Context
from dgsweep.method.likeness import difference, predicted, same_outcome, same_weights
from dgsweep.method.recipe import Recipe
from dgsweep.method.toy import PATCH, ToyNetwork, hidden_toy_batch, odd_batches, toy_batch, toy_unlabelled

STEPS = 6
ROUNDING = 1e-5
"""A method whose training or predictions differ from ERM's by less than this share of ERM's own is ERM in disguise."""
FLAT = {"all": 0.5}
"""What a method is told at each validation of the toy training."""
Outcome = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """What one check found."""

    check: str
    outcome: Outcome
    says: str


def check(declaration: MethodDeclaration) -> list[CheckResult]:
    """Run every check of the suite; none raises, a crash of the method is a failed check that says so."""
    if not declaration.requires.trainable:
        return [CheckResult(check="trains", outcome="skipped", says="the method is not trained")]
    if len(declaration.variants) <= 1:
        return [_guarded(name, test, declaration) for name, test in CHECKS.items()]
    return [
        replace(result, check=f"{result.check} ({variant})")
        for variant in declaration.variants
        for result in check(replace(declaration, variants=(variant,)))
    ]


def make_method(declaration: MethodDeclaration, values: Mapping[str, Any] | None = None) -> Method:
    """The method in its first variant with its defaults, some of them replaced."""
    method: Method = build_method(declaration, values)
    return method


def make_context(method: Method, *, n_domains: int = 2, seed: int = 0) -> Context:
    """A context around the toy network."""
    recipe = Recipe(budget_steps=STEPS, learning_rate=1e-2, momentum=0.9, schedule="constant", seed=seed, patch=PATCH)

    def build(number: int) -> ToyNetwork:
        return ToyNetwork(method.in_channels(1), number).train()

    return Context(build(seed), method, recipe, n_domains=n_domains, rebuild=build)


def trained(method: Method, *, batch: Callable[[int], Batch] = toy_batch, steps: int = STEPS) -> Context:
    """The context after some steps on toy batches."""
    ctx = make_context(method)
    advance(ctx, steps, batch)
    return ctx


def advance(ctx: Context, until: int, batch: Callable[[int], Batch] = toy_batch) -> None:
    """Train on toy batches, with a validation after each step; at the end of the budget training is finished.

    Unlabelled patches come with every batch, as in a trial of a method that needs them; others do not look at them.
    """
    while ctx.step < until:
        ctx.run_step(replace(batch(ctx.step), unlabelled=toy_unlabelled(ctx.step)))
        if ctx.step < STEPS:
            ctx.method.on_eval(ctx, FLAT)
        else:
            ctx.method.finish(ctx)


def _guarded(
    name: str, test: Callable[[MethodDeclaration], CheckResult], declaration: MethodDeclaration
) -> CheckResult:
    try:
        return test(declaration)
    except (RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError, AssertionError) as error:
        return CheckResult(check=name, outcome="failed", says=f"it crashed: {type(error).__name__}: {error}")


def _result(name: str, passed: bool, good: str, bad: str) -> CheckResult:
    return CheckResult(check=name, outcome="passed" if passed else "failed", says=good if passed else bad)


def _skip(name: str, why: str) -> CheckResult:
    return CheckResult(check=name, outcome="skipped", says=why)


def fields_match(declaration: MethodDeclaration) -> CheckResult:
    """The declared hyperparameters are exactly the fields of the class, and both ask for the same batch."""
    if len(part_names(declaration.name)) > 1:
        return _skip("fields match", "it is checked for each part")
    fields = set(getattr(load_implementation(declaration), "__dataclass_fields__", {}))
    declared = set(declaration.hyperparameters) | ({"variant"} if declaration.variants else set())
    odd = sorted(fields ^ declared)
    if odd:
        return _result("fields match", False, "", f"only on one side: {', '.join(odd)}")
    adapts = "adapt" in make_method(declaration).hooks()
    if adapts != declaration.requires.test_time:
        found = f"it {'has' if adapts else 'has no'} hook `adapt`, requires.test_time says {not adapts}"
        return _result("fields match", False, "", found)
    asked, promised = make_method(declaration).batch_spec().min_domains, declaration.requires.min_batch_domains
    bad = f"batch_spec asks for {asked} domains in a batch, requires.min_batch_domains says {promised}"
    return _result("fields match", asked == promised, "declaration and class agree", bad)


def equals_erm_at_identity(declaration: MethodDeclaration) -> CheckResult:
    """At its identity setting the method is ERM, bit for bit."""
    name = "identity equals ERM"
    if declaration.identity is None:
        reason = declaration.no_identity_reason
        return (
            _skip(name, reason)
            if reason
            else _result(name, False, "", "it declares neither an identity nor the reason why not")
        )
    same = same_outcome(trained(make_method(declaration, declaration.identity)), trained(Method()))
    bad = f"with {dict(declaration.identity)} weights or predictions differ from ERM's"
    return _result(name, same, "bit for bit", bad)


def differs_from_erm(declaration: MethodDeclaration) -> CheckResult:
    """With its defaults the method ends with other weights than ERM, or predicts differently: by more than rounding."""
    name = "differs from ERM"
    if declaration.name == "erm":
        return _skip(name, "it is ERM")
    share = difference(trained(make_method(declaration)), trained(Method()), make_context(Method()))
    found = f"weights or predictions differ by {share:.2g} of what ERM's training changed"
    return _result(name, share > ROUNDING, found, f"ERM in disguise: {found}")


def needs_no_label(declaration: MethodDeclaration) -> CheckResult:
    """A pretraining gives the same weights whether labels are there or, as in a trial, hidden."""
    name = "needs no label"
    if declaration.requires.phase != "pretrain":
        return _skip(name, "it trains with labels")
    same = same_weights(trained(make_method(declaration), batch=hidden_toy_batch), trained(make_method(declaration)))
    return _result(name, same, "the same without them", "other weights without labels: a trial gives it none")


def is_active(declaration: MethodDeclaration) -> CheckResult:
    """The method's own mechanism took part in at least one step or, at test time, in a prediction."""
    name = "active"
    if declaration.name == "erm":
        return _skip(name, "it has no mechanism of its own")
    ctx = trained(make_method(declaration))
    if not ctx.active_steps:
        predicted(ctx)
    good = f"active in {ctx.active_steps} of {STEPS} steps" if ctx.active_steps else "active at test time"
    bad = "it was active in no step and in no prediction (ctx.mark_active())"
    return _result(name, ctx.active_steps + ctx.active_cases > 0, good, bad)


def resumes_exactly(declaration: MethodDeclaration) -> CheckResult:
    """Stopped in the middle and resumed, it gives the same weights as the straight run."""
    straight = trained(make_method(declaration))
    half = trained(make_method(declaration), steps=STEPS // 2)
    resumed = make_context(make_method(declaration))
    resumed.load_state_dict(copy.deepcopy(half.state_dict()))
    advance(resumed, STEPS)
    same = same_outcome(straight, resumed)
    return _result(
        "resumes exactly",
        same,
        "bit for bit",
        "the resumed run gives other weights: keep state in ctx.state or ctx.modules",
    )


def survives_odd_patches(declaration: MethodDeclaration) -> CheckResult:
    """No NaN on a patch without foreground, a constant patch, and a batch of two."""
    bad = [
        what
        for what, batch in odd_batches().items()
        if not _finite(trained(make_method(declaration), batch=batch, steps=2), batch(0).image[:1])
    ]
    return _result("survives odd patches", not bad, "finite", f"not finite on: {', '.join(bad)}")


def _finite(ctx: Context, image: Tensor) -> bool:
    values = [*ctx.network.state_dict().values(), predicted(ctx, image)]
    return all(bool(torch.isfinite(value).all()) for value in values) and int(ctx.first_bad_step) < 0


def inverts_as_declared(declaration: MethodDeclaration) -> CheckResult:
    """On a ramp image, a method that declares contrast inversion shows the ramp upside down at times, others never."""
    name = "contrast inversion"
    method = make_method(declaration)
    ctx = make_context(method)
    ramp = torch.linspace(-2, 2, PATCH[0]).view(1, 1, -1, 1, 1).expand(4, 1, *PATCH).contiguous()
    batch = Batch(
        image=ramp, label=torch.zeros(4, *PATCH, dtype=torch.long), domain=torch.arange(4) % 2, case_ids=("r",) * 4
    )
    lowest = math.inf
    for step in range(30):
        ctx.step = step
        ctx.generator.manual_seed(step)
        for view in method.views(ctx, batch):
            if view.image.shape == ramp.shape:
                lowest = min(lowest, float((view.image[:, 0] * ramp[:, 0]).mean(dim=(1, 2, 3)).min()))
    if lowest is math.inf:
        return _skip(name, "its views are no images")
    seen, declared = "yes" if lowest < 0 else "no", declaration.requires.contrast_inversion
    return _result(name, seen == declared, f"declared and seen: {seen}", f"declared {declared}, seen {seen}")


def own_claim_holds(declaration: MethodDeclaration) -> CheckResult:
    """The property that the method claims for itself."""
    name, claim = "own claim", declaration.own_test
    if claim == "depends_on_domain_ids":
        swapped = trained(make_method(declaration), batch=_permuted)
        differs = not same_weights(trained(make_method(declaration)), swapped)
        return _result(
            name, differs, "permuting the domains changes the update", "permuting the domains changes nothing"
        )
    if claim == "zero_on_identical_domains":
        return _zero_on_identical_domains(name, declaration)
    return _skip(
        name, f"{claim}: shown by the method's own test" if claim else "it claims nothing that can be tested here"
    )


def _permuted(step: int) -> Batch:
    batch = toy_batch(step)
    return Batch(
        image=batch.image,
        label=batch.label,
        domain=batch.domain.flip(0) ^ (torch.arange(4) // 2),
        case_ids=batch.case_ids,
    )


def _zero_on_identical_domains(name: str, declaration: MethodDeclaration) -> CheckResult:
    method = make_method(declaration)
    ctx = make_context(method)
    ctx.step = STEPS - 1
    half = toy_batch(0, n=2)
    image, label = (torch.cat([part] * 2) for part in (half.image, half.label))
    batch = Batch(image=image, label=label, domain=torch.tensor([0, 0, 1, 1]), case_ids=half.case_ids * 2)
    terms = method.loss(ctx, batch, method.views(ctx, batch))
    penalties = {key: float(value.detach()) for key, value in terms.items() if key != "segmentation"}
    zero = bool(penalties) and all(abs(value) < 1e-5 for value in penalties.values())
    return _result(
        name, zero, "the penalty is zero on identical domains", f"penalties on identical domains: {penalties or 'none'}"
    )


CHECKS: dict[str, Callable[[MethodDeclaration], CheckResult]] = {
    "fields match": fields_match,
    "identity equals ERM": equals_erm_at_identity,
    "differs from ERM": differs_from_erm,
    "needs no label": needs_no_label,
    "active": is_active,
    "resumes exactly": resumes_exactly,
    "survives odd patches": survives_odd_patches,
    "contrast inversion": inverts_as_declared,
    "own claim": own_claim_holds,
}


class MethodConformance:
    """Pytest class for plugin authors: `class TestMine(MethodConformance): declaration = DECLARATION`."""

    declaration: MethodDeclaration

    def test_the_method_keeps_its_word(self) -> None:
        """Every check of the suite passes."""
        failed = [f"{result.check}: {result.says}" for result in check(self.declaration) if result.outcome == "failed"]
        assert not failed, "\n".join(failed)  # noqa: S101 - this is a test
