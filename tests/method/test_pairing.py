"""Partners come from other domains, each with equal chance."""

import torch

from dgsweep.method.pairing import partner_from_other_domain


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_partner_is_of_another_domain_and_every_such_sample_is_drawn():
    domain = torch.tensor([0, 1, 2, 0, 1])
    drawn = torch.stack([partner_from_other_domain(domain, stream(seed))[0] for seed in range(200)])
    assert bool((domain[drawn] != domain).all())
    assert set(drawn[:, 0].tolist()) == {1, 2, 4}
    # 200 draws over three places: 67 expected each, deviation 7.
    assert all(40 <= int((drawn[:, 0] == place).sum()) <= 94 for place in (1, 2, 4))


def test_a_sample_without_another_domain_is_its_own_partner_and_is_told_so():
    partner, found = partner_from_other_domain(torch.tensor([3, 3, 3]), stream())
    assert partner.tolist() == [0, 1, 2]
    assert not bool(found.any())
    assert bool(partner_from_other_domain(torch.tensor([3, 0, 3]), stream())[1].all())


def test_equal_streams_give_equal_partners():
    domain = torch.arange(40) % 4
    first, again, other = (partner_from_other_domain(domain, stream(seed))[0] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
