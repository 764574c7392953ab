"""Eigenvalues of kernels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np

from ntkpipe.figures.axes import (
    color_entries,
    draw_range,
    entry,
    index_axis,
    log_ticks,
    outer_labels,
    panel_grid,
    panel_titles,
    range_handle,
    rows_where,
    shared_legend,
    unique_values,
)
from ntkpipe.figures.base import (
    SYMBOLS,
    Arrays,
    KernelFigure,
    LimitFigure,
    Prediction,
    concatenated,
    kernel_at,
    shown_seeds,
)
from ntkpipe.figures.chart import SEEDS, Chart, Dash, Marks, Plot, Scale
from ntkpipe.figures.packages import maxes, mfigure, pd
from ntkpipe.figures.style import GREY, INK, LIMIT, LINEARIZED, PAGE, Look, width_colors
from ntkpipe.section import section
from ntkpipe.text import minus

INDEX, ZERO = "index of the eigenvalue", "rounding: zero up to here"
SLOPE = "The predicted slope is in the picture to download."
ROUNDING: Look = {"color": GREY, "lw": 1, "ls": ":"}


@section
class Spectrum(Prediction, KernelFigure, LimitFigure):
    """Eigenvalues of the kernel over N against their index, log–log."""

    kind: Literal["spectrum"] = "spectrum"
    when: tuple[Literal["before", "after"], ...] = ("before", "after")
    """Before or after training, or both."""
    of_networks: ClassVar[tuple[str, ...]] = ("network",)

    def table(self, measurements: pd.DataFrame, arrays: Arrays) -> pd.DataFrame:
        """Median and 10 – 90 % range over seeds of each |eigenvalue|, limit at width 0.

        `rounding` is N·eps times the largest eigenvalue; smaller ones count as 0.
        """
        frames, seen = [], set()
        for variant, width in self._runs(arrays):
            network = arrays("network", variant, width)
            seeds = shown_seeds(network, None)
            for when in self.when if len(seeds) else ():
                index = {"before": 0, "after": -1}[when]
                kernels = [kernel_at(network, self.kernel, s, index) for s in seeds]
                common = {"variant": variant, "width": width, "when": when}
                frames.append(eigenvalues(np.stack(kernels)).assign(**common))
            if self.limit and variant not in seen:
                seen.add(variant)
                limit = arrays("limit", variant)[f"{self.kernel}_train_train"]
                common = {"variant": variant, "width": 0, "when": "limit"}
                frames.append(eigenvalues(limit[None]).assign(**common))
        columns = ["variant", "width", "when", "index", "median", "low", "high"]
        return concatenated(frames, [*columns, "rounding"])

    def _lacks_runs(self, table: pd.DataFrame) -> bool:
        return table.empty  # the limit can be shown alone

    def draw(self, table: pd.DataFrame, width: float = PAGE) -> mfigure.Figure:
        """The picture of a table, with the predicted slope of each variant."""
        slopes = {v: self.slope(v) for v in unique_values(table, "variant")}
        return super().draw(table.assign(predicted=table["variant"].map(slopes)), width)

    def columns(self, table: pd.DataFrame) -> Chart:
        """Lines with bands; a panel for each variant, a colour for each width."""
        variants, (colors, lines) = unique_values(table, "variant"), _looks(table)
        x, y = Scale(INDEX, "log"), Scale(self._label, "log")
        titles = variants if len(variants) > 1 else [""]
        panels = [
            Plot({"variant": variant}, x, y, title)
            for variant, title in zip(variants, titles, strict=True)
        ]
        marks = [Marks("band", "low", "high", {"when": tuple(lines)}, SEEDS)]
        for when, dash in lines.items():
            name = f"{when} training"
            marks.append(
                Marks("line", "median", where={"when": when}, name=name, dash=dash)
            )
        limit: Look = {
            "color": INK,
            "dash": LIMIT if colors else "-",
            "name": "infinite width",
        }
        marks.append(Marks("line", "median", where={"when": "limit"}, **limit))
        if not colors:
            marks.append(Marks("scatter", "median", color=INK))
        if has_zeros(table):
            rounding: Look = {"color": GREY, "dash": ":", "name": ZERO, "leads": False}
            marks.append(Marks("line", "rounding", each=("width", "when"), **rounding))
        notes = [SLOPE] if any(np.isfinite(self.slope(v)) for v in variants) else []
        names = {width: f"n = {width}" for width in colors}
        return Chart(table, "index", panels, marks, "width", colors, names, notes=notes)

    @property
    def _label(self) -> str:
        return f"eigenvalue of {SYMBOLS[self.kernel]}/N"

    def picture(self, table: pd.DataFrame) -> mfigure.Figure:
        """A panel for each variant; colour is width, dashed is before training."""
        variants = unique_values(table, "variant")
        colors, lines = _looks(table)
        figure, axes = panel_grid(
            1,
            len(variants),
            height=2.4,
            sharex=True,
            sharey=True,
        )
        largest = int(table["index"].max())
        for ax, variant in zip(axes[0], variants, strict=True):
            part = rows_where(table, variant=variant)
            _draw_eigenvalues(ax, part, colors, lines, largest <= 64)
            _draw_prediction(ax, part)
            _draw_zeros(ax, part)
            ax.set(xscale="log", xlabel=INDEX, ylabel=self._label)
            ax.set_yscale("log", nonpositive="mask")
            log_ticks(ax)
            index_axis(ax, largest)
        panel_titles(axes, [""], variants if len(variants) > 1 else [""])
        outer_labels(axes)
        shared_legend(figure, _handles(table, colors, lines))
        return figure


def _looks(table: pd.DataFrame) -> tuple[dict[int, str], dict[str, Dash]]:
    """Colours of widths, and lines before and after training."""
    colors = width_colors(sorted({n for n in table["width"] if n}))
    moments = [w for w in ("before", "after") if (table["when"] == w).any()]
    return colors, dict(zip(moments[::-1], ("-", LINEARIZED), strict=False))


def _draw_eigenvalues(
    ax: maxes.Axes,
    part: pd.DataFrame,
    colors: Mapping[int, str],
    lines: Mapping[str, Any],
    few: bool,
) -> None:
    """The eigenvalues of networks, with points if they are few, and of the limit."""
    for (width, when), curve in part.groupby(["width", "when"]):
        if width == 0:
            look: Look = {"color": INK, "ls": LIMIT, "lw": 1.8, "zorder": 4}
        else:
            look = {"color": colors[width], "ls": lines[when], "lw": 1.4, "zorder": 2}
        marker = "o" if few and not (width == 0 and colors) else None
        ax.plot("index", "median", data=curve, marker=marker, ms=2.6, **look)
        if width:
            draw_range(ax, "index", curve, colors[width], 0.13)


def _draw_zeros(ax: maxes.Axes, part: pd.DataFrame) -> None:
    """The line of rounding, and the number and indices of eigenvalues below it."""
    zeros = part[part["median"] <= part["rounding"]]
    if not has_zeros(part):
        return
    ax.plot("index", "rounding", data=part, **ROUNDING)
    one = zeros.drop_duplicates("index")
    foot = ax.get_xaxis_transform()
    ax.plot(one["index"], [0.03] * len(one), "|", color=INK, ms=5, transform=foot)
    if len(one):
        counts = zeros.groupby(["width", "when"]).size()
        most, least = counts.max(), counts.min()
        number = f"{most}" if most == least else f"{least} to {most}"
        text = f"{number} of {part['index'].max()} = 0"
        ax.text(0.05, 0.07, text, transform=ax.transAxes, fontsize=7)


def _draw_prediction(ax: maxes.Axes, part: pd.DataFrame) -> None:
    """A line of the predicted slope, above the eigenvalues."""
    slope = part["predicted"].iloc[0]
    if np.isfinite(slope):
        top = part[part["index"] == 1]["median"].max()
        index = np.array([1, part["index"].max()])
        ax.plot(index, 2 * top * index**slope, color=GREY, lw=1, ls=LINEARIZED)


def _handles(
    table: pd.DataFrame, colors: Mapping[int, str], lines: Mapping[str, Any]
) -> list[Any]:
    handles: list[Any] = color_entries(colors, lambda width: f"n = {width}")
    if len(lines) > 1:
        moments = ("before", "after")
        handles += [entry(f"{w} training", color=GREY, ls=lines[w]) for w in moments]
    if (table["width"] == 0).any():
        handles.append(entry("infinite width", color=INK, ls=LIMIT, lw=1.8))
    if slopes := unique_values(table.dropna(subset="predicted"), "predicted"):
        text = f"predicted slope {', '.join(minus(f'{s:g}') for s in slopes)}"
        handles.append(entry(text, color=GREY, lw=1, ls=LINEARIZED))
    if has_zeros(table):
        handles.append(entry(ZERO, **ROUNDING))
    if (table["high"] > table["low"]).any():
        handles.append(range_handle())
    return handles


def has_zeros(table: pd.DataFrame) -> bool:
    """Whether an eigenvalue is as small as rounding."""
    return bool((table["low"] <= table["rounding"]).any())


def eigenvalues(kernels) -> pd.DataFrame:
    """Quantiles over s of the |eigenvalues| of kernels (s n n) over N, and rounding."""
    values = np.abs(np.linalg.eigvalsh(kernels)) / kernels.shape[-1]
    values = np.sort(values)[:, ::-1]
    low, median, high = np.quantile(values, [0.1, 0.5, 0.9], axis=0)
    rounding = kernels.shape[-1] * np.finfo(kernels.dtype).eps * median[0]
    frame = pd.DataFrame({"median": median, "low": low, "high": high})
    frame.insert(0, "index", np.arange(1, len(median) + 1))
    return frame.assign(rounding=rounding)
