"""Strong views: formulas by hand, and what no intensity change may do."""

import torch

from dgsweep.method.intensity import jitter, strong_view


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def factors(gamma=1.0, brightness=1.0, contrast=1.0):
    return [torch.tensor([value]) for value in (gamma, brightness, contrast)]


def test_jitter_acts_in_the_range_of_the_image_and_is_clipped_by_it():
    image = torch.tensor([-1.0, 0.0, 1.0, 3.0]).view(1, 1, 4, 1, 1)  # in its range 0, 1/4, 1/2, 1
    for changed, expected in (
        (factors(), [0.0, 0.25, 0.5, 1.0]),
        (factors(gamma=2.0), [0.0, 0.0625, 0.25, 1.0]),
        (factors(brightness=1.5), [0.0, 0.375, 0.75, 1.0]),
        (factors(contrast=0.5), [0.21875, 0.34375, 0.46875, 0.71875]),
    ):
        found = (jitter(image, *changed).flatten() + 1) / 4
        torch.testing.assert_close(found, torch.tensor(expected))


def test_jitter_never_swaps_the_order_of_two_intensities():
    ramp = torch.linspace(-2, 2, 50).view(1, 1, 50, 1, 1).repeat(64, 1, 1, 1, 1)
    generator = stream()
    drawn = [0.5 + torch.rand(64, generator=generator) for _ in range(3)]
    assert float(jitter(ramp, *drawn).diff(dim=2).min()) >= 0
    assert float(jitter(ramp, *drawn).diff(dim=2).max()) > 0


def test_a_constant_image_stays_constant():
    image = torch.full((2, 1, 4, 4, 4), 3.0)
    torch.testing.assert_close(jitter(image, *[torch.tensor([0.7, 1.4])] * 3), image)


def test_a_strong_view_changes_samples_on_their_own_and_draws_the_same_from_the_same_stream():
    image = torch.randn(1, 1, 8, 8, 8, generator=stream(1)).repeat(32, 1, 1, 1, 1)
    shown = strong_view(image, 0.5, stream())
    assert torch.equal(shown, strong_view(image, 0.5, stream()))
    assert not torch.equal(shown, strong_view(image, 0.5, stream(2)))
    distance = (shown - image).abs().flatten(1).mean(1)
    assert len(distance.unique()) > 20
    assert float(distance.max()) > 0.3
    correlation = torch.stack(
        [torch.corrcoef(torch.stack([a, b]))[0, 1] for a, b in zip(shown.flatten(1), image.flatten(1), strict=True)]
    )
    assert float(correlation.min()) > 0.2


def test_strength_zero_is_the_image_itself_and_more_strength_changes_more():
    image = torch.randn(64, 1, 6, 6, 6, generator=stream(1))
    assert strong_view(image, 0.0, stream()) is image
    weak, strong = (float((strong_view(image, s, stream()) - image).abs().mean()) for s in (0.1, 0.5))
    assert strong > 2 * weak > 0
