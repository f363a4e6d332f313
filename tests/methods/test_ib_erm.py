"""IB-ERM: the variance over samples within each domain, as DomainBed takes it, and not over channels."""

import numpy as np
import pytest
import torch

from dgsweep.method.base import Batch
from dgsweep.method.conformance import STEPS, MethodConformance, make_context, make_method, toy_batch
from dgsweep_methods.ib_erm import DECLARATION
from dgsweep_methods.ib_erm.method import feature_variance


def test_two_domains_by_hand():
    # Unbiased variances of the columns: (1, 3), (5, 5): 2 and 0; of (0, 2), (3, 2), (6, 2): 9 and 0. Means 1 and 4.5.
    groups = [torch.tensor([[1.0, 5.0], [3.0, 5.0]]), torch.tensor([[0.0, 2.0], [3.0, 2.0], [6.0, 2.0]])]
    assert float(feature_variance(groups)) == pytest.approx((1 + 4.5) / 2)
    assert float(feature_variance([torch.cat(groups)])) != pytest.approx((1 + 4.5) / 2)


def test_a_domain_of_one_vector_counts_as_zero():
    assert float(feature_variance([torch.ones(1, 4), torch.tensor([[0.0], [2.0]])[:, :1]])) == pytest.approx(1.0)


def test_the_term_is_the_variance_of_the_bottlenecks_voxels_in_each_domain():
    method, batch = make_method(DECLARATION, {"voxels": 4096, "penalty": 3.0}), toy_batch(0)
    ctx = make_context(method)
    ctx.step = STEPS - 1
    found = method.loss(ctx, batch, method.views(ctx, batch))
    feature = ctx.features["bottleneck"].detach().numpy()
    by_domain = [np.moveaxis(feature[index::2], 1, 0).reshape(8, -1) for index in (0, 1)]
    expected = np.mean([rows.var(axis=1, ddof=1).mean() for rows in by_domain])
    assert float(found["bottleneck"].detach()) == pytest.approx(3.0 * expected, rel=1e-4)
    over_channels = feature.var(axis=1).mean()
    assert expected != pytest.approx(over_channels, rel=1e-2)


def test_before_annealing_it_is_erm():
    method, batch = make_method(DECLARATION, {"anneal": 0.5}), toy_batch(0)
    ctx = make_context(method)
    assert set(method.loss(ctx, batch, method.views(ctx, batch))) == {"segmentation"}
    for _ in range(STEPS):
        ctx.run_step(batch)
    assert ctx.active_steps == 2  # at 0.5 the ramp is still 0


def test_a_batch_of_one_domain_has_its_own_variance():
    method, batch = make_method(DECLARATION), toy_batch(0, n=2)
    ctx = make_context(method)
    ctx.step = STEPS - 1
    only = Batch(image=batch.image, label=batch.label, domain=torch.ones(2, dtype=torch.long), case_ids=batch.case_ids)
    assert float(method.loss(ctx, only, method.views(ctx, only))["bottleneck"].detach()) > 0


class TestIbErmKeepsItsWord(MethodConformance):
    declaration = DECLARATION
