"""Modes of networks around an evaluation."""

from torch import nn

from dgsweep.method.networks import evaluating


def test_every_module_is_in_the_mode_that_it_was_in_after_an_evaluation_of_two_that_share_parts():
    inner, outer = nn.Sequential(nn.Dropout()).eval(), nn.Sequential(nn.Dropout())
    outer.append(inner)  # the outer one trains, its part does not
    with evaluating(inner, outer):
        assert not any(module.training for module in outer.modules())
    assert [module.training for module in outer.modules()] == [True, True, False, False]
