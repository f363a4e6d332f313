"""Composed with a method that re-colours or deforms, a comparison of domains sees what was shown, image and label."""

from dataclasses import replace
from importlib import import_module

import pytest
import torch

from dgsweep.method.base import View
from dgsweep.method.conformance import STEPS, make_context, make_method, toy_batch

NAMES = ("vrex", "groupdro", "irm", "sd", "ib_erm", "eqrm", "coral", "mmd", "dann", "fishr", "rsc")


def terms(name: str, batch, views):
    method = make_method(import_module(f"dgsweep_methods.{name}").DECLARATION)
    ctx = make_context(method)
    ctx.step = STEPS - 1
    return {key: float(value.detach()) for key, value in method.loss(ctx, batch, views).items()}


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_on_a_view_is_that_of_a_batch_which_holds_it(name):
    batch = toy_batch(0)
    view = View(image=torch.tanh(batch.image).flip(2), label=batch.label.flip(1))
    found = terms(name, batch, [view])
    assert found == pytest.approx(terms(name, replace(batch, image=view.image, label=view.label), [view]))
    as_it_was = terms(name, batch, [View(image=batch.image, label=batch.label)])
    assert found != pytest.approx(as_it_was, rel=1e-4)
    wrong_label = terms(name, batch, [View(image=view.image, label=batch.label)])
    assert found != pytest.approx(wrong_label, rel=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_several_views_are_refused_in_words(name):
    batch = toy_batch(0)
    with pytest.raises(ValueError, match="one view of a batch, not for 2"):
        terms(name, batch, [View(image=batch.image, label=batch.label)] * 2)
