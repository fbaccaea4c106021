"""Figures in words: three significant digits, a unit, and never a 0 for what is not known.

Whatever is not finite counts as unknown: a reader must never see ``nan``, ``inf`` or ``None``.
"""

from __future__ import annotations

import math
import unicodedata

UNKNOWN = "not available"

_BLOCKS = "▏▎▍▌▋▊▉█"
_TIMES = ((1e3, "s"), (1.0, "ms"), (1e-3, "µs"), (1e-6, "ns"))
_SIZES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "KB"), (1.0, "B"))
_TURNS_TEXT = "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_BREAKS_LINE = "\t\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
_AMOUNTS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))


def unknown(reason: str | None = None) -> str:
    """What stands where a measurement is missing: ``not available (no GPU)``."""
    cause = visible(reason or "").strip().rstrip(".")
    return f"{UNKNOWN} ({cause})" if cause else UNKNOWN


def known(value: float | None) -> float | None:
    """`value`, or None if it is not a finite number."""
    return value if value is not None and math.isfinite(value) else None


def significant(value: float, digits: int = 3) -> str:
    """`value` to `digits` significant digits, without an exponent: ``1,230``, ``26.4``, ``0.0123``."""
    rounded = float(f"{value:.{digits}g}")
    if rounded == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(rounded))))
    return f"{rounded:,.{decimals}f}"


def duration(value_ms: float | None, reason: str | None = None) -> str:
    """A time given in milliseconds, in the unit that suits it: ``111 ms``, ``12.3 µs``, ``1.50 s``."""
    return _scaled(value_ms, _TIMES, "ms", reason)


def duration_interval(
    median: float | None, low: float | None, high: float | None, reason: str | None = None
) -> str:
    """A time with its 95% confidence interval, all in one unit: ``111 ms (95% CI 109 to 114)``."""
    value, low, high = known(median), known(low), known(high)
    if value is None or low is None or high is None:
        return duration(value, reason)
    factor, unit = _unit(value, _TIMES)
    return f"{significant(value / factor)} {unit} (95% CI {significant(low / factor)} to {significant(high / factor)})"


def size(value: float | None, reason: str | None = None) -> str:
    """Bytes in decimal units: ``90.9 MB``."""
    return _scaled(value, _SIZES, "B", reason)


def flop(value: float | None, reason: str | None = None) -> str:
    """Floating-point operations: ``22.4 GFLOP``."""
    if known(value) is None:
        return unknown(reason)
    return f"{_scaled(value, _AMOUNTS, '', reason)}FLOP"


def count(value: float | None, reason: str | None = None) -> str:
    """How many: ``22,713,216``, or ``1.5`` where a mean over calls is no whole number."""
    number = known(value)
    if number is None:
        return unknown(reason)
    return f"{round(number):,}" if abs(number - round(number)) < 1e-6 else significant(number)


def plural(number: float, noun: str) -> str:
    """``1 repeat``, ``45 repeats``."""
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"


def share(value: float | None, reason: str | None = None) -> str:
    """A fraction of 1 as per cent: ``83%``, ``0.8%``, ``<0.1%``."""
    number = known(value)
    if number is None:
        return unknown(reason)
    percent = number * 100
    if percent == 0:
        return "0%"
    if abs(percent) < 0.1:
        return "<0.1%" if percent > 0 else ">-0.1%"
    return f"{percent:.1f}%" if abs(percent) < 0.95 else f"{percent:.0f}%"


def ratio(value: float | None, reason: str | None = None) -> str:
    """A speed-up: two decimals near 1, where they matter, and none from 10 on: ``1.08x``, ``4.2x``, ``12x``."""
    number = known(value)
    if number is None:
        return unknown(reason)
    return f"{_factor(number)}x"


def ratio_interval(low: float, median: float, high: float) -> str:
    """A speed-up with its 95% confidence interval: ``4.2x (4.0 to 4.4)``."""
    ends = known(low), known(high)
    if ends[0] is None or ends[1] is None:
        return ratio(median)
    return f"{ratio(median)} ({_factor(ends[0])} to {_factor(ends[1])})"


def size_change(value: float | None) -> str:
    """A ratio of sizes in words: 0.38 is ``62% smaller``."""
    number = known(value)
    if number is None:
        return ""
    if abs(number - 1) < 0.005:
        return "same size"
    return f"{share(1 - number)} smaller" if number < 1 else f"{share(number - 1)} larger"


def score(value: float | None) -> str:
    """A quality score: four digits, more where it would else be rounded up to a flawless 1."""
    number = known(value)
    if number is None:
        return UNKNOWN
    for digits in range(4, 8):
        text = f"{number:.{digits}g}"
        if number == 1 or float(text) != 1:
            return text
    return "1"


def bar(value: float | None, width: int = 10) -> str:
    """A fraction of 1 as blocks of text, which survive every viewer; at most `width` characters."""
    number = known(value)
    eighths = 0 if number is None else round(max(0.0, min(1.0, number)) * width * 8)
    full, rest = divmod(eighths, 8)
    return "█" * full + (_BLOCKS[rest - 1] if rest else "")


def shorten(text: str, width: int) -> str:
    """`text` in `width` characters at most, cut in the middle: both ends of a qualified name tell something."""
    if len(text) <= width:
        return text
    if width < 4:
        return text[: max(0, width)]
    tail = (width - 1) * 2 // 3
    return text[: width - 1 - tail] + "…" + text[-tail:]


def cut(text: str, width: int) -> str:
    """`text` in `width` characters at most, cut at its end."""
    return text if len(text) <= width else text[: max(0, width - 1)] + "…" * (width > 0)


def visible(text: str) -> str:
    """`text` in one line, without characters that move a terminal's cursor or turn the direction of text."""
    return "".join(" " if char in _BREAKS_LINE else "\ufffd" if _is_control(char) else char for char in text)


def _is_control(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Cs") or char in _TURNS_TEXT


def _factor(value: float) -> str:
    if abs(value) < 1.495:
        return f"{value:.2f}"
    return f"{value:.1f}" if abs(value) < 9.95 else f"{value:,.0f}"


def _unit(value: float, units: tuple[tuple[float, str], ...]) -> tuple[float, str]:
    """The largest unit in which `value`, once rounded, is 1 or more."""
    rounded = abs(float(f"{value:.3g}"))
    return next((unit for unit in units if rounded >= unit[0] * (1 - 1e-9)), units[-1])


def _scaled(value: float | None, units: tuple[tuple[float, str], ...], zero: str, reason: str | None) -> str:
    number = known(value)
    if number is None:
        return unknown(reason)
    if number == 0:
        return f"0 {zero}"
    factor, unit = _unit(number, units)
    text = significant(number / factor)
    # there is no part of a byte
    return f"{text.removesuffix('.0').removesuffix('.00') if unit == 'B' else text} {unit}"
