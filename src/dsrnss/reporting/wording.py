"""How numbers are put in words, the same in the page and in the terminal."""

import math

MISSING = "-"
"""Stands for a number that does not exist."""


def percent(value: float) -> str:
    """A fraction as percent with one decimal, without the sign; "-" for nan."""
    return MISSING if math.isnan(value) else f"{100 * value:.1f}"


def signed(value: float) -> str:
    """A difference of fractions in percentage points, always signed; "-" for nan."""
    if math.isnan(value):
        return MISSING
    text = f"{100 * value:+.1f}"
    return "0.0" if float(text) == 0 else text.replace("-", "\N{MINUS SIGN}")


def clock(seconds: float) -> str:
    """A duration as people say it: "8 s", "4 min 05 s", "1 h 02 min"."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def trend(value: float) -> str:
    """Whether a difference, rounded as it is shown, is "up", "down", "even" or "missing"."""
    if math.isnan(value):
        return "missing"
    shown = round(100 * value, 1)
    return "up" if shown > 0 else "down" if shown < 0 else "even"
