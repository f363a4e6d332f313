"""`a+b`: both mechanisms run, each hook has one owner, and what collides is refused by name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pytest
from planted_methods import Shift, TwoFaced, declare
from torch import Tensor

from dgsweep.config.composition import compose_declarations, part_names
from dgsweep.config.declaration import Requires
from dgsweep.errors import MethodError
from dgsweep.method.base import Batch, BatchSpec, Method, View
from dgsweep.method.catalog import declarations_for, method_declaration, method_declarations
from dgsweep.method.composition import composed
from dgsweep.method.conformance import check, make_method, same_weights, trained
from dgsweep.method.context import Context


@dataclass(kw_only=True)
class Shrink(Method):
    """Penalises large logits and counts its steps."""

    weight: float

    def batch_spec(self) -> BatchSpec:
        return BatchSpec(min_domains=2)

    def loss(self, ctx: Context, batch: Batch, views: Sequence[View]) -> Mapping[str, Tensor]:
        ctx.mark_active()
        penalty = sum(ctx.forward(view.image)[0].square().mean() for view in views)
        return {**super().loss(ctx, batch, views), "shrink": self.weight * penalty}

    def after_step(self, ctx: Context) -> None:
        ctx.state["steps"] = ctx.state.get("steps", 0) + 1


def both(size: float = 1.0, weight: float = 0.5) -> Method:
    return composed({"shift": Shift, "shrink": Shrink})(**{"shift.size": size, "shrink.weight": weight})


def test_both_mechanisms_change_the_update():
    contexts = [trained(both()), trained(both(size=0.0)), trained(both(weight=0.0))]
    assert not any(same_weights(one, other) for one in contexts for other in contexts if one is not other)
    assert contexts[0].state == {"steps": contexts[0].step}


def test_with_one_part_silent_it_is_the_other_part_alone():
    assert same_weights(trained(both(weight=0.0, size=0.7)), trained(Shift(size=0.7)))
    assert not same_weights(trained(both(weight=0.1, size=0.7)), trained(Shift(size=0.7)))
    assert same_weights(trained(both(weight=0.3, size=0.0)), trained(Shrink(weight=0.3)))


@dataclass(kw_only=True)
class Ending(Method):
    """Notes the end of training."""

    name: str

    def finish(self, ctx: Context) -> None:
        ctx.state.setdefault("ended", []).append(self.name)


def test_training_ends_for_every_part():
    method = composed({"one": Ending, "two": Ending})(**{"one.name": "first", "two.name": "second"})
    assert trained(method).state == {"ended": ["first", "second"]}


def test_a_batch_satisfies_every_part():
    assert both().batch_spec().min_domains == 2
    assert both().hooks() == ("views", "batch_spec", "loss", "after_step")


def test_parts_that_need_the_same_hook_are_refused_by_name():
    with pytest.raises(MethodError, match="one and two both need views"):
        composed({"one": Shift, "two": Shift})(**{"one.size": 1.0, "two.size": 1.0})


def test_parts_that_tap_the_same_place_are_refused_by_name():
    @dataclass(kw_only=True)
    class Tapping(Method):
        place: str = "stem"

        def taps(self):
            return {self.place: lambda features, ctx: features}

    with pytest.raises(MethodError, match="one and two both need the tap stem"):
        composed({"one": Tapping, "two": Tapping})()
    assert set(composed({"one": Tapping, "two": Tapping})(**{"two.place": "deep"}).taps()) == {"stem", "deep"}


def test_the_declaration_of_a_composition_holds_the_needs_of_all_parts():
    one = declare(Shift, requires=Requires(contrast_inversion="yes"), forward_passes_per_step=2.0)
    other = declare(
        TwoFaced, requires=Requires(min_source_domains=3, min_batch_domains=2), variants=("paper", "as_shipped")
    )
    whole = compose_declarations([one, other])
    assert whole.name == "shift+twofaced"
    assert set(whole.hyperparameters) == {"shift.size", "twofaced.size"}
    assert whole.identity == {"shift.size": 0.0, "twofaced.size": 0.0}
    assert whole.requires == Requires(contrast_inversion="yes", min_source_domains=3, min_batch_domains=2)
    assert whole.forward_passes_per_step == 2.0
    assert whole.variants == ("paper", "as_shipped")


def test_a_raised_recipe_of_any_part_raises_that_of_the_whole():
    def version(first: int, second: int) -> int:
        parts = [declare(Shift, recipe_version=first), declare(TwoFaced, recipe_version=second)]
        return compose_declarations(parts).recipe_version

    assert len({version(1, 1), version(2, 1), version(1, 2), version(2, 2)}) == 4


def test_a_method_is_not_composed_with_itself():
    with pytest.raises(MethodError, match="cannot be composed with itself"):
        compose_declarations([declare(Shift), declare(Shift)])


def test_installed_methods_compose_through_the_catalog():
    whole = method_declaration("gin+erm")
    assert [result for result in check(whole) if result.outcome == "failed"] == []
    assert same_weights(trained(make_method(whole)), trained(make_method(method_declaration("gin"))))
    known = declarations_for(["erm", "gin+erm", "gin+nobody"])
    assert set(known) == {*method_declarations(), "gin+erm"}
    assert part_names("gin + erm") == ("gin", "erm")
