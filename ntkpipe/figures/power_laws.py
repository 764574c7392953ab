"""Power laws in a panel: points, line, interval, predicted slope, and legend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ntkpipe.claims.fits import ScalingFit
from ntkpipe.figures.axes import (
    entry,
    jitter,
    log_ticks,
    rows_where,
    width_axis,
    wrapped,
)
from ntkpipe.figures.chart import Marks
from ntkpipe.figures.packages import maxes, mlines, mpatches, mtransforms, pd
from ntkpipe.figures.style import GREY, INK, LINEARIZED, STATISTICS
from ntkpipe.text import decimal, minus


class Law(NamedTuple):
    """A power law of a picture."""

    rows: pd.DataFrame
    """Its rows of the table."""
    panel: str
    name: str
    """What distinguishes it in its panel."""
    color: str
    place: int
    """Its place among the colours, from 0."""
    lw: float
    """Width of its line."""


def draw_laws(
    ax: maxes.Axes, laws: Sequence[Law], abscissa: str, narrow: bool
) -> float | None:
    """Draw the power laws of a panel with a legend below; return where all fits begin.

    Returns None if the fits begin at different abscissas, or at the first point.
    """
    begins = [_begin(law.rows) for law in laws]
    begin = begins[0] if len(set(begins)) == 1 else None
    handles = [_draw_law(ax, law, begin is None, narrow) for law in laws]
    shown = sorted(
        {x for law in laws for x in rows_where(law.rows, part="statistic")["x"]}
    )
    width_axis(ax, shown, abscissa, begins, 4 if narrow else 6)
    if any((law.rows["value"] > 0).any() for law in laws):
        ax.set_yscale("log", nonpositive="mask")
        log_ticks(ax)
    if begin is not None:
        left, right = ax.get_xlim()[0], _between(shown, begin)
        ax.axvspan(left, right, color="#f1f1f1", zorder=0)
        ax.set_xlim(left=left)
    # below the axis' label, which is 32 points high with its ticks
    down = mtransforms.ScaledTranslation(0, -0.44, ax.figure.dpi_scale_trans)
    ax.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0, 0),
        bbox_transform=ax.transAxes + down,
        borderaxespad=0,
        borderpad=0,
        handlelength=1.6,
    )
    return begin


def _begin(part: pd.DataFrame) -> float | None:
    """The smallest abscissa of the fit, if there are points below it."""
    first = rows_where(part, part="fit")["x"].min()
    return first if first > 1.0001 * part["x"].min() else None


def _between(shown: Sequence[float], edge: float) -> float:
    """The geometric mean of the last abscissa below the fit and the first one in it."""
    before = max(x for x in shown if x < edge / 1.0001)
    return float(np.sqrt(before * edge))


def _draw_law(ax: maxes.Axes, law: Law, say_begin: bool, narrow: bool) -> mlines.Line2D:
    """Draw one power law; return its legend entry.

    Overlapping laws stay visible: thin lines lie over thick ones, open markers around
    filled ones.
    """
    color = law.color
    seed, mean, fit, predicted = (
        rows_where(law.rows, part=kind)
        for kind in ("seed", "statistic", "fit", "predicted")
    )
    look: dict[str, Any] = {"color": color, "marker": "osD^v"[law.place % 5]}
    look |= {"ms": 4.2, "mec": "white", "mew": 0.6}
    if law.place:
        look |= {"ms": 5.6, "mew": 1.0, "mfc": "none", "mec": color}
    each = max(seed.groupby("x").size().max(), 1) if len(seed) else 1
    spread = 0.03 * np.log(law.rows["x"].max() / law.rows["x"].min())
    look_of_seeds: dict[str, Any] = {
        "alpha": float(np.clip(4 / each, 0.12, 0.45)),
        "ms": 3.2,
        "mew": 0,
    }
    at = jitter(seed["x"], spread)
    ax.plot(at, seed["value"], ".", color=color, zorder=1.5, **look_of_seeds)
    ax.plot("x", "value", data=mean, ls="", zorder=5, **look)
    if seed.empty:
        ax.vlines(mean["x"], mean["low"], mean["high"], color=color, linewidth=1.2)
    ax.fill_between(
        fit["x"], fit["low"], fit["high"], color=color, alpha=0.25, linewidth=0
    )
    ax.plot("x", "value", data=fit, color=color, lw=law.lw)
    ax.plot("x", "value", data=predicted, color=INK, lw=1, ls=LINEARIZED, zorder=4)
    words = slope_words(law.rows, say_begin)
    lines = [f"{wrapped(law.name, 36 if narrow else 48)}:"] if law.name else []
    long = narrow or len(", ".join(words)) > 46
    lines.append((",\n" if long else ", ").join(words))
    return entry("\n".join(lines), lw=law.lw, **look)


def slope_words(part: pd.DataFrame, say_begin: bool) -> list[str]:
    """For example: slope −0.98 [−1.02, −0.95] from 256 on; predicted −1."""
    fit = part[part["part"] == "fit"]
    if fit.empty:
        return ["no width in the fitted range"]
    first = fit.iloc[0]
    if np.isnan(first["slope"]):
        said = str(first["note"]) if pd.notna(first["note"]) else "no slope"
        return [said if said.startswith("no slope") else f"no slope: {said}"]
    slope, low, high = first[["slope", "slope_low", "slope_high"]]
    said = decimal(slope)
    if high - low < 1e-3:  # rounding, or an exact number
        said = decimal(slope, 0.01)
    elif low < high:
        said = "{} [{}, {}]".format(
            *(decimal(v, high - low) for v in (slope, low, high))
        )
    begin = _begin(part) if say_begin else None
    words = [f"slope {said}" + (f" from {begin:g} on" if begin else "")]
    if np.isfinite(first["predicted"]):
        words.append("predicted " + minus(f"{first['predicted']:g}"))
    return words


def law_handles(
    table: pd.DataFrame, statistic: str | None, edges: Sequence[float]
) -> list[Any]:
    """Legend entries that all power laws share: points, lines and shades."""
    points: dict[str, Any] = {"color": GREY, "ls": ""}
    handles: list[Any] = []
    if statistic:
        name = STATISTICS[statistic]
        handles.append(entry(name, marker="o", mec="white", ms=6, **points))
    if (table["part"] == "seed").any():
        handles.append(entry("one seed", marker=".", alpha=0.6, **points))
    handles.append(entry("fit", color=GREY))
    if table.loc[table["part"] == "fit", "low"].notna().any():
        levels = sorted(table["level"].dropna().unique())
        shown = " or ".join(f"{100 * level:.4g}" for level in levels)
        label = f"{shown} % interval"
        handles.append(mpatches.Patch(color=GREY, alpha=0.25, lw=0, label=label))
    if (table["part"] == "predicted").any():
        handles.append(entry("predicted", color=INK, lw=1, ls=LINEARIZED))
    if edges:
        below = f" (below {edges[0]:g})" if len(set(edges)) == 1 else ""
        label = f"not fitted{below}"
        handles.append(mpatches.Patch(fc="#f1f1f1", ec="#d5d5d5", label=label))
    return handles


def law_marks(table: pd.DataFrame, statistic: str) -> list[Marks]:
    """The marks of all power laws in an interactive chart."""
    fit, mean = {"part": "fit"}, {"part": "statistic"}
    level = table["level"].max()
    interval = f"{100 * level:.4g} % interval" if level == level else "interval"
    marks = [
        Marks("strip", "value", where={"part": "seed"}, name="one seed"),
        Marks("band", "low", "high", fit, f"{interval} of the fit"),
        Marks("line", "value", where=fit, name="fit", each=("variant", "metric")),
        Marks(
            "line",
            "value",
            where={"part": "predicted"},
            name="predicted slope",
            dash=LINEARIZED,
            color=INK,
            each=("variant", "metric"),
        ),
        Marks("point", "value", where=mean, name=STATISTICS[statistic]),
    ]
    if not (table["part"] == "seed").any():
        marks.append(Marks("range", "low", "high", mean, "interval of a point"))
    return marks


def through_centre(law: ScalingFit, slope: float) -> np.ndarray:
    """The line of a predicted slope through the centre of the points."""
    centre, at_centre = (np.exp(np.log(v).mean()) for v in (law.widths, law.means))
    return at_centre * (law.grid / centre) ** slope
