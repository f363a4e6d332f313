"""Numbers and names as a reader sees them."""

import math


def method_name(arm: str, network: str, *, several_networks: bool) -> str:
    """A method as figures and headings name it: with its network where there are several."""
    return f"{arm} · {network}" if several_networks else arm


def number(value: float, digits: int = 3) -> str:
    """A number with fixed digits, or a dash where there is none."""
    return f"{value:.{digits}f}" if math.isfinite(value) else "–"


def signed(value: float, digits: int = 3) -> str:
    """A number with its sign (a true minus, so that it cannot be read as a dash)."""
    if not math.isfinite(value):
        return "–"
    return f"{'−' if value < 0 else '+'}{abs(value):.{digits}f}"


def interval(low: float, high: float, digits: int = 3, *, with_sign: bool = False) -> str:
    """`[low, high]`, or why there is none."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return "no interval"
    show = signed if with_sign else number
    return f"[{show(low, digits)}, {show(high, digits)}]"


def p_value(p: float) -> str:
    """A p value as journals print it."""
    if not math.isfinite(p):
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def duration(seconds: float) -> str:
    """Seconds as s, min or h."""
    if not math.isfinite(seconds):
        return "–"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 600:
        return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def count(number_of: int, noun: str, plural: str = "") -> str:
    """`1 patient`, `2 patients`."""
    return f"{number_of} {noun if number_of == 1 else plural or noun + 's'}"


def listed(names: list[str], most: int = 6) -> str:
    """Names joined for a sentence, the rest counted."""
    shown = names[:most]
    rest = len(names) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")
