"""Eigenvalues of kernels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import numpy as np

from ntkpipe.experiment import Experiment
from ntkpipe.figures.axes import (
    index_axis,
    log_ticks,
    nothing,
    outer_labels,
    panel_grid,
    panel_titles,
    range_handle,
    shared_legend,
    unique_values,
)
from ntkpipe.figures.base import (
    Arrays,
    BaseFigure,
    check_last_layer,
    concatenated,
    kernel_at,
    shown_seeds,
)
from ntkpipe.figures.style import (
    GREY,
    INK,
    LIMIT,
    LINEARIZED,
    PAGE,
    style,
    width_colors,
)
from ntkpipe.lazy import Lazy
from ntkpipe.section import Fault, section
from ntkpipe.text import minus

if TYPE_CHECKING:
    from matplotlib.figure import Figure

mlines = Lazy("matplotlib.lines")
if TYPE_CHECKING:
    import pandas as pd
else:
    pd = Lazy("pandas")


def spectrum(table: pd.DataFrame, kernel: str, slopes: dict[str, float]) -> Figure:
    """Eigenvalues against index; colour is width, dashed before training.

    `slopes` are the predicted slopes of the variants, NaN for no prediction.
    """
    if table.empty:
        return nothing("all networks of this figure diverged")
    variants = unique_values(table, "variant")
    widths = sorted(set(table.loc[table["width"] > 0, "width"]))
    colors = width_colors(widths)
    moments = [w for w in ("before", "after") if (table["when"] == w).any()]
    styles = dict(zip(moments[::-1], ("-", LINEARIZED), strict=False))
    symbol = {"ntk": "Θ", "nngp": "Σ"}[kernel]
    below = bool((table["low"] <= table["rounding"]).any())
    few = table["index"].max() <= 64
    with style():
        figure, axes = panel_grid(
            1,
            len(variants),
            height=3.5,
            width=5.6 if len(variants) == 1 else PAGE + 1,
            sharex=True,
            sharey=True,
        )
        for ax, variant in zip(axes[0], variants, strict=True):
            part = table[table["variant"] == variant]
            for (width, when), curve in part.groupby(["width", "when"]):
                limit = width == 0
                color = INK if limit else colors[width]
                ax.plot(
                    "index",
                    "median",
                    data=curve,
                    color=color,
                    linestyle=LIMIT if limit else styles[when],
                    linewidth=1.8 if limit else 1.4,
                    marker="o" if few and not (limit and widths) else None,
                    ms=2.6,
                    zorder=4 if limit else 2,
                )
                if not limit and (curve["high"] > curve["low"]).any():
                    ax.fill_between(
                        curve["index"],
                        curve["low"],
                        curve["high"],
                        color=color,
                        alpha=0.13,
                        linewidth=0,
                    )
            if below:
                ax.plot("index", "rounding", data=part, color=GREY, lw=1, ls=":")
            if np.isfinite(slope := slopes[variant]):
                top = part[part["index"] == 1]["median"].max()
                index = np.array([1, part["index"].max()])
                ax.plot(index, 2 * top * index**slope, color=GREY, lw=1, ls=LINEARIZED)
            ax.set_xscale("log")
            ax.set_yscale("log", nonpositive="mask")
            log_ticks(ax)
            ax.set(xlabel="index of the eigenvalue", ylabel=f"eigenvalue of {symbol}/N")
            index_axis(ax, int(table["index"].max()))
        panel_titles(axes, [""], variants if len(variants) > 1 else [""])
        outer_labels(axes)
        handles = [
            mlines.Line2D([], [], color=colors[w], label=f"n = {w}") for w in widths
        ]
        if len(moments) > 1:
            handles += [
                mlines.Line2D([], [], color=GREY, ls=styles[w], label=f"{w} training")
                for w in moments
            ]
        if (table["width"] == 0).any():
            handles.append(
                mlines.Line2D(
                    [], [], color=INK, ls=LIMIT, lw=1.8, label="infinite width"
                )
            )
        drawn = dict.fromkeys(slopes[v] for v in variants if np.isfinite(slopes[v]))
        if drawn:
            text = f"predicted slope {', '.join(minus(f'{s:g}') for s in drawn)}"
            handles.append(
                mlines.Line2D([], [], color=GREY, lw=1, ls=LINEARIZED, label=text)
            )
        if below:
            text = "rounding: zero up to here"
            handles.append(mlines.Line2D([], [], color=GREY, lw=1, ls=":", label=text))
        if (table["high"] > table["low"]).any():
            handles.append(range_handle())
        shared_legend(figure, handles)
    return figure


@section
class Spectrum(BaseFigure):
    """Eigenvalues of the kernel over N against their index, log–log."""

    kind: Literal["spectrum"] = "spectrum"
    kernel: Literal["ntk", "nngp"] = "ntk"
    """The tangent kernel, or the last layer's (NNGP)."""
    when: tuple[Literal["before", "after"], ...] = ("before", "after")
    """Before or after training, or both."""
    limit: bool = True
    """Whether the kernel of infinite width is drawn."""
    predicted: float | dict[str, float] | None = None
    """Predicted slope (dashed line), for all variants or by variant."""

    def slope(self, variant: str) -> float:
        """Predicted slope of a variant; NaN where nothing is predicted."""
        slope = self.predicted
        if isinstance(slope, dict):
            slope = slope.get(variant)
        return np.nan if slope is None else slope

    @property
    def reads(self) -> tuple[str, ...]:
        """The products that the figure reads."""
        return ("network", "limit") if self.limit else ("network",)

    def _unmet(self, e: Experiment) -> Iterator[Fault]:
        if self.kernel == "nngp":
            yield from check_last_layer(e)

    def table(self, measurements: pd.DataFrame, arrays: Arrays) -> pd.DataFrame:
        """Median and 10 – 90 % range over seeds of each |eigenvalue|, limit at width 0.

        `rounding` is N·eps times the largest: what is smaller is zero.
        """
        del measurements
        frames, seen = [], set()
        for variant, width in self._runs(arrays):
            network = arrays("network", variant, width)
            seeds = shown_seeds(network, None)
            for when in self.when if len(seeds) else ():
                index = {"before": 0, "after": -1}[when]
                kernels = [kernel_at(network, self.kernel, s, index) for s in seeds]
                common = {"variant": variant, "width": width, "when": when}
                frames.append(_eigenvalues(np.stack(kernels)).assign(**common))
            if self.limit and variant not in seen:
                seen.add(variant)
                limit = arrays("limit", variant)[f"{self.kernel}_train_train"]
                common = {"variant": variant, "width": 0, "when": "limit"}
                frames.append(_eigenvalues(limit[None]).assign(**common))
        columns = ["variant", "width", "when", "index", "median", "low", "high"]
        columns.append("rounding")
        return concatenated(frames, columns)

    def draw(self, table: pd.DataFrame):
        """One column for each variant."""
        slopes = {self.labels.get(v, v): self.slope(v) for v in set(table["variant"])}
        return spectrum(self._named(table), self.kernel, slopes)


def _eigenvalues(kernels) -> pd.DataFrame:
    """Sizes of the eigenvalues of kernels (s n n) over N, descending, and rounding."""
    values = np.abs(np.linalg.eigvalsh(kernels)) / kernels.shape[-1]
    values = np.sort(values)[:, ::-1]
    low, median, high = np.quantile(values, [0.1, 0.5, 0.9], axis=0)
    rounding = kernels.shape[-1] * np.finfo(kernels.dtype).eps * median[0]
    frame = pd.DataFrame({"median": median, "low": low, "high": high})
    frame.insert(0, "index", np.arange(1, len(median) + 1))
    return frame.assign(rounding=rounding)
