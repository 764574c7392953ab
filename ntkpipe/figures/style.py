"""The common style of all figures."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ntkpipe.figures.packages import mcolors, mpl, sns

Look = dict[str, Any]
"""Keywords of a line or a patch."""

PAGE = 8.0  # inches: the width of a page


INK, GREY, TARGET = "#262626", "#767676", "#d55e00"


STYLE: dict[str, Any] = {  # on top of seaborn's `ticks`
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.title_fontsize": 8,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "axes.titlelocation": "left",
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "mathtext.fontset": "dejavusans",
    "axes.formatter.use_mathtext": True,
    "axes.formatter.limits": (-3, 4),
    "savefig.dpi": 160,
    # the same bytes on every run
    "svg.hashsalt": "ntkpipe",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
}


NETWORK, LINEARIZED, LIMIT = "-", (0, (4, 2)), (0, (1, 1.4))


MODELS = {
    "network": ("network", NETWORK),
    "linearized": ("its linearised model", LINEARIZED),
    "limit": ("infinite width", LIMIT),
}


TIME = {"step": "gradient steps", "time": "time t = η · step"}


STATISTICS = {
    "geometric_mean": "geometric mean",
    "median": "median",
    "mean": "mean",
    "std": "standard deviation over seeds",
    "variance": "variance over seeds",
}


@functools.cache
def change_colors() -> mcolors.Colormap:
    """Colours of a change: white in the middle, so that no change is white."""
    vlag = sns.color_palette("vlag", as_cmap=True)
    ends = [*map(vlag, (0.0, 0.25)), "white", *map(vlag, (0.75, 1.0))]
    return mcolors.LinearSegmentedColormap.from_list("change", ends, 257)


@functools.cache
def width_colormap() -> mcolors.Colormap:
    """Viridis without its yellow end, which is too pale on white."""
    shades = mpl.colormaps["viridis"](np.linspace(0.86, 0.0, 256))
    return mcolors.LinearSegmentedColormap.from_list("widths", shades)


@contextlib.contextmanager
def style() -> Iterator[None]:
    """The style of all figures, as a context."""
    with mpl.rc_context(sns.axes_style("ticks") | STYLE):
        yield


def width_colors(widths: Sequence[int]) -> dict[int, str]:
    """Colours of widths in their order, from light (narrow) to dark (wide)."""
    return dict(zip(widths, sequential_colors(len(widths)), strict=True))


def sequential_colors(count: int) -> list[str]:
    """Colours of ordered values, pale to dark."""
    at = [0.5] if count == 1 else np.linspace(0, 1, count)
    return [mcolors.to_hex(color) for color in width_colormap()(at)]


def category_colors(count: int) -> list[str]:
    """Colour-blind safe colours for up to ten values, shades of one scale for more."""
    if count > 10:
        return sequential_colors(count)
    palette = [mcolors.to_hex(color) for color in sns.color_palette("colorblind", 10)]
    # pink and yellow, which are faint on white, come last
    return [palette[k] for k in (0, 1, 2, 3, 4, 5, 9, 7, 6, 8)[:count]]


def darker(color: str) -> str:
    """A darker shade of a colour."""
    return mcolors.to_hex(sns.dark_palette(color, 10)[6])
