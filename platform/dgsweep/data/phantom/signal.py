"""The signal equations: spoiled gradient echo, fast spin echo, contrast agent, and how water and fat add up."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dgsweep.data.phantom.tissues import INDEX, PLASMA_GADOLINIUM_MMOL_L, RELAXIVITY_L_PER_MMOL_S, TISSUES, Tissue

PROTON_MHZ_PER_T = 42.577
FAT_SHIFT_PPM = 3.4
"""Chemical shift between water and the main (methylene) fat peak; the smaller fat peaks are neglected."""


@dataclass(frozen=True, kw_only=True)
class SequenceSettings:
    """How a sequence is played out: times in ms, flip angle in degrees, `fat_left` = what suppression leaves of fat."""

    kind: Literal["gre", "fse"]
    tr_ms: float
    te_ms: float
    flip_deg: float = 90.0
    fat_left: float = 1.0
    contrast_agent: bool = False


def spoiled_gradient_echo(pd: float, t1_ms: float, *, tr_ms: float, flip_deg: float) -> float:
    """Steady state signal of a spoiled gradient echo (Ernst and Anderson 1966); T2* decay neglected, as TE << T2*."""
    recovery = np.exp(-tr_ms / t1_ms)
    flip = np.deg2rad(flip_deg)
    return float(pd * np.sin(flip) * (1 - recovery) / (1 - np.cos(flip) * recovery))


def fast_spin_echo(pd: float, t1_ms: float, t2_ms: float, *, tr_ms: float, te_ms: float) -> float:
    """Signal of a fast spin echo at its effective echo time: PD (1 - exp(-TR/T1)) exp(-TE/T2)."""
    return float(pd * (1 - np.exp(-tr_ms / t1_ms)) * np.exp(-te_ms / t2_ms))


def enhanced_t1_ms(t1_ms: float, *, relaxivity: float, mmol_per_l: float) -> float:
    """T1 in ms with contrast agent: 1/T1' = 1/T1 + r1 C, with r1 in l/(mmol s)."""
    return 1.0 / (1.0 / t1_ms + relaxivity * mmol_per_l / 1000.0)


def fat_phase_rad(te_ms: float, field_t: float) -> float:
    """Phase of fat against water at a gradient echo; pi at 2.3 ms and 1.5 T (opposed phase)."""
    return 2 * np.pi * FAT_SHIFT_PPM * PROTON_MHZ_PER_T * field_t * te_ms / 1000.0


def magnitude(
    water: NDArray[np.float32], fat: NDArray[np.float32], settings: SequenceSettings, field_t: float
) -> NDArray[np.float32]:
    """|water + fat exp(i phase)|: in a spin echo they add, in a gradient echo the echo time decides."""
    if settings.kind == "fse":
        return np.asarray(water + fat, dtype=np.float32)
    phase = fat_phase_rad(settings.te_ms, field_t)
    return np.hypot(water + np.float32(np.cos(phase)) * fat, np.float32(np.sin(phase)) * fat)


def pool_signals(tissue: Tissue, settings: SequenceSettings, field_t: float, fat: Tissue) -> tuple[float, float]:
    """Signal of the water and of the fat in a pure voxel of `tissue`; fat relaxes as `fat` does wherever it lies."""
    # What little water adipose tissue holds is taken to relax like that of muscle.
    water_like = TISSUES[INDEX["muscle"]] if tissue.name == "fat" else tissue
    water = _one_pool(water_like, settings, field_t, tissue.extracellular)
    lipid = _one_pool(fat, settings, field_t, 0.0) * settings.fat_left
    return tissue.pd * (1 - tissue.fat_fraction) * water, tissue.pd * tissue.fat_fraction * lipid


def _one_pool(tissue: Tissue, settings: SequenceSettings, field_t: float, extracellular: float) -> float:
    t1_ms, t2_ms = tissue.relaxation_ms(field_t)
    if settings.contrast_agent:
        relaxivity = RELAXIVITY_L_PER_MMOL_S[field_t]
        t1_ms = enhanced_t1_ms(t1_ms, relaxivity=relaxivity, mmol_per_l=PLASMA_GADOLINIUM_MMOL_L * extracellular)
    if settings.kind == "fse":
        return fast_spin_echo(1.0, t1_ms, t2_ms, tr_ms=settings.tr_ms, te_ms=settings.te_ms)
    return spoiled_gradient_echo(1.0, t1_ms, tr_ms=settings.tr_ms, flip_deg=settings.flip_deg)
