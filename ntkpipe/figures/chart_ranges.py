"""The ranges of the axes of a chart, and the texts at their ticks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ntkpipe.figures.chart import Chart, Plot, Scale, is_row
from ntkpipe.figures.packages import pd

MARGIN = 0.04  # of the range, on each side of an axis
SMALLEST = 0.3  # decades that a log axis has at least beyond the leading marks


class Range(NamedTuple):
    """The ends of an axis."""

    low: float
    high: float


def x_range(chart: Chart, panel: Plot) -> Range:
    """The range of x of all panels in the row of a panel that have its axis."""
    values = [
        chart.table.loc[
            is_row(chart.table, other.where, marks.where), _abscissa(chart, marks)
        ]
        for other in chart.panels
        if (other.row, other.x) == (panel.row, panel.x)
        for marks in chart.marks
    ]
    return _with_margin(panel.x, pd.concat(values), ())


def y_range(chart: Chart, panel: Plot) -> Range:
    """The range of y of all panels in the row of a panel that have its axis.

    Marks that do not lead, such as a linearised model that diverges, add at most half
    of the range of the others on each side.
    """
    leading: list[Any] = []
    others: list[Any] = []
    for other in chart.panels:
        if (other.row, other.y) != (panel.row, panel.y):
            continue
        for marks in chart.marks:
            if marks.mark != "rule":
                rows = is_row(chart.table, other.where, marks.where)
                columns = [name for name in (marks.y, marks.y2) if name]
                values = chart.table.loc[rows, columns].to_numpy(float).ravel()
                (leading if marks.leads else others).extend(values)
    return _with_margin(panel.y, leading or others, others)


def _abscissa(chart: Chart, marks: Any) -> str:
    return marks.y if marks.mark == "rule" else chart.x


def _with_margin(
    axis: Scale, leading: Sequence[float], others: Sequence[float]
) -> Range:
    """The ends of an axis that shows all leading values, and others as far as fits."""
    logarithmic = axis.scale == "log"
    first, second = (_finite(values, logarithmic) for values in (leading, others))
    if not len(first):
        return Range(1, 10) if logarithmic else Range(0, 1)
    if axis.lowest:
        first = np.maximum(first, first.max() + np.log10(axis.lowest))
    if axis.zero or axis.scale == "symlog":
        first = np.append(first, 0)
    low, high = first.min(), first.max()
    more = 0.5 * (high - low)
    if logarithmic:
        more = max(more, SMALLEST)
    if len(second) and not axis.lowest:
        low = max(min(low, second.min()), low - more)
        high = min(max(high, second.max()), high + more)
    if axis.ticks and not logarithmic:
        return Range(min(low, *axis.ticks), max(high, *axis.ticks))
    room = MARGIN * (high - low) or (0.1 if logarithmic else 0.05 * abs(high) or 0.5)
    if logarithmic:
        return Range(10 ** (low - room), 10 ** (high + room))
    if axis.scale == "symlog":
        return Range(0, 1.3 * high)  # room for marks at the end
    return Range(0 if axis.zero and low == 0 else low - room, high + room)


def _finite(values: Sequence[float], logarithmic: bool) -> np.ndarray:
    """The finite values, or the logarithms of those above 0."""
    array = np.asarray(values, float)
    array = array[np.isfinite(array)]
    return np.log10(array[array > 0]) if logarithmic else array


def first_positive(chart: Chart, panel: Plot) -> float:
    """The smallest positive x of the row of a panel."""
    values = [
        chart.table.loc[is_row(chart.table, other.where), chart.x]
        for other in chart.panels
        if other.row == panel.row
    ]
    x = pd.concat(values)
    return float(x[x > 0].min()) if (x > 0).any() else 1.0


# ------------------------------------------------------------------ ticks

_SIZE, _DIGITS = "abs(datum.value)", "'⁰¹²³⁴⁵⁶⁷⁸⁹'"
_POWER = f"floor(log({_SIZE}) / LN10 + 1e-9)"


def _digit(place: int) -> str:
    """The raised digit of the exponent at a place."""
    at = f"floor(abs({_POWER}) / {place}) % 10"
    return f"slice({_DIGITS}, {at}, {at} + 1)"


_RAISED = (
    f"({_POWER} < 0 ? '⁻' : '')"
    f" + (abs({_POWER}) > 99 ? {_digit(100)} : '')"
    f" + (abs({_POWER}) > 9 ? {_digit(10)} : '') + {_digit(1)}"
)
_MANTISSA = f"datum.value / pow(10, {_POWER})"
_LEAD = f"format({_MANTISSA}, '.3~g')"
NUMBER = (
    "datum.value === 0 ? '0' :"
    f" {_SIZE} >= 0.001 && {_SIZE} < 100000 ? format(datum.value, '~g') :"
    f" ({_LEAD} === '1' ? '10' : {_LEAD} + '·10') + {_RAISED}"
)
"""Expression of Vega for the text at a tick, as `text.tick` writes it: 0.02, 10⁻⁵."""


def labelled(span: str, low: float, high: float) -> str:
    """Expression of Vega: whether a tick of a log axis has a text; few on many decades.

    Args:
        span: expression of the ends that are shown, undefined before the first zoom.
        low: the lower end before.
        high: the upper end before.
    """
    ends = f"({span} ? {span}[1] / {span}[0] : {high / low:.4g})"
    shown = f"({ends} > 150 ? [1] : {ends} > 8 ? [1, 2, 5] : [1, 2, 3, 4, 5, 6, 8])"
    return f"({ends} < 3 || indexof({shown}, round({_MANTISSA})) >= 0)"


def decades(low: float, high: float) -> list[float]:
    """The powers of ten between two positive numbers."""
    powers = np.arange(np.ceil(np.log10(low)), np.floor(np.log10(high)) + 1)
    return [float(power) for power in 10.0**powers]
