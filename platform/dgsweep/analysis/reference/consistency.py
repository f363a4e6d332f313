"""Whether means that were printed beside each other can be true of the same cases."""

import math


def mean_jaccard_bounds(mean_dice: float) -> tuple[float, float]:
    """Least and largest mean Jaccard of cases whose Dice has this mean (both 0 to 1).

    Per case J = D / (2 - D), which is convex: Jensen gives J(mean) as the least mean, reached when all cases are alike;
    the chord from (0, 0) to (1, 1) gives `mean_dice` as the largest, reached when every case is perfect or missed.
    """
    return mean_dice / (2.0 - mean_dice), mean_dice


def least_dice_spread(mean_dice: float, mean_jaccard: float) -> float:
    """Least standard deviation of the cases' Dice with which both means can be true; NaN where none can.

    J(D) <= J(m) + J'(m) (D - m) + 2 (D - m)^2 on [0, 1], because J'' = 4 / (2 - D)^3 <= 4. The mean over cases gives
    mean J <= J(m) + 2 sd^2, so sd >= sqrt((mean J - J(m)) / 2).
    """
    low, high = mean_jaccard_bounds(mean_dice)
    if not low <= mean_jaccard <= high:
        return math.nan
    return math.sqrt((mean_jaccard - low) / 2.0)
