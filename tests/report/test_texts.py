import math

from dgsweep.report.heatmap import colour
from dgsweep.report.texts import count, duration, interval, listed, number, p_value, signed


def test_numbers_that_do_not_exist_are_a_dash_and_never_nan():
    assert [number(math.nan), signed(math.nan), p_value(math.nan), duration(math.nan)] == ["–"] * 4
    assert interval(math.nan, 0.2) == "no interval"


def test_numbers_are_written_as_journals_do():
    assert (number(0.12345), signed(-0.5, 2), signed(0.5, 2)) == ("0.123", "−0.50", "+0.50")
    assert (p_value(0.0004), p_value(0.0312)) == ("< 0.001", "0.031")
    assert (duration(45), duration(250), duration(1800), duration(9000)) == ("45 s", "4 min 10 s", "30 min", "2.5 h")
    assert (count(1, "patient"), count(2, "patient")) == ("1 patient", "2 patients")
    assert listed(["a", "b", "c"], most=2) == "a, b and 1 more"


def test_ink_is_legible_on_every_colour_of_the_scale():
    for step in range(101):
        background, ink = colour(step / 100)
        assert contrast(background, ink) >= 4.5


def contrast(first, second):
    """WCAG 2.1 contrast ratio."""
    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(code):
    channels = [int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
