"""Panels, axes, ticks and legends that the kinds of figure share."""

from __future__ import annotations

import itertools
import string
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntkpipe.figures.packages import (
    martist,
    maxes,
    mfigure,
    mlines,
    mpatches,
    mpl,
    pd,
    ticker,
)
from ntkpipe.figures.style import GREY, INK, MODELS, PAGE, Look, style
from ntkpipe.text import tick

if TYPE_CHECKING:
    from matplotlib.colorbar import Colorbar

COORDINATES = {"x": "input x", "angle": "angle γ"}
"""Labels of the coordinate of inputs."""

Runs = Sequence[tuple[str, int]]
"""(variant, width) of each run."""


def inside_limits(table: pd.DataFrame) -> tuple[float, float]:
    """The range of all functions and targets, with a margin."""
    values = table[[name for name in table if name[0] == "f"]].to_numpy(float)
    values = [np.nanmin(values), np.nanmax(values), *table["y"].dropna()]
    low, high = min(values), max(values)
    return low - 0.06 * (high - low), high + 0.06 * (high - low)


def same_y_limits(axes, limits: tuple[float, float]) -> None:
    """Give all panels the same y-axis."""
    for ax in axes.flat:
        ax.set_ylim(*limits)


def clock_text(figure: mfigure.Figure):
    """The text with the step, above the panels."""
    return figure.suptitle(time_text(0), ha="left", x=0.02, fontsize=8)


def time_text(step: float) -> str:
    """A step, in words."""
    return f"step {step:,.0f}"


def runs_of(table: pd.DataFrame) -> Runs:
    """(variant, width) of all runs, in the order of the table."""
    rows = table[table["width"] > 0]
    return list(dict.fromkeys(zip(rows["variant"], rows["width"], strict=True)))


def run_names(runs: Runs) -> list[str]:
    """Names that distinguish the runs: the variant, the width, or both."""
    variants, widths = ({run[k] for run in runs} for k in (0, 1))
    return [
        ", ".join(
            [variant] * (len(variants) > 1)
            + [f"n = {width}"] * (len(widths) > 1 or len(variants) == 1)
        )
        for variant, width in runs
    ]


def last_step(steps, step: float) -> float:
    """The last of these steps that is not after `step`."""
    return max(s for s in steps if s <= step)


def nothing(reason: str, width: float = PAGE) -> mfigure.Figure:
    """A figure that says why there is nothing to draw."""
    words = textwrap.fill(f"Nothing to draw: {reason}.", int(14 * width))
    with style(width):
        figure = mfigure.Figure(figsize=(width, 1.2), layout="constrained")
        figure.text(0.5, 0.5, words, ha="center", va="center")
    return figure


def wrapped(label: str, length: int = 34) -> str:
    """A long label on two lines, broken at the space nearest its middle."""
    if len(label) <= length:
        return label
    spaces = [i for i, letter in enumerate(label) if letter == " "]
    middle = min(spaces, key=lambda i: abs(i - len(label) / 2), default=None)
    return label if middle is None else f"{label[:middle]}\n{label[middle + 1 :]}"


def width_label(table: pd.DataFrame, width: int) -> str:
    """A width, and how many of its networks diverged."""
    rows = table[table["width"] == width]
    lost, kept = rows["diverged"].max(), rows["seeds"].max()
    return f"n = {width}" + (f" ({lost} of {lost + kept} diverged)" if lost else "")


def point_name(point: str) -> str:
    """`train 3` in words."""
    part, _, index = point.partition(" ")
    return f"{'training' if part == 'train' else 'test'} point {index}"


def rows_where(table: pd.DataFrame, **values: Any) -> pd.DataFrame:
    """Rows in which columns have these values."""
    for column, value in values.items():
        table = table[table[column] == value]
    return table


def unique_values(table: pd.DataFrame, column: str) -> list[Any]:
    """Values of a column in their order, each once."""
    return list(dict.fromkeys(table[column]))


def is_column() -> bool:
    """Whether the figure in work has the width of a column."""
    return mpl.rcParams["figure.figsize"][0] < PAGE


