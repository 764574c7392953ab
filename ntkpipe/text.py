"""Formats of numbers, intervals, durations and counts, for the whole project.

The functions return plain text: a minus sign is −, a power is 10⁻³, and nothing is
escaped. The page turns powers into superscripts and addresses into links, see `powers`
and `links`.
"""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

NONE = "–"  # shown in place of a missing number
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
LOWERED = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "−0123456789")
# 10⁻³, n^−½, α^−4/3, e^{−λt}
POWER = re.compile(
    r"(?<=10)(?P<raised>[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)"
    r"|\^(?:\{(?P<braces>[^{}]+)\}|\((?P<brackets>[^()]+)\)"
    r"|(?P<plain>[−-]?\w+(?:[./]\w+)?))"
)
# https://…, 10.1000/… and 1806.07572, in which the first four digits are a month
ADDRESS = re.compile(
    r"(?P<url>https?://[^\s<>()\"']*[^\s<>()\"'.,;:])"
    r"|(?:doi:\s?)?(?<![\w./])(?P<doi>10\.\d{4,9}/[^\s<>()\"']*[^\s<>()\"'.,;:])"
    r"|(?:arXiv:\s?)?(?<![\w.])"
    r"(?P<arxiv>\d\d(?:0[1-9]|1[0-2])\.\d{4,5}(?:v\d+)?)(?!\w)",
    re.IGNORECASE,
)


# ------------------------------------------------------------------ numbers


def number(value: float | None, digits: int = 3, zeros: bool = True) -> str:
    """A number with `digits` significant digits; empty unless the number is finite.

    Without `zeros`, 0.50 is written 0.5, and 1.00·10⁻⁶ is written 10⁻⁶.
    """
    if value is None or not math.isfinite(value):
        return ""
    if value == 0:
        return "0"
    power = ""
    if 10 <= abs(value) < 1e5:
        before = len(str(int(abs(value))))
        lead = f"{value:,.{max(0, digits - before)}f}"
    elif 1e-3 <= abs(value) < 10:
        lead = f"{value:#.{digits}g}"
    else:
        lead, _, exponent = f"{value:.{digits - 1}e}".partition("e")
        power = f"10{str(int(exponent)).translate(RAISED)}"
    if not zeros and "." in lead:
        lead = lead.rstrip("0").rstrip(".")
    if power:
        only = not zeros and lead in ("1", "-1")
        lead = f"{lead[:-1] if only else f'{lead}·'}{power}"
    return minus(lead)


def numbers(
    ends: Iterable[float | None], *others: float | None, zeros: bool = True
) -> list[str]:
    """Numbers with the fewest significant digits, 3 to 6, at which the ends differ."""
    ends = list(ends)
    for digits in (3, 4, 5, 6):
        texts = [number(value, digits, zeros) for value in ends]
        if len(set(texts)) == len(texts):
            break
    else:
        digits = 3
    return [number(value, digits, zeros) for value in (*ends, *others)]


def decimal(value: float, width: float = 1.0) -> str:
    """A number with two decimals, or more if its interval is narrow."""
    decimals = next((k for k in range(2, 6) if width > 2 * 10.0**-k), 6)
    text = f"{value:.{decimals}f}"
    return minus(text if float(text) else text.lstrip("-"))


def brief(value: float) -> str:
    """A number with at most three digits and no final zeros: 0.5, 1e−05, 1,234."""
    if not math.isfinite(value):
        return NONE
    return minus(f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}")


def tick(value: float) -> str:
    """A positive number on an axis: 0.02, 5, 300; a power as $10^{-5}$ (mathtext)."""
    if 1e-3 <= value < 1e5:
        return f"{value:.6g}"
    exponent = math.floor(math.log10(value) + 1e-9)
    lead = f"{value / 10.0**exponent:.3g}"
    power = rf"10^{{{exponent}}}"
    return f"${power}$" if lead == "1" else rf"${lead}\cdot{power}$"


def minus(text: str) -> str:
    """The text of a number with the minus sign − for each hyphen."""
    return text.replace("-", "−")


# ------------------------------------------------------------------ words


def count(value: float | None) -> str:
    """A whole number: 1,234; a dash if it is missing or 0."""
    return NONE if value is None or value != value or not value else f"{int(value):,}"


def many(number: int, one: str, more: str = "") -> str:
    """`1 claim`, `2 claims`; the plural is `one` with an s unless it is given."""
    return f"{number:,} {one if number == 1 else more or f'{one}s'}"


def share(part: float, total: int, what: str = "network") -> str:
    """`3 of 4 networks`, `1 of 1 network`."""
    return f"{part:.0f} of {total} {what}{'' if total == 1 else 's'}"


def duration(seconds: float, estimate: bool = False) -> str:
    """`83 s`, `12 min`, `2.0 h`; estimates are whole numbers: `3 h`, `5 days`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    if not estimate:
        return f"{seconds / 3600:.1f} h"
    days = seconds >= 1.5 * 86_400
    return f"{seconds / 86_400:.0f} days" if days else f"{seconds / 3600:.0f} h"


def cell(row: Mapping[str, Any], column: str) -> str:
    """The text in a column of a row; empty if the value is missing."""
    value = row.get(column)
    return "" if value is None or value != value else str(value)


# ------------------------------------------------------------------ for the page


def powers(text: str) -> list[str]:
    """Split a text at exponents: text, exponent, text, exponent, …, text.

    `10⁻³ of n^½` gives `10`, `−3`, ` of n`, `½` and an empty text.
    """
    parts, end = [], 0
    for found in POWER.finditer(text):
        exponent = found[found.lastgroup or 0]
        parts += [text[end : found.start()], minus(exponent.translate(LOWERED))]
        end = found.end()
    return [*parts, text[end:]]


def links(text: str) -> list[tuple[str, str]]:
    """Split a text into (part, address); address is "" unless the part has one.

    URLs, DOIs and arXiv identifiers have an address.
    """
    parts, end = [], 0
    for found in ADDRESS.finditer(text):
        address = found["url"] or {
            "doi": f"https://doi.org/{found['doi']}",
            "arxiv": f"https://arxiv.org/abs/{found['arxiv']}",
        }.get(found.lastgroup or "", "")
        parts += [(text[end : found.start()], ""), (found[0], address)]
        end = found.end()
    return [*parts, (text[end:], "")]
