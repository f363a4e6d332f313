"""What the phantom is made of: proton density, T1, T2, fat fraction and contrast uptake per tissue.

Sources, by the short names used in `Tissue.source`:

- BAZ: de Bazelaire et al., Radiology 2004;230:652-659, in vivo at 1.5 T and 3 T.
- STA: Stanisz et al., Magn Reson Med 2005;54:507-512 (whole blood).
- GOLD: Gold et al., AJR 2004;183:343-351 (subcutaneous fat). Its long T2 is used because coupled fat spins are
  refocused by a train of 180 degree pulses, which is why fat is bright in fast spin echo.
- ROO: Rooney et al., Magn Reson Med 2007;57:308-318 (CSF: T1 about 4.3 s at every field).
- ROH: Rohrer et al., Invest Radiol 2005;40:715-724 (relaxivity of gadopentetate in plasma).
- TIR: Tirkes et al., Abdom Radiol 2019;44:3133-3138 (extracellular volume of the normal pancreas 0.25 to 0.28).
- RANGE: no single measurement quoted; chosen within the published range.

Proton density (relative to water), fat fractions and the other extracellular volume fractions are RANGE throughout.
Checked against the papers' abstracts: BAZ at 3 T and TIR. The other numbers are quoted as commonly cited.
"""

from dataclasses import dataclass, replace

import numpy as np

PLASMA_GADOLINIUM_MMOL_L = 2.0
"""Plasma concentration about 70 s after 0.1 mmol/kg (RANGE); a tissue holds this times its extracellular volume."""

RELAXIVITY_L_PER_MMOL_S = {1.5: 4.1, 3.0: 3.7}
"""r1 of gadopentetate in plasma at 37 degrees C (ROH), by field in tesla."""


@dataclass(frozen=True, kw_only=True)
class Tissue:
    """One tissue; T1 and T2 are those of its water at (1.5 T, 3 T), except for `fat`, where they are the fat's own."""

    name: str
    pd: float
    t1_ms: tuple[float, float]
    t2_ms: tuple[float, float]
    fat_fraction: float
    extracellular: float
    source: str

    def relaxation_ms(self, field_t: float) -> tuple[float, float]:
        """T1 and T2 in ms at 1.5 or 3 tesla; any other field raises KeyError."""
        column = {1.5: 0, 3.0: 1}[field_t]
        return self.t1_ms[column], self.t2_ms[column]


def _tissue(
    name: str,
    t1_ms: tuple[float, float],
    t2_ms: tuple[float, float],
    rest: tuple[float, float, float],
    source: str,
) -> Tissue:
    pd, fat_fraction, extracellular = rest
    return Tissue(
        name=name,
        pd=pd,
        t1_ms=t1_ms,
        t2_ms=t2_ms,
        fat_fraction=fat_fraction,
        extracellular=extracellular,
        source=source,
    )


# name, T1 (1.5 T, 3 T), T2 (1.5 T, 3 T), (proton density, fat fraction, extracellular volume fraction), source
TISSUES: tuple[Tissue, ...] = (
    _tissue("air", (1000, 1000), (100, 100), (0.0, 0.0, 0.0), "no protons, so T1 and T2 have no meaning"),
    _tissue("fat", (288, 371), (165, 133), (0.90, 0.90, 0.02), "T1, T2 GOLD"),
    _tissue("muscle", (856, 898), (27, 29), (0.78, 0.02, 0.12), "T1, T2 BAZ"),
    _tissue("liver", (586, 809), (46, 34), (0.72, 0.03, 0.26), "T1, T2 BAZ"),
    _tissue("spleen", (1057, 1328), (79, 61), (0.79, 0.00, 0.34), "T1, T2 BAZ"),
    _tissue("pancreas", (584, 725), (46, 43), (0.74, 0.05, 0.27), "T1, T2 BAZ; extracellular TIR"),
    _tissue("kidney_cortex", (966, 1142), (87, 76), (0.81, 0.00, 0.55), "T1, T2 BAZ"),
    _tissue("kidney_medulla", (1412, 1545), (85, 81), (0.82, 0.00, 0.50), "T1, T2 BAZ"),
    _tissue("bowel_wall", (900, 1000), (40, 38), (0.78, 0.02, 0.28), "RANGE of smooth muscle"),
    _tissue("fluid", (2500, 2700), (400, 350), (0.95, 0.00, 0.00), "RANGE between bile and water with solutes"),
    _tissue("chyme", (700, 900), (120, 100), (0.80, 0.08, 0.00), "RANGE; gastrointestinal content varies widely"),
    _tissue("blood", (1441, 1932), (290, 275), (0.83, 0.00, 0.58), "T1, T2 STA; extracellular 1 - haematocrit 0.42"),
    _tissue("marrow", (549, 586), (49, 49), (0.65, 0.35, 0.10), "T1, T2 BAZ (L4 vertebra)"),
    _tissue("disc", (1000, 1150), (70, 65), (0.75, 0.00, 0.02), "RANGE"),
    _tissue("csf", (4300, 4300), (2000, 2000), (1.00, 0.00, 0.00), "T1 ROO; T2 RANGE"),
)
INDEX: dict[str, int] = {tissue.name: number for number, tissue in enumerate(TISSUES)}


def patient_tissues(rng: np.random.Generator) -> tuple[Tissue, ...]:
    """The table as one person has it: T1 and T2 vary by 5 % (1 SD), the pancreas holds 2 to 12 % fat."""
    varied = [_varied(tissue, rng) for tissue in TISSUES]
    pancreas = INDEX["pancreas"]
    varied[pancreas] = replace(varied[pancreas], fat_fraction=float(rng.uniform(0.02, 0.12)))
    return tuple(varied)


def _varied(tissue: Tissue, rng: np.random.Generator) -> Tissue:
    t1, t2 = np.exp(0.05 * rng.standard_normal(2))
    low_t1, high_t1 = tissue.t1_ms
    low_t2, high_t2 = tissue.t2_ms
    # One factor for both fields: the person differs from the mean, not the magnet.
    return replace(
        tissue,
        t1_ms=(low_t1 * float(t1), high_t1 * float(t1)),
        t2_ms=(low_t2 * float(t2), high_t2 * float(t2)),
    )
