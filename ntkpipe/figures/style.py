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

PAGE, COLUMN = 6.75, 3.3  # inches: the widths at which journals print figures
CONTRAST = 3.0  # of a line with white, at least (WCAG 2.2, criterion 1.4.11)

INK, GREY, TARGET = "#262626", "#767676", "#d55e00"


STYLE: dict[str, Any] = {  # on top of seaborn's `ticks`
    "font.family": ["DejaVu Sans"],
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "legend.fontsize": 7,
    "legend.title_fontsize": 7,
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
    "lines.linewidth": 1.3,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "axes.titlelocation": "left",
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "mathtext.fontset": "dejavusans",
    "axes.formatter.use_mathtext": True,
    "axes.formatter.limits": (-3, 4),
    "savefig.dpi": 200,
    # the same bytes on every run
    "svg.hashsalt": "ntkpipe",
    "svg.fonttype": "none",
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
    """Viridis without its upper part, whose contrast with white is below 3:1."""
    shades = mpl.colormaps["viridis"](np.linspace(0.59, 0.0, 256))
    return mcolors.LinearSegmentedColormap.from_list("widths", shades)


@contextlib.contextmanager
def style(width: float = PAGE) -> Iterator[None]:
    """The style of all figures, `width` inches wide, as a context."""
    size = {"figure.figsize": (width, width)}
    with mpl.rc_context(sns.axes_style("ticks") | STYLE | size):
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
    palette = [legible(color) for color in sns.color_palette("colorblind", 10)]
    # pink and yellow, which are darkened most, come last
    return [palette[k] for k in (0, 1, 2, 3, 4, 5, 9, 7, 6, 8)[:count]]


def luminance(color) -> float:
    """Relative luminance of a colour, 0 to 1 (WCAG 2.2)."""
    return float(np.dot(_linear(color), (0.2126, 0.7152, 0.0722)))


def contrast(color) -> float:
    """Contrast of a colour with white, 1 to 21 (WCAG 2.2)."""
    return 1.05 / (luminance(color) + 0.05)


def legible(color) -> str:
    """The colour, darkened until its contrast with white is 3:1."""
    most = 1.05 / CONTRAST - 0.06  # 0.01 below the limit, for 8 bits a channel
    share = min(1.0, most / luminance(color))
    light = share * _linear(color)
    below = np.where(
        light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055
    )
    return mcolors.to_hex(tuple(below.clip(0, 1)))


def _linear(color) -> np.ndarray:
    """The sRGB channels of a colour, linear in light."""
    c = np.array(mcolors.to_rgb(color))
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def darker(color: str) -> str:
    """A darker shade of a colour."""
    return mcolors.to_hex(sns.dark_palette(color, 10)[6])
