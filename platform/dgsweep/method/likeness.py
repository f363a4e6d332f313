"""Are two trainings the same, and if not, by how much?"""

import math

import torch
from torch import Tensor

from dgsweep.method.context import Context
from dgsweep.method.networks import evaluating
from dgsweep.method.toy import toy_batch


def predicted(ctx: Context, image: Tensor | None = None) -> Tensor:
    """Class probabilities (K+1, X, Y, Z) of one toy case (1, C, X, Y, Z), after the method's test-time training."""
    image = toy_batch(99, n=1).image if image is None else image
    with ctx.adapted(image), torch.no_grad():
        own = ctx.method.predict_case(ctx, image[0])
        if own is not None:
            return own
        predictor = ctx.method.predictor(ctx)
        with evaluating(predictor):
            return torch.softmax(predictor(ctx.method.infer_input(ctx, image))[0][0], dim=0)


def same_outcome(first: Context, second: Context) -> bool:
    """Whether two contexts hold the same network and predict the same, bit for bit."""
    return same_weights(first, second) and torch.equal(predicted(first), predicted(second))


def same_weights(first: Context, second: Context) -> bool:
    """Whether two contexts hold the same network, bit for bit."""
    theirs = second.network.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in first.network.state_dict().items())


def difference(first: Context, second: Context, start: Context) -> float:
    """How far `first` is from `second`, as a share of how far `second` went from `start`.

    The larger share of the two that can be measured: of the weights, and of the predictions for a toy case. Infinite
    where the networks differ in shape.
    """
    ways = [_weights(ctx) for ctx in (first, second, start)]
    if len(ways[0]) != len(ways[1]):
        return math.inf
    predictions = [predicted(ctx).flatten() for ctx in (first, second, start)]
    return max(_share(*ways), _share(*predictions))


def _weights(ctx: Context) -> Tensor:
    return torch.cat([value.flatten().float() for value in ctx.network.state_dict().values()])


def _share(first: Tensor, second: Tensor, start: Tensor) -> float:
    return float((first - second).norm() / (second - start).norm().clamp(min=1e-12))
