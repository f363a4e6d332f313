"""The signal equations against numbers worked out by hand, and what they must do to water and fat."""

import math
from dataclasses import replace

import numpy as np
import pytest

from dgsweep.data.phantom.acquisition import CENTERS, noiseless
from dgsweep.data.phantom.signal import (
    SequenceSettings,
    enhanced_t1_ms,
    fast_spin_echo,
    fat_phase_rad,
    magnitude,
    pool_signals,
    spoiled_gradient_echo,
)
from dgsweep.data.phantom.tissues import INDEX, TISSUES, patient_tissues

OPPOSED = SequenceSettings(kind="gre", tr_ms=150.0, te_ms=2.3, flip_deg=70.0)
IN_PHASE = replace(OPPOSED, te_ms=4.6)


def test_a_spoiled_gradient_echo_at_90_degrees_is_saturation_recovery():
    # TR = T1 ln 2 lets half of the magnetisation come back: 0.8 x 0.5.
    assert spoiled_gradient_echo(0.8, 100.0, tr_ms=100.0 * math.log(2), flip_deg=90.0) == pytest.approx(0.4)


def test_a_spoiled_gradient_echo_at_60_degrees_has_the_ernst_value():
    # E1 = 1/2, cos 60 = 1/2: sin 60 x (1/2) / (3/4) = 2/3 x 0.8660254.
    value = spoiled_gradient_echo(1.0, 100.0, tr_ms=100.0 * math.log(2), flip_deg=60.0)
    assert value == pytest.approx(0.57735027)


def test_the_spoiled_gradient_echo_is_largest_at_the_ernst_angle():
    tr_ms, t1_ms = 50.0, 700.0
    ernst = math.degrees(math.acos(math.exp(-tr_ms / t1_ms)))
    best = spoiled_gradient_echo(1.0, t1_ms, tr_ms=tr_ms, flip_deg=ernst)
    assert best > spoiled_gradient_echo(1.0, t1_ms, tr_ms=tr_ms, flip_deg=ernst - 3)
    assert best > spoiled_gradient_echo(1.0, t1_ms, tr_ms=tr_ms, flip_deg=ernst + 3)


def test_a_fast_spin_echo_decays_with_t2_and_recovers_with_t1():
    # 1 - 1/4 = 3/4 recovered, 1/8 left after three half lives of T2.
    value = fast_spin_echo(1.0, 1000.0, 30.0, tr_ms=1000 * math.log(4), te_ms=30 * math.log(8))
    assert value == pytest.approx(0.75 / 8)


def test_contrast_agent_shortens_t1_by_its_relaxivity():
    # 1/1 s + 4 l/(mmol s) x 0.25 mmol/l = 2 per second.
    assert enhanced_t1_ms(1000.0, relaxivity=4.0, mmol_per_l=0.25) == pytest.approx(500.0)
    assert enhanced_t1_ms(1000.0, relaxivity=4.0, mmol_per_l=0.0) == pytest.approx(1000.0)


@pytest.mark.parametrize(("te_ms", "field_t"), [(2.303, 1.5), (1.1515, 3.0)])
def test_fat_opposes_water_at_half_the_period_of_its_shift(te_ms, field_t):
    # 3.4 ppm of 63.87 MHz is 217 Hz, whose half period is 2.30 ms.
    assert fat_phase_rad(te_ms, field_t) == pytest.approx(math.pi, rel=2e-3)


def _mixture(fat_share: float, settings: SequenceSettings) -> float:
    """Signal of a voxel that holds muscle and, to `fat_share`, adipose tissue, no blur, 1.5 T."""
    fractions = np.zeros((len(TISSUES), 1, 1, 1), dtype=np.float32)
    fractions[INDEX["muscle"]] = 1 - fat_share
    fractions[INDEX["fat"]] = fat_share
    center = replace(CENTERS[1], blur_mm=0.0)
    return float(noiseless(fractions, center, settings, TISSUES)[0, 0, 0])


def test_a_half_water_half_fat_voxel_is_darker_than_both_in_opposed_phase():
    assert _mixture(0.5, OPPOSED) < 0.8 * min(_mixture(0.0, OPPOSED), _mixture(1.0, OPPOSED))


def test_somewhere_on_a_boundary_between_water_and_fat_the_opposed_phase_signal_vanishes():
    ramp = np.linspace(0.0, 1.0, 101)
    assert min(_mixture(share, OPPOSED) for share in ramp) < 0.03 * _mixture(0.0, OPPOSED)
    assert min(_mixture(share, IN_PHASE) for share in ramp) > 0.9 * _mixture(0.0, IN_PHASE)


def test_a_half_water_half_fat_voxel_lies_between_both_in_phase():
    low, high = sorted((_mixture(0.0, IN_PHASE), _mixture(1.0, IN_PHASE)))
    assert low < _mixture(0.5, IN_PHASE) < high


def test_equal_water_and_fat_cancel_in_opposed_phase_and_add_in_a_spin_echo():
    one = np.ones((1, 1, 1), dtype=np.float32)
    assert magnitude(one, one, OPPOSED, 1.5)[0, 0, 0] == pytest.approx(0.0, abs=0.02)
    assert magnitude(one, one, SequenceSettings(kind="fse", tr_ms=3000, te_ms=90), 1.5)[0, 0, 0] == pytest.approx(2.0)


def test_fat_suppression_takes_fat_and_leaves_water():
    fat, muscle = TISSUES[INDEX["fat"]], TISSUES[INDEX["muscle"]]
    water_on, fat_on = pool_signals(muscle, replace(OPPOSED, fat_left=0.1), 1.5, fat)
    water_off, fat_off = pool_signals(muscle, OPPOSED, 1.5, fat)
    assert water_on == pytest.approx(water_off)
    assert fat_on == pytest.approx(0.1 * fat_off)


def test_a_person_differs_from_the_table_by_one_factor_at_both_fields():
    liver = INDEX["liver"]
    own = patient_tissues(np.random.default_rng(3))[liver].t1_ms
    assert own[0] / own[1] == pytest.approx(TISSUES[liver].t1_ms[0] / TISSUES[liver].t1_ms[1])
    assert own != TISSUES[liver].t1_ms


def test_the_table_holds_every_tissue_once():
    assert len(INDEX) == len(TISSUES)
    assert all(0 <= t.pd <= 1 and 0 <= t.fat_fraction <= 1 and min(t.t1_ms + t.t2_ms) > 0 for t in TISSUES)
