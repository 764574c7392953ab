"""The look of interactive charts: marks, axes, legends, and colours on a dark page."""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING, Any

from ntkpipe.figures.chart import Chart, Dash
from ntkpipe.figures.mathtext import plain
from ntkpipe.figures.style import GREY, INK, Look
from ntkpipe.lazy import Lazy

if TYPE_CHECKING:
    import altair as alt
else:
    alt = Lazy("altair")

FADED = 0.07  # opacity of what the legend does not choose
GRID, PAPER = "#e6e6e6", "#ffffff"
STRIP = 9  # pixels: width of a strip of seeds
LOOKS: dict[str, tuple[str, float, Look]] = {
    # kind of mark, its mark in Vega-Lite, opacity, and look
    "line": ("line", 0.95, {"strokeWidth": 1.8}),
    "thin": ("line", 0.45, {"strokeWidth": 0.9}),
    "band": ("area", 0.2, {}),
    "range": ("rule", 0.9, {"strokeWidth": 1.3}),
    "point": (
        "point",
        1.0,
        {"filled": True, "size": 46, "stroke": PAPER, "strokeWidth": 0.7},
    ),
    "scatter": ("point", 0.7, {"filled": True, "size": 22}),
    "dot": ("point", 1.0, {"filled": True, "size": 60, "shape": "diamond"}),
    "strip": ("tick", 0.5, {"orient": "horizontal", "size": STRIP, "thickness": 1}),
    "rule": ("rule", 1.0, {}),
}
KEYS = {
    "thin": "thin line",
    "band": "shade",
    "range": "bar",
    "point": "point",
    "dot": "diamond",
    "strip": "stroke",
    "rule": "vertical line",
}
"""Words for the marks that are not in the legend of lines."""


def legend(**look: Any) -> alt.Legend:
    """A legend below the panels; the page sets the number of its columns."""
    return alt.Legend(
        orient="bottom",
        columns=alt.ExprRef("legend_columns"),
        symbolOpacity=1,
        labelLimit=360,
        **look,
    )


def strokes(dash: Dash) -> list[float]:
    """A line style of matplotlib as lengths of strokes and gaps in pixels."""
    if isinstance(dash, str):
        known: dict[str, list[float]] = {"-": [1, 0], ":": [1.5, 2.5], "--": [6, 3]}
        return known[dash]
    lengths: Any = dash[1]
    return [1.6 * length for length in lengths]


def config() -> alt.Config:
    """The look of axes, legends and titles."""
    text: Look = {"labelColor": INK, "titleColor": INK, "labelFontSize": 11}
    text |= {"titleFontSize": 12, "titleFontWeight": "normal"}
    lines: Look = {"domainColor": GREY, "tickColor": GREY, "gridColor": GRID}
    return alt.Config(
        background="transparent",
        font="system-ui, sans-serif",
        view=alt.ViewConfig(stroke=None),
        axis=alt.AxisConfig(**text, **lines),
        legend=alt.LegendConfig(**text),
        title=alt.TitleConfig(color=INK, fontSize=12, fontWeight="bold"),
    )


def key(chart: Chart) -> list[str]:
    """A sentence on the marks that are not in a legend."""
    names = {
        KEYS[one.mark]: plain(one.name)
        for one in chart.marks
        if one.mark in KEYS and one.name
    }
    parts = [f"{mark}: {name}" for mark, name in names.items()]
    if not parts:
        return []
    text = "; ".join(parts)
    return [f"{text[0].upper()}{text[1:]}."]


def colors(chart: Chart) -> list[str]:
    """All colours of a specification."""
    own = [one.color for one in chart.marks if one.color]
    return list(dict.fromkeys([*chart.colors.values(), *own, INK, GREY, GRID, PAPER]))


def on_dark(color: str) -> str:
    """The colour on a dark page: of the same hue, light where it was dark."""
    if color == PAPER:
        return "#15181d"
    if color == GRID:
        return "#333a44"
    red, green, blue = (int(color[k : k + 2], 16) / 255 for k in (1, 3, 5))
    hue, light, saturation = colorsys.rgb_to_hls(red, green, blue)
    light = max(0.9 - 0.55 * light, 0.58)
    parts = colorsys.hls_to_rgb(hue, light, saturation)
    return "#" + "".join(f"{round(255 * part):02x}" for part in parts)
