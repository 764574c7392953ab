"""The axis on which the page draws all claims: the accepted band is [−1, 1].

A claim has an accepted band [l, h], an estimate and an interval. The axis shows

    u(v) = (v − (l + h)/2) / ((h − l)/2),     s(u) = u                  if |u| ≤ 1,
                                              sign(u) (1 + ½ log₁₀|u|)  outside.

| band            | u(v)                | band on the axis |
| --------------- | ------------------- | ---------------- |
| [l, h], l < h   | as above            | [−1, 1]          |
| ≤ h             | 1 + 2 (v − h)/c     | [−∞, 1]          |
| ≥ l             | −1 + 2 (v − l)/c    | [−1, ∞]          |
| the number l    | (v − l)/c           | 0                |

c is |h| or |l|, so that the band of a positive number ≤ h is [0, h]. If this end is 0,
c is the width of the interval, or the distance of the estimate.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

END = 2.0
"""The axis ends at s = ±2, which is |u| = 100. Farther values stand at its ends."""


class Mark(NamedTuple):
    """A claim on the axis: positions s, from −2 to 2."""

    at: float
    """The estimate, or the published number if the band is a range of networks."""
    low: float
    """The lower end of the interval; `at` if there is no interval."""
    high: float
    band: tuple[float, float]
    predicted: float | None
    distance: float
    """Distance of the interval from the nearest edge of the band, in units of u; 0 if
    the interval contains an edge."""
    width: float
    """Width of the interval in units of u."""

    @property
    def beyond(self) -> bool:
        """Whether the estimate is farther away than the end of the axis."""
        return abs(self.at) >= END


def mark(row: Mapping[str, Any]) -> Mark | None:
    """The place of a row of claims.csv on the axis; None if it has no number on it."""
    is_range = row.get("interval") == "prediction"
    value = row["predicted"] if is_range else row["estimate"]
    low, high = (math.nan, math.nan) if is_range else (row["ci_low"], row["ci_high"])
    if not (math.isfinite(value) and (unit := _unit(row, value, low, high))):
        return None
    u, edges = unit
    ends = sorted(u(end) if math.isfinite(end) else u(value) for end in (low, high))
    if not math.isfinite(ends[0] + ends[1]):
        return None
    predicted = row.get("predicted", math.nan)
    return Mark(
        place(u(value)),
        place(ends[0]),
        place(ends[1]),
        (place(edges[0]), place(edges[1])),
        place(u(predicted)) if math.isfinite(predicted) else None,
        _distance(ends, edges),
        ends[1] - ends[0],
    )


def _distance(ends: list[float], edges: tuple[float, float]) -> float:
    """Distance of an interval from the nearest edge of the band."""
    if edges[0] == edges[1] and edges[0] in ends:
        return math.inf  # an exact number was found, so there is no edge to miss
    inside = edges[0] <= ends[0] and ends[1] <= edges[1]
    apart = ends[1] < edges[0] or ends[0] > edges[1]
    nearest = min(abs(end - edge) for end in ends for edge in edges)
    return nearest if inside or apart else 0.0


def place(u: float) -> float:
    """The position s(u) on the axis: linear within the band, logarithmic outside."""
    if abs(u) <= 1:
        return u
    return math.copysign(min(END, 1 + math.log10(min(abs(u), 1e9)) / 2), u)


def _unit(
    row: Mapping[str, Any], value: float, low: float, high: float
) -> tuple[Callable[[float], float], tuple[float, float]] | None:
    """The function u, and the band in units of u; None if there is no band."""
    bottom, top = row["low"], row["high"]
    finite = math.isfinite(bottom), math.isfinite(top)
    if finite == (False, False):
        return None
    if finite == (True, True) and bottom < top:
        middle, half = (bottom + top) / 2, (top - bottom) / 2
        return lambda v: (v - middle) / half, (-1.0, 1.0)
    edge = top if finite[1] else bottom
    spread = high - low if math.isfinite(high - low) else 0.0
    c = abs(edge) or spread or abs(value - edge) or 1.0
    if finite == (True, True):
        return lambda v: (v - edge) / c, (0.0, 0.0)
    if finite[1]:
        return lambda v: 1 + 2 * (v - edge) / c, (-math.inf, 1.0)
    return lambda v: -1 + 2 * (v - edge) / c, (-1.0, math.inf)
