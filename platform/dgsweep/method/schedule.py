"""Learning-rate schedules as pure functions of the step."""

import math

WARM_UP = 0.2
"""Share of the budget in which one_cycle climbs."""


def learning_rate_at(step: int, budget_steps: int, peak: float, schedule: str) -> float:
    """Learning rate of one step.

    `poly`: peak (1 - t)^0.9 (nnU-Net); `cosine`: half a cosine to zero; `one_cycle`: a linear climb over the first
    fifth, then half a cosine; `constant`. t is the share of the budget that is spent.
    """
    spent = min(step / budget_steps, 1.0)
    if schedule == "poly":
        return peak * (1.0 - spent) ** 0.9
    if schedule == "cosine":
        return peak * 0.5 * (1.0 + math.cos(math.pi * spent))
    if schedule == "one_cycle":
        if spent < WARM_UP:
            return peak * (0.04 + 0.96 * spent / WARM_UP)
        return peak * 0.5 * (1.0 + math.cos(math.pi * (spent - WARM_UP) / (1.0 - WARM_UP)))
    return peak
