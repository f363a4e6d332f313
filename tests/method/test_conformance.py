"""The conformance suite passes honest methods and finds each planted lie under its own name."""

import pytest
from planted_methods import (
    INVERTS,
    SIZE,
    BiasedGap,
    Clone,
    Crashing,
    Divider,
    DomainGap,
    Forgetful,
    GlobalNoise,
    Greedy,
    Idle,
    Inverter,
    Remembering,
    Rounding,
    Shift,
    SureOfItself,
    TwoFaced,
    declare,
)

from dgsweep.config.declaration import Hyperparameter, MethodDeclaration, Requires
from dgsweep.method.catalog import method_declaration
from dgsweep.method.conformance import CHECKS, MethodConformance, check, same_weights, trained


def failed(declaration: MethodDeclaration) -> set[str]:
    return {result.check for result in check(declaration) if result.outcome == "failed"}


def says(declaration: MethodDeclaration, name: str) -> str:
    return next(result.says for result in check(declaration) if result.check == name)


@pytest.mark.parametrize("name", ["erm", "gin"])
def test_a_built_in_method_keeps_its_word(name):
    assert failed(method_declaration(name)) == set()


@pytest.mark.parametrize(
    "honest",
    [
        declare(Shift),
        declare(Remembering),
        declare(Inverter, requires=INVERTS),
        declare(SureOfItself, requires=Requires(test_time=True)),
        declare(Greedy, requires=Requires(min_batch_domains=2)),
        declare(DomainGap, identity=None, no_identity_reason="losses are means of domains, not of samples"),
        declare(DomainGap, identity=None, no_identity_reason="as above", own_test="depends_on_domain_ids"),
        declare(DomainGap, identity=None, no_identity_reason="as above", own_test="zero_on_identical_domains"),
    ],
    ids=lambda declaration: f"{declaration.name}-{declaration.own_test or 'plain'}",
)
def test_an_honest_method_of_a_stranger_passes_every_check(honest):
    assert failed(honest) == set()


@pytest.mark.parametrize(
    ("planted", "check_name"),
    [
        (declare(Clone), "differs from ERM"),
        (declare(Idle), "active"),
        (declare(Forgetful), "resumes exactly"),
        (declare(Divider), "survives odd patches"),
        (declare(Inverter), "contrast inversion"),
        (declare(Shift, requires=INVERTS), "contrast inversion"),
        (declare(Shift, identity={"size": 1.0}), "identity equals ERM"),
        (declare(Shift, identity=None), "identity equals ERM"),
        (declare(SureOfItself, identity={"size": 1.0}), "identity equals ERM"),
        (declare(Shift, hyperparameters={**SIZE, "odd": Hyperparameter(default=1)}), "fields match"),
        (declare(Greedy), "fields match"),
        (declare(SureOfItself), "fields match"),
        (declare(Shift, requires=Requires(test_time=True)), "fields match"),
        (declare(Shift, requires=Requires(min_batch_domains=2)), "fields match"),
        (declare(Shift, own_test="depends_on_domain_ids"), "own claim"),
        (declare(Shift, own_test="zero_on_identical_domains"), "own claim"),
    ],
    ids=lambda item: item if isinstance(item, str) else item.name,
)
def test_a_planted_lie_is_found_by_its_check(planted, check_name):
    assert CHECKS[check_name](planted).outcome == "failed"


def test_noise_from_the_global_stream_is_the_same_in_a_resumed_run_for_it_is_seeded_at_each_step():
    assert CHECKS["resumes exactly"](declare(GlobalNoise)).outcome == "passed"


def test_a_penalty_that_is_not_zero_on_identical_domains_is_told_with_its_value():
    message = says(
        declare(BiasedGap, identity=None, no_identity_reason="a reason", own_test="zero_on_identical_domains"),
        "own claim",
    )
    assert "penalties on identical domains: {'gap'" in message


def test_a_clone_is_called_erm_in_disguise():
    assert "ERM in disguise" in says(declare(Clone), "differs from ERM")


def test_an_undeclared_field_is_named_and_nothing_raises():
    undeclared = declare(Shift, hyperparameters={}, identity={})
    assert says(undeclared, "fields match") == "only on one side: size"
    assert "it crashed: TypeError" in says(undeclared, "active")


def test_a_crash_is_a_failed_check_that_says_what_happened():
    assert "it crashed: " in says(declare(Crashing), "survives odd patches")


class TestErmThroughThePublicClass(MethodConformance):
    declaration = method_declaration("erm")


def test_the_public_class_fails_with_every_failed_check_named():
    class Mine(MethodConformance):
        declaration = declare(Clone)

    with pytest.raises(AssertionError, match="differs from ERM: ERM in disguise"):
        Mine().test_the_method_keeps_its_word()


def test_every_variant_is_checked_under_its_own_name():
    assert failed(declare(TwoFaced, variants=("paper", "as_shipped"))) == {"differs from ERM (as_shipped)"}
    assert failed(declare(TwoFaced, variants=("paper",))) == set()
    assert failed(declare(TwoFaced)) >= {"fields match"}


def test_a_method_that_differs_from_erm_by_rounding_only_is_found():
    assert not same_weights(trained(Rounding(size=1.0)), trained(Rounding(size=0.0)))
    assert failed(declare(Rounding)) == {"differs from ERM"}
