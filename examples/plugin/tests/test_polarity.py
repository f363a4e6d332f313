"""What the plugin promises: dgsweep's conformance suite, and the one thing that only this method claims."""

import torch
from dgsweep.method.conformance import MethodConformance, make_context, toy_batch

from dgsweep_polarity import DECLARATION
from dgsweep_polarity.method import Polarity


class TestPolarity(MethodConformance):
    """Equals ERM at its identity, differs from it otherwise, resumes exactly, survives odd patches."""

    declaration = DECLARATION


def test_at_probability_one_every_sample_is_negated_and_no_label_changes() -> None:
    method, batch = Polarity(probability=1.0), toy_batch(0)
    (view,) = method.views(make_context(method), batch)
    assert torch.equal(view.image, -batch.image)
    assert torch.equal(view.label, batch.label)


def test_at_probability_zero_no_sample_changes() -> None:
    method, batch = Polarity(probability=0.0), toy_batch(0)
    (view,) = method.views(make_context(method), batch)
    assert torch.equal(view.image, batch.image)