def panel_grid(
    rows: int, columns: int, height: float, fixed: bool = False, **share: Any
) -> tuple[mfigure.Figure, np.ndarray]:
    """A figure of the style's width with rows × columns axes, `height` inches each.

    In a column, panels stand below each other, or in two columns if there are more than
    four; `fixed` keeps their places. `share` says which axes have one scale, as in
    `Figure.subplots`.
    """
    full, count = mpl.rcParams["figure.figsize"][0], rows * columns
    across = columns
    if is_column() and not fixed:
        across = min(columns, 1 if count <= 4 else 2)
    down = -(-count // across)
    # one panel is less wide than the page, so that its curves are not flat
    width = min(full, 4.5) if count == 1 else full
    room = {"w_pad": 0.05, "h_pad": 0.04, "wspace": 0.02, "hspace": 0.03}
    figure = mfigure.Figure(figsize=(width, down * height + 0.4))
    figure.set_layout_engine("constrained", **room)
    if across == columns:
        return figure, figure.subplots(rows, columns, squeeze=False, **share)
    every = figure.subplots(down, across, squeeze=False).ravel()
    for ax in every[count:]:
        ax.remove()
    axes = every[:count].reshape(rows, columns)
    for key, join in (("sharex", maxes.Axes.sharex), ("sharey", maxes.Axes.sharey)):
        for i, ax in enumerate(axes.flat if share.get(key) else ()):
            first = axes.flat[0] if share[key] is True else axes[i // columns, 0]
            if ax is not first:
                join(ax, first)
    return figure, axes


class RunPanel(NamedTuple):
    """A panel of one run, with its rows of the table."""

    ax: maxes.Axes
    variant: str
    width: int
    rows: pd.DataFrame


def run_panels(
    table: pd.DataFrame, height: float, xlabel: str, ylabel: str, **share: Any
) -> tuple[mfigure.Figure, list[RunPanel]]:
    """A panel for each run: a row is a variant, a column a width.

    A panel without a run says so.
    """
    variants = unique_values(table, "variant")
    widths = sorted(set(table.loc[table["width"] > 0, "width"]))
    figure, axes = panel_grid(len(variants), len(widths), height, **share)
    panels = []
    for (i, variant), (j, width) in itertools.product(
        enumerate(variants), enumerate(widths)
    ):
        ax, rows = axes[i, j], rows_where(table, variant=variant, width=width)
        if rows.empty:
            ax.text(0.5, 0.5, "no run", transform=ax.transAxes, ha="center")
            continue
        ax.set(xlabel=xlabel, ylabel=ylabel)
        panels.append(RunPanel(ax, variant, width, rows))
    panel_titles(axes, variants, [f"n = {width}" for width in widths])
    outer_labels(axes)
    return figure, panels


def panel_titles(axes, rows: Sequence[str], columns: Sequence[str]) -> None:
    """Titles "(a) row, column" where there is more than one panel."""
    for i, row in enumerate(axes):
        for j, ax in enumerate(row):
            names = [rows[i] if len(rows) > 1 else "", columns[j]]
            title = ", ".join(name for name in names if name)
            across = ax.get_subplotspec().get_gridspec().ncols
            room = mpl.rcParams["figure.figsize"][0] / across
            ax.set_title(textwrap.fill(title, max(int(14 * room) - 6, 12)))
    if axes.size > 1:
        panel_letters(axes.flat)


def panel_letters(axes) -> None:
    """Letters (a), (b), … before the titles of panels."""
    for letter, ax in zip(string.ascii_lowercase, axes, strict=False):
        title = ax.get_title(loc="left")
        ax.set_title(f"({letter})  {title}".rstrip())


def outer_labels(axes) -> None:
    """Remove y labels of inner panels, and x labels that the panel below repeats."""
    outer_x_labels(axes)
    for ax in axes.flat:
        if not ax.get_subplotspec().is_first_col():
            ax.set_ylabel("")


def outer_x_labels(axes) -> None:
    """Remove x labels that the panel below repeats."""
    shared = axes[0, 0].get_shared_x_axes()
    across = axes[0, 0].get_subplotspec().get_gridspec().ncols
    for ax, below in zip(axes.flat, list(axes.flat)[across:], strict=False):
        if shared.joined(ax, below):
            ax.set_xlabel("")


def shared_legend(figure: mfigure.Figure, handles: Sequence[Any]) -> None:
    """A legend below the panels, where it can't cover data; its columns fill a row."""
    longest = max(len(handle.get_label()) for handle in handles)
    letters = figure.get_figwidth() * 17  # letters of 7 points that fit in a row
    columns = max(1, min(len(handles), int(letters / (longest + 6))))
    rows = -(-len(handles) // columns)
    figure.legend(
        handles=list(handles),
        loc="outside lower center",
        ncols=-(-len(handles) // rows),
        columnspacing=1.4,
        handlelength=2.0,
    )


def entry(label: str, **look: Any) -> mlines.Line2D:
    """A line or a marker in a legend."""
    return mlines.Line2D([], [], label=label, **look)


def color_entries(
    colors: Mapping[Any, str], label: Callable[[Any], str] = str
) -> list[martist.Artist]:
    """A legend entry for each colour."""
    return [entry(label(value), color=color) for value, color in colors.items()]


def model_handles(models: Sequence[str]) -> list[mlines.Line2D]:
    """Legend entries of network, linearised model and limit, if several are shown."""
    if len(models) < 2:
        return []
    return [
        entry(name, color=INK, lw=1.2, ls=line)
        for model, (name, line) in MODELS.items()
        if model in models
    ]


def range_handle() -> mpatches.Patch:
    """Legend entry of the range over seeds."""
    return mpatches.Patch(color=GREY, alpha=0.25, lw=0, label="10 – 90 % of seeds")


def log_time_axis(ax: maxes.Axes, times: pd.Series) -> None:
    """Log axis of time that begins at 0: it is linear up to the first recorded time."""
    first, last = times[times > 0].min(), times.max()
    ax.set_xscale("symlog", linthresh=first, linscale=0.4)
    decades = 10.0 ** np.arange(np.ceil(np.log10(first)), np.log10(last) + 1)
    ax.xaxis.set_major_locator(ticker.FixedLocator([0, *decades]))
    ax.xaxis.set_minor_locator(
        ticker.FixedLocator(
            [k * d for d in decades / 10 for k in range(2, 10) if k * d > first]
        )
    )
    ax.set_xlim(0, last * (last / first) ** 0.03)


def log_y_axis(ax: maxes.Axes, curves: pd.DataFrame) -> None:
    """Log axis that shows all values of networks.

    Linearised models may diverge or fall far below the networks. Beyond the range of
    the networks, the axis therefore adds at most half of that range on each side.
    """
    network = curves[curves["model"] == "network"]
    if network["median"].gt(0).any():  # the limits are set below
        ax.set_autoscaley_on(False)
    drawn = [*network[["low", "median", "high"]].to_numpy().ravel(), *curves["median"]]
    values = np.log10(np.where(np.greater(drawn, 0), drawn, np.nan))
    needed = values[: 3 * len(network)]
    ax.set_yscale("log", nonpositive="mask")
    if np.isfinite(needed).any():
        low, high = np.nanmin(needed), np.nanmax(needed)
        more = max(0.5 * (high - low), 0.3)
        low, high = (
            max(np.nanmin(values), low - more),
            min(np.nanmax(values), high + more),
        )
        room = 0.05 * (high - low) + 0.04
        ax.set_ylim(10 ** (low - room), 10 ** (high + room))
    log_ticks(ax)


def log_ticks(ax: maxes.Axes) -> None:
    """Ticks at 1, 2, 5 on less than two decades; equal steps if fewer than 4 fit."""
    low, high = ax.get_ylim()
    if high / low > 100:
        return
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    ticks: Sequence[float] = [k * 10.0**d for d in decades for k in (1, 2, 5)]
    if sum(low <= tick <= high for tick in ticks) < 4:
        ticks = ticker.MaxNLocator(8, steps=[1, 2, 5, 10]).tick_values(low, high)
    ax.yaxis.set_major_locator(
        ticker.FixedLocator([tick for tick in ticks if tick > 0])
    )
    ax.yaxis.set_minor_locator(ticker.NullLocator())
    ax.yaxis.set_major_formatter(ticker.FuncFormatter(lambda v, _: tick(v)))


def width_axis(
    ax: maxes.Axes,
    widths: Sequence[float],
    label: str,
    first: Sequence[float | None],
    count: int,
) -> None:
    """Ticks at the widths that were run, as many as fit.

    Ticks are chosen in this order: both ends, the first width of each fit, the other
    widths from the largest down.
    """
    ax.set_xscale("log")
    room = np.log(max(widths) / min(widths)) / count
    chosen: list[float] = []
    for x in (min(widths), max(widths), *filter(None, first), *widths[::-1]):
        if all(abs(np.log(x / other)) >= room for other in chosen):
            chosen.append(x)
    ax.xaxis.set_major_locator(ticker.FixedLocator(sorted(chosen)))
    ax.xaxis.set_major_formatter(ticker.FuncFormatter(lambda v, _: f"{v:.6g}"))
    ax.xaxis.set_minor_locator(ticker.NullLocator())
    ax.set_xlabel(label)


def index_axis(ax: maxes.Axes, largest: int) -> None:
    """Ticks 1, 2, 5, 10, … of a logarithmic axis of indices."""
    ticks = [k * 10**d for d in range(7) for k in (1, 2, 5) if k * 10**d <= largest]
    if largest > 100:
        ticks = [t for t in ticks if str(t)[0] == "1"]
    ax.xaxis.set_major_locator(ticker.FixedLocator(ticks))
    ax.xaxis.set_major_formatter(ticker.FuncFormatter(lambda v, _: f"{v:.0f}"))
    ax.xaxis.set_minor_locator(ticker.NullLocator())


def index_ticks(ax: maxes.Axes, count: int) -> None:
    """At most eight ticks along both sides of a matrix."""
    every = max(1, -(-count // 5))
    ticks = range(1, count + 1, every) if count <= 8 else range(every, count + 1, every)
    ax.set_xticks(list(ticks))
    ax.set_yticks(list(ticks))


def coordinate_axis(ax: maxes.Axes, axis: str) -> None:
    """Set limits and ticks of an axis of angles, −π to π; leave an axis of x alone."""
    if axis == "angle":
        ax.set_xlim(-np.pi, np.pi)
        angle_ticks(ax.xaxis)


def angle_ticks(axis) -> None:
    """Ticks at multiples of π/2."""
    axis.set_major_locator(ticker.MultipleLocator(np.pi / 2))
    names = {-2: "−π", -1: "−π/2", 0: "0", 1: "π/2", 2: "π"}
    axis.set_major_formatter(
        ticker.FuncFormatter(lambda v, _: names.get(round(v / (np.pi / 2)), ""))
    )


def jitter(x, share: float) -> np.ndarray:
    """Positions around x on a log axis, spread evenly by at most this factor."""
    golden = (np.arange(len(x)) * (np.sqrt(5) - 1) / 2) % 1  # neighbours lie apart
    return np.asarray(x) * np.exp(share * (2 * golden - 1))


def draw_range(
    ax: maxes.Axes, x: str, curve: pd.DataFrame, color, alpha: float
) -> None:
    """Shade the 10 – 90 % range over seeds, if there is one."""
    if (curve["high"] > curve["low"]).any():
        ends = {"y1": curve["low"], "y2": curve["high"]}
        ax.fill_between(curve[x], **ends, color=color, alpha=alpha, linewidth=0)


def draw_lines(
    ax: maxes.Axes, curves: pd.DataFrame, color, alpha: float, ls="-"
) -> None:
    """One thin line for each seed."""
    for _, curve in curves.groupby("seed"):
        ax.plot("x", "value", data=curve, color=color, alpha=alpha, lw=0.9, ls=ls)


def draw_percentiles(
    ax: maxes.Axes, rows: pd.DataFrame, source: str, color, ls, lw: float
) -> None:
    """Lines of P10, P50 and P90 of `networks` or `limit`; P50 is the thickest."""
    for name in ("P10", "P50", "P90"):
        curve = rows[rows["part"] == f"{source} {name}"]
        thin = lw if name == "P50" else lw * 0.8
        ax.plot("x", "value", data=curve, color=color, ls=ls, lw=thin, zorder=3)


def color_bar(figure: mfigure.FigureBase, image, axes, **shape: Any) -> Colorbar:
    """A slim colour bar beside one or several panels."""
    look: Look = {"shrink": 0.8, "aspect": 16, "pad": 0.03}
    bar = figure.colorbar(image, ax=axes, **look | shape)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=2, labelsize=7)
    return bar
