"""A batch in parts gives the gradients of the whole batch, and each part has every domain's share."""

from dataclasses import replace

import pytest
import torch

from dgsweep.method.base import Method
from dgsweep.method.conformance import make_context, toy_batch
from dgsweep.method.micro_batch import cut, differences, part_count
from dgsweep.method.toy import toy_unlabelled


def gradients(ctx, batch) -> torch.Tensor:
    """Those of one step without the update: the step's own are still in place after it."""
    ctx.run_step(batch)
    return torch.cat([parameter.grad.flatten() for parameter in ctx.network.parameters()])


def in_parts(parts: int, norm=None):
    ctx = make_context(Method())
    ctx.recipe = replace(ctx.recipe, grad_clip=1e9)
    if norm is not None:
        ctx.network.norm = norm
    ctx.micro_batches = parts
    return ctx


def test_gradients_of_parts_add_up_to_those_of_the_whole_batch_for_erm():
    whole, parts = in_parts(1), in_parts(2)
    batch = toy_batch(0)
    torch.testing.assert_close(gradients(whole, batch), gradients(parts, batch), rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(whole.losses["segmentation"], parts.losses["segmentation"])
    assert whole.forward_passes == parts.forward_passes == 1
    half = gradients(in_parts(1), cut(batch, 2)[0])
    assert not torch.allclose(gradients(in_parts(1), batch), half, rtol=1e-2)


def test_with_batch_norms_they_do_not_and_that_is_said():
    torch.manual_seed(0)
    whole, parts = (in_parts(count, torch.nn.BatchNorm3d(8)) for count in (1, 2))
    batch = toy_batch(0)
    assert not torch.allclose(gradients(whole, batch), gradients(parts, batch), rtol=1e-3, atol=1e-6)
    assert differences(Method(), parts.network) == ["batch norms take their statistics from one part at a time"]
    assert differences(Method(), in_parts(1).network) == []


def test_each_part_has_as_many_patches_of_every_domain():
    batch = replace(toy_batch(0, n=8), domain=torch.tensor([0, 0, 1, 1, 0, 1, 0, 1]))
    for part in cut(batch, 4):
        assert sorted(part.domain.tolist()) == [0, 1]
    seen = [case for part in cut(batch, 4) for case in part.case_ids]
    assert sorted(seen) == sorted(batch.case_ids)


def test_unlabelled_patches_are_cut_alike_and_a_remainder_is_refused():
    batch = replace(toy_batch(0), unlabelled=toy_unlabelled(0))
    assert [len(part.unlabelled.case_ids) for part in cut(batch, 2)] == [2, 2]
    with pytest.raises(ValueError, match="4 patches cannot be cut into 3"):
        cut(batch, 3)


@pytest.mark.parametrize(
    ("size", "domains", "min_domains", "expected"),
    [(2, 1, 1, 2), (4, 2, 1, 2), (4, 2, 2, 2), (2, 2, 1, 2), (2, 2, 2, 1), (1, 1, 1, 1), (6, 4, 1, 6), (6, 4, 2, 1)],
)
def test_a_part_has_one_patch_of_each_domain_where_that_is_possible(size, domains, min_domains, expected):
    assert part_count(size, domains, min_domains) == expected
