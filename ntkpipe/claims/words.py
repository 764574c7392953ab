"""Texts about the result of a claim, for the page, the terminal and the manual.

The texts are plain: a minus sign is −, a power is 10⁻³, nothing is escaped.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ntkpipe.text import cell, many, number, numbers

NOTE = "note"
"""The name of a note in a detail; the text shows the note without the name."""

NATURES = {
    "law": (("law or number", "laws and numbers"), "as expected"),
    "identity": (("identity", "identities"), "verified"),
    "control": (("control", "controls"), "refuted"),
}
"""The natures of claims: one, several, and what is said if a verdict is as expected."""

BANDS = {
    "before": "",
    "after pilot": ", band set after a pilot",
    "after result": ", band set after a result",
}
"""What `tally` says of laws, by the moment at which their band was set."""

KINDS = {"prediction": "prediction range"}
OFF = "within the margin, significantly off the prediction"

Value = float | str | tuple[tuple[str, float], ...]
"""A number, a text, or a series of numbers, each with a label."""
Detail = tuple[tuple[str, Value], ...]
"""Further results of a claim: each value with its name."""


def tally(rows: Iterable[Mapping[str, Any]]) -> str:
    """How many verdicts are as expected, for each nature of a claim.

    Laws whose band was set after a pilot, or after a result, are counted apart from the
    other laws. A law that is known to be contradicted is on neither side.
    """
    rows = list(rows)
    counted = [row for row in rows if not cell(row, "known")]
    parts = []
    for nature, (names, word) in NATURES.items():
        own = [row for row in counted if row["nature"] == nature]
        groups = [(names, word, own)]
        if nature == "law":
            groups = [
                (names, word + BANDS[moment], [r for r in own if r["set"] == moment])
                for moment in BANDS
            ]
        parts += [_met(*group) for group in groups if group[-1]]
    if known := len(rows) - len(counted):
        laws = many(known, "law")
        parts.append(f"{laws} known to be contradicted, counted on neither side")
    return "; ".join(parts)


def _met(names: tuple[str, str], word: str, rows: Sequence[Mapping[str, Any]]) -> str:
    met = sum(bool(row["as_expected"]) for row in rows)
    return f"{met} of {many(len(rows), *names)} {word}"


def predicted(row: Mapping[str, Any]) -> str:
    """The predicted value of a row of claims.csv; empty if the row has none."""
    return number(row.get("predicted"), 4, zeros=False)


def estimate(row: Mapping[str, Any]) -> tuple[str, str]:
    """The estimate of a claim and its interval; each is empty if it is missing.

    Both have enough digits to distinguish the ends of the interval.
    """
    low, high, value = numbers([row["ci_low"], row["ci_high"]], row["estimate"])
    return value, f"[{low}, {high}]" if value and low and high else ""


def measured(row: Mapping[str, Any]) -> str:
    """Estimate and interval of a row of claims.csv: −0.99 [−1.02, −0.96]."""
    return " ".join(filter(None, estimate(row)))


def level(row: Mapping[str, Any]) -> str:
    """Level and kind of the interval of a row of claims.csv: `95 % two-sided`.

    The level of a one-sided interval is that of each end; empty without an interval.
    """
    confidence, kind = row.get("level", math.nan), cell(row, "interval")
    if kind in ("", "none"):
        return ""
    percent = 100 * (1 - confidence)
    # two digits of 1 − level, so that 99.9999 % is not 100 %
    digits = 1 - math.floor(math.log10(percent) + 1e-9)
    shown = f"{100 - percent:.{digits}f}".rstrip("0").rstrip(".")
    return f"{shown} % {KINDS.get(kind, kind)}"


def off(row: Mapping[str, Any]) -> bool:
    """Whether a supported claim is within its margin, but off its prediction.

    Its interval lies in the band and excludes the predicted number.
    """
    low, predicted, high = (row[name] for name in ("ci_low", "predicted", "ci_high"))
    # NaN, where there is no interval or no prediction, compares as false
    return row["verdict"] == "supported" and (predicted < low or predicted > high)


def accepted(row: Mapping[str, Any]) -> str:
    """The accepted band of a row of claims.csv; empty if the row has none.

    `[0.9, 1.1]`; `≤ 2` or `≥ 2` if one end is infinite.
    """
    low, high = numbers([row.get("low"), row.get("high")], zeros=False)
    if low and high:
        return low if row["low"] == row["high"] else f"[{low}, {high}]"
    return f"≥ {low}" if low else f"≤ {high}" if high else ""


def detail(row: Mapping[str, Any]) -> str:
    """The further results (`detail`) of a row of claims.csv, as text."""
    written = cell(row, "detail")
    pairs = json.loads(written) if written else {}
    return "; ".join(_shown(name, value) for name, value in pairs.items())


def _shown(name: str, value: Any) -> str:
    if name == NOTE:
        return value
    if isinstance(value, dict):
        series = (f"{label}: {_value(one)}" for label, one in value.items())
        return f"{name} {', '.join(series)}"
    return f"{name} {_value(value)}"


def _value(value: float | str | None) -> str:
    # a whole number is a width or a count
    if isinstance(value, (str, int)):
        return str(value)
    return number(value, zeros=False) or "–"


def as_json(pairs: Detail) -> str:
    """A detail as a cell of a csv: a JSON object; null for NaN and infinity."""

    def plain(value):
        if isinstance(value, tuple):
            return {label: plain(one) for label, one in value}
        known = isinstance(value, (str, int)) or math.isfinite(value)
        return value if known else None

    names = {name: plain(value) for name, value in pairs}
    return json.dumps(names, ensure_ascii=False, allow_nan=False)


def notes(*texts: str) -> Detail:
    """The notes that are not empty, as the last entry of a detail."""
    text = joined(*texts)
    return ((NOTE, text),) if text else ()


def joined(*texts: str) -> str:
    """The distinct texts that are not empty, joined by semicolons."""
    return "; ".join(dict.fromkeys(filter(None, texts)))


def statistic(name: str) -> str:
    """The name of a statistic in a sentence."""
    return {"std": "standard deviation"}.get(name, name.replace("_", " "))


def listed(values: Sequence) -> str:
    """Values, separated by commas."""
    return ", ".join(map(str, values))
