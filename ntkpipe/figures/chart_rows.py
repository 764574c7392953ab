"""The rows of a table that an interactive chart draws, as csv text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from ntkpipe.figures.chart import Chart, Marks, is_row
from ntkpipe.figures.mathtext import plain
from ntkpipe.figures.packages import pd
from ntkpipe.lazy import Lazy

if TYPE_CHECKING:
    import altair as alt
else:
    alt = Lazy("altair")

MOST = 12_000  # rows of a chart; of a larger one, every k-th is drawn
DIGITS = 5  # significant, of the numbers in a specification


def drawn_rows(chart: Chart) -> tuple[pd.DataFrame, list[str]]:
    """The rows that are drawn, with their panel, and sentences on what is not drawn.

    `panel` is the number of the panel, `series` the text of the colour in the legend.
    Values that a log axis can't show are missing.
    """
    table = chart.table
    drawn = np.logical_or.reduce([is_row(table, one.where) for one in chart.marks])
    table, notes = _thinned(chart, table[drawn])
    columns, frames, hidden = drawn_columns(chart.marks), [], 0
    for k, panel in enumerate(chart.panels):
        part = table[is_row(table, panel.where)].assign(panel=k)
        if panel.y.scale == "log":
            below = part[columns] <= 0
            hidden += int(below.to_numpy().sum())
            part[columns] = part[columns].mask(below)
        frames.append(part)
    if hidden:
        notes.append("Values of 0 or less are not on a logarithmic axis.")
    rows = pd.concat(frames, ignore_index=True)
    if chart.color:
        rows["series"] = [series_text(chart, value) for value in rows[chart.color]]
    kept = ["panel", *(["series"] if chart.color else []), chart.x, *columns]
    for one in chart.marks:
        kept += [*one.where, *one.each, *([one.y] if one.mark == "rule" else [])]
    return rows[list(dict.fromkeys([*kept, *chart.tells]))], notes


def _thinned(chart: Chart, table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """At most `MOST` rows: those of every k-th seed, or at every k-th abscissa."""
    step = -(-len(table) // MOST)
    if step <= 1:
        return table, []
    seeds = "seed" in table and table["seed"].nunique() > step
    column = "seed" if seeds else chart.x
    values = np.sort(table[column].dropna().unique())
    kept = table[column].isna() | table[column].isin([*values[::step], values[-1]])
    nth = {2: "second", 3: "third"}.get(step, f"{step}th")
    text = f"Drawn is every {nth} {'seed' if seeds else 'point'}; the csv has all."
    return table[kept], [text]


def drawn_columns(marks: Iterable[Marks]) -> list[str]:
    """The columns that are drawn against x."""
    names = [name for one in marks if one.mark != "rule" for name in (one.y, one.y2)]
    return list(dict.fromkeys(filter(None, names)))


def series_text(chart: Chart, value: Any) -> str:
    """The text of a value of the colour's column."""
    return plain(str(chart.labels.get(value, value)))


def as_data(rows: pd.DataFrame) -> alt.InlineData:
    """The rows as csv text, and the types of their columns."""
    numbers = list(rows.select_dtypes("number"))
    text = rows.assign(**{name: _rounded(rows[name]) for name in numbers})
    parse = {name: "number" if name in numbers else "string" for name in rows}
    form = alt.CsvDataFormat(type="csv", parse=parse)
    return alt.InlineData(values=text.to_csv(index=False), format=form)


def _rounded(values: pd.Series) -> list[str]:
    """Numbers with `DIGITS` significant digits, whole ones with all their digits."""
    whole = pd.api.types.is_integer_dtype(values)
    form = "d" if whole else f".{DIGITS}g"
    return ["" if value != value else format(value, form) for value in values]
