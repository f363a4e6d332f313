"""The imaging centers, and the way from tissue fractions to an image: signal, blur, magnitude, bias, noise, gain."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from dgsweep.data.phantom.shapes import Volume, waves
from dgsweep.data.phantom.signal import SequenceSettings, magnitude, pool_signals
from dgsweep.data.phantom.tissues import INDEX, TISSUES, Tissue


@dataclass(frozen=True, kw_only=True)
class Center:
    """One center: its scanner, its grid, its image quality, and how it plays each sequence out.

    `blur_mm` is the standard deviation of the point spread, `snr` the spleen's signal over the noise of one channel,
    `bias` the standard deviation of the log of the multiplicative field, `gain` the arbitrary factor of the scanner.
    """

    name: str
    vendor: str
    field_t: float
    spacing_mm: tuple[float, float, float]
    blur_mm: float
    snr: float
    bias: float
    gain: float
    sequences: Mapping[str, SequenceSettings]


def _t1w(tr_ms: float, te_ms: float, flip_deg: float, fat_left: float) -> SequenceSettings:
    return SequenceSettings(
        kind="gre", tr_ms=tr_ms, te_ms=te_ms, flip_deg=flip_deg, fat_left=fat_left, contrast_agent=True
    )


def _oop(tr_ms: float, te_ms: float, flip_deg: float) -> SequenceSettings:
    return SequenceSettings(kind="gre", tr_ms=tr_ms, te_ms=te_ms, flip_deg=flip_deg)


def _t2w(tr_ms: float, te_ms: float) -> SequenceSettings:
    return SequenceSettings(kind="fse", tr_ms=tr_ms, te_ms=te_ms)


# Timing, suppression and quality are chosen within what clinical protocols use; opposed phase is 2.3 ms at 1.5 T and
# 1.15 ms at 3 T by physics. Vendors are made up.
CENTERS: tuple[Center, ...] = (
    Center(
        name="C1", vendor="vendor_a", field_t=3.0, spacing_mm=(2.9, 2.9, 3.5), blur_mm=1.3, snr=24, bias=0.10,
        gain=6000,
        sequences={"T1W": _t1w(4.0, 1.9, 12, 0.08), "OOP": _oop(150, 1.15, 60), "T2W": _t2w(3500, 90)},
    ),
    Center(
        name="C2", vendor="vendor_b", field_t=1.5, spacing_mm=(3.2, 3.2, 3.0), blur_mm=1.6, snr=15, bias=0.08,
        gain=4000,
        sequences={"T1W": _t1w(4.8, 2.2, 12, 0.12), "OOP": _oop(130, 2.30, 70), "T2W": _t2w(3000, 85)},
    ),
    Center(
        name="C3", vendor="vendor_a", field_t=1.5, spacing_mm=(3.0, 3.0, 4.0), blur_mm=1.4, snr=19, bias=0.12,
        gain=9000,
        sequences={"T1W": _t1w(5.2, 2.4, 10, 0.06), "OOP": _oop(180, 2.25, 80), "T2W": _t2w(4000, 95)},
    ),
    Center(
        name="C4", vendor="vendor_c", field_t=3.0, spacing_mm=(3.1, 3.1, 5.0), blur_mm=1.8, snr=21, bias=0.20,
        gain=2000,
        sequences={"T1W": _t1w(3.7, 1.3, 10, 0.15), "OOP": _oop(160, 1.20, 55), "T2W": _t2w(2800, 100)},
    ),
)  # fmt: skip
SEQUENCES: tuple[str, ...] = tuple(CENTERS[0].sequences)


def noiseless(fractions: Volume, center: Center, settings: SequenceSettings, tissues: tuple[Tissue, ...]) -> Volume:
    """Signal (x, y, z) before bias and noise; `fractions` has axes (tissue, x, y, z).

    Water and fat are blurred apart and only then added: a boundary voxel that holds both is dark in opposed phase.
    """
    pools = [pool_signals(tissue, settings, center.field_t, tissues[INDEX["fat"]]) for tissue in tissues]
    sigma = [center.blur_mm / step for step in center.spacing_mm]
    water, fat = (
        gaussian_filter(np.tensordot(np.array(pool, dtype=np.float32), fractions, axes=1), sigma, truncate=3.0)
        for pool in zip(*pools, strict=True)
    )
    return magnitude(water, fat, settings, center.field_t)


def noise_sigma(center: Center, settings: SequenceSettings) -> float:
    """Standard deviation of the noise in each channel, from the signal of the spleen in the table."""
    spleen = pool_signals(TISSUES[INDEX["spleen"]], settings, center.field_t, TISSUES[INDEX["fat"]])
    return sum(spleen) / center.snr


def receive(
    signal: Volume, axes_mm: tuple[Volume, Volume, Volume], center: Center, sigma: float, rng: np.random.Generator
) -> Volume:
    """The image (x, y, z) as stored: signal times a smooth field, Rician noise with `sigma`, times the gain."""
    grid = np.meshgrid(*axes_mm, indexing="ij")
    field = np.exp(np.float32(center.bias) * waves(grid[0], grid[1], grid[2], rng, (300.0, 700.0)))
    real, imaginary = rng.standard_normal((2, *signal.shape), dtype=np.float32) * np.float32(sigma)
    return np.hypot(signal * field + real, imaginary) * np.float32(center.gain)
