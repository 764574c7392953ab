"""The mapping from the table of a figure to an interactive chart.

A kind of figure states which column is what; `interactive` makes the chart. The kinds
import only these records, so an edit of `interactive` does not draw the figures again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from ntkpipe.figures.axes import COORDINATES, rows_where, unique_values
from ntkpipe.figures.style import MODELS

if TYPE_CHECKING:
    import pandas as pd

SEEDS = "10 – 90 % of seeds"
"""What the bands over seeds show."""
STEP, SEED = {"step": "step"}, {"seed": "seed"}
"""Columns that are shown under the pointer."""
NO: Mapping[Any, Any] = MappingProxyType({})
Where = Mapping[str, Any]
"""The value, or a tuple of values, that a column of a row has."""
Dash = str | tuple[float, tuple[float, ...]] | Sequence[Any]
"""A line style of matplotlib: `-`, or an offset and lengths of strokes and gaps."""


class Scale(NamedTuple):
    """An axis of a panel."""

    title: str
    scale: Literal["linear", "log", "symlog"] = "linear"
    """`symlog` begins at 0 and is linear up to the first positive value."""
    ticks: tuple[float, ...] = ()
    """Where the ticks are; by default where they fit."""
    texts: tuple[str, ...] = ()
    """The texts at these ticks, by default the numbers."""
    zero: bool = False
    """Whether a linear axis includes 0."""
    lowest: float = 0.0
    """Smallest value on a log axis, as a share of the largest one."""


class Plot(NamedTuple):
    """A panel and its rows of the table."""

    where: Where
    x: Scale
    y: Scale
    title: str = ""
    row: Any = 0
    """Panels of the same row have the same range of x, and of y if the axes agree."""
    notes: Sequence[tuple[Any, str]] = ()
    """Lines of text above the panel: a value of the colour's column, and the text."""


class Marks(NamedTuple):
    """Marks of one look, and their rows of the table."""

    mark: Literal[
        "line", "thin", "band", "range", "point", "scatter", "dot", "strip", "rule"
    ]
    """`thin` lines are single networks; a `scatter` has many points; `dot`s are data; a
    `strip` has a stroke for each seed; a `band` is an area from y to y2, a `range` a
    bar; a `rule` is vertical."""
    y: str
    """The column that is drawn; of a rule, its place on the x axis."""
    y2: str = ""
    """The column of the upper ends of a band or a range."""
    where: Where = NO
    name: str = ""
    """What it shows, in the legend of lines or in the key."""
    dash: Dash = "-"
    color: str = ""
    """A colour for all its rows, instead of that of the colour's column."""
    each: tuple[str, ...] = ()
    """The columns that distinguish the lines of a colour."""
    leads: bool = True
    """Whether the axis shows it all. What does not lead may end outside."""


class Chart(NamedTuple):
    """A table and which of its columns are drawn."""

    table: pd.DataFrame
    x: str
    panels: Sequence[Plot]
    marks: Sequence[Marks]
    """From back to front."""
    color: str = ""
    """The column that colours distinguish."""
    colors: Mapping[Any, str] = NO
    """The colours of its values, in the order of the legend."""
    labels: Mapping[Any, str] = NO
    """Texts of its values in the legend, by default the values."""
    tells: Mapping[str, str] = NO
    """Further columns that are shown under the pointer, with their names."""
    notes: Sequence[str] = ()
    """Sentences on what the chart leaves out."""
    columns: int = 0
    """The most panels side by side; by default those of a row."""


def is_row(table: pd.DataFrame, *wheres: Where) -> np.ndarray:
    """Which rows have all these values."""
    mask = np.ones(len(table), bool)
    for where in wheres:
        for column, value in where.items():
            values = value if isinstance(value, tuple) else (value,)
            mask &= table[column].isin(values).to_numpy()
    return mask


def of_runs(table: pd.DataFrame, x: Scale, y: Scale) -> list[Plot]:
    """A panel for each run, as `axes.run_panels` has them.

    Rows of width 0, the infinite width, are in all panels of their variant.
    """
    variants = unique_values(table, "variant")
    return [
        Plot(
            {"variant": variant, "width": (width, 0)},
            x,
            y,
            ", ".join([variant] * (len(variants) > 1) + [f"n = {width}"]),
            row=variant,
        )
        for variant in variants
        for width in sorted(set(table.loc[table["width"] > 0, "width"]))
        if not rows_where(table, variant=variant, width=width).empty
    ]


def time_axis(title: str, logarithmic: bool) -> Scale:
    """The axis of training time, from 0 on."""
    return Scale(title, "symlog" if logarithmic else "linear")


def input_axis(axis: str) -> Scale:
    """The axis of angles, from −π to π, or of x."""
    ticks = tuple(k * np.pi / 2 for k in range(-2, 3)) if axis == "angle" else ()
    texts = ("−π", "−π/2", "0", "π/2", "π")
    return Scale(COORDINATES[axis], ticks=ticks, texts=texts if ticks else ())


def line_of(model: str, y: str) -> Marks:
    """The lines of the networks, of their linearised models, or of infinite width."""
    name, dash = MODELS[model]
    where = {"model": model}
    return Marks("line", y, where=where, name=name, dash=dash, leads=model == "network")
