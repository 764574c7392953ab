"""A chart as a specification of Vega-Lite, made by Altair.

The specification has the rows of the figure's own table, rounded to five digits, as csv
text. Nothing is computed from them: each number that Vega draws is in the table. The
page chooses how many panels are side by side, and their width.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntkpipe.figures import chart_ranges
from ntkpipe.figures.axes import wrapped
from ntkpipe.figures.chart import Chart, Marks, Plot, Scale, Where, is_row
from ntkpipe.figures.chart_looks import (
    FADED,
    LOOKS,
    PAPER,
    STRIP,
    colors,
    config,
    key,
    legend,
    on_dark,
    strokes,
)
from ntkpipe.figures.chart_rows import as_data, drawn_rows, series_text
from ntkpipe.figures.mathtext import plain
from ntkpipe.figures.packages import pd
from ntkpipe.figures.style import INK, Look
from ntkpipe.lazy import Lazy

if TYPE_CHECKING:
    import altair as alt
    from altair.utils import schemapi
else:
    alt, schemapi = Lazy("altair"), Lazy("altair.utils.schemapi")

HEIGHT, LINE = 210, 15  # pixels: of a panel, and of a line of text above it
SHOWN = "shown"  # name of the choice in the legend
SPACE = {"row": 26, "column": 30}  # pixels between panels
ZOOM = "wheel![event.ctrlKey || event.metaKey]"  # the plain wheel scrolls the page
LEFT, TITLE, RIGHT = 42, 16, 18  # pixels: tick labels, a line of a title, last label
LETTER = 6.5  # pixels of a letter in a legend, about
COLORS = {"law": "series", "when": "training"}
"""Words for columns that colours distinguish."""


def specification(chart: Chart, check: bool = False) -> dict[str, Any]:
    """The Vega-Lite specification of a chart.

    It is a concatenation of panels, so that the page can set their number in a row.
    `usermeta` has what the page needs besides: `columns`, the most panels in a row;
    `legend`, the width of an entry of the legend in pixels; `labels`, the width of the
    labels beside a panel; `dark`, each colour and the one in its place on a dark page;
    `notes`, sentences on the marks and on what is not drawn.

    Args:
        chart: the mapping, with its table.
        check: whether Altair validates the specification against the schema of
            Vega-Lite, which takes longer than making it.
    """
    chart = chart._replace(marks=[m for m in chart.marks if _is_drawn(chart, m)])
    rows, notes = drawn_rows(chart)
    with schemapi.debug_mode(check):
        figure = _figure(chart, rows).to_dict(validate=check)
        figure["$schema"] = alt.SCHEMA_URL
    in_rows = [panel.row for panel in chart.panels]
    letters = max((len(series_text(chart, value)) for value in chart.colors), default=0)
    lines = max(len(_lines(panel.y)) for panel in chart.panels)
    meta = {
        "columns": chart.columns or max(map(in_rows.count, in_rows)),
        "legend": LEFT + LETTER * letters,
        "labels": LEFT + TITLE * lines + RIGHT,
        "dark": {color: on_dark(color) for color in colors(chart)},
        "notes": [*key(chart), *chart.notes, *notes],
    }
    return figure | {"usermeta": meta}


def _is_drawn(chart: Chart, marks: Marks) -> bool:
    """Whether there is something to draw: rows, and of a band some height."""
    rows = chart.table[is_row(chart.table, marks.where)]
    return bool((rows[marks.y2] > rows[marks.y]).any() if marks.y2 else len(rows))


def _figure(chart: Chart, rows: pd.DataFrame) -> alt.TopLevelConcatSpec:
    """All panels, one below the other.

    Altair's records of the schema are used and not its charts, because to put charts
    together copies each many times, which takes a second a figure.
    """
    shared = _Shared(chart)
    panels = [
        _panel(chart, panel, k, rows[rows["panel"] == k], shared)
        for k, panel in enumerate(_lettered(chart.panels))
    ]
    params = [
        alt.VariableParameter(name="legend_columns", value=4),
        *_choices(len(panels), shared.shown),
    ]
    one: Look = {"color": "shared", "strokeDash": "shared"}
    return alt.TopLevelConcatSpec(
        concat=panels,
        columns=1,
        spacing=SPACE,
        data=as_data(rows),
        params=params,
        resolve=alt.Resolve(scale=alt.ScaleResolveMap(**one)),
        config=config(),
    )


def _choices(panels: int, in_legend: bool) -> list[Any]:
    """What the pointer chooses: a series in the legend; a point, a part of a panel."""
    series = alt.PointSelectionConfig(type="point", fields=["series"])
    nearest = alt.PointSelectionConfig(
        type="point", on="pointerover", clear="pointerout", nearest=True
    )
    zoom = alt.IntervalSelectionConfig(type="interval", zoom=ZOOM)
    choice, views = alt.TopLevelSelectionParameter, [*map(_view, range(panels))]
    found = []
    if in_legend:
        found.append(choice(name=SHOWN, select=series, bind="legend", views=views))
    for k, view in enumerate(views):
        found.append(choice(name=f"hover_{k}", select=nearest, views=[view]))
        found.append(choice(name=f"zoom_{k}", select=zoom, bind="scales", views=[view]))
    return found


def _view(panel: int) -> str:
    """The name of the marks of a panel to which its choices belong."""
    return f"panel_{panel}"


# ------------------------------------------------------------------ scales


class _Shared:
    """What all panels share: the colours, the legends and the choice in the legend."""

    def __init__(self, chart: Chart):
        self.named = {series_text(chart, value): c for value, c in chart.colors.items()}
        self.shown = len(self.named) > 1  # whether the legend chooses
        self.colors: Any = None
        self.sizes: Any = None
        if len(self.named) == 1:
            self.colors = alt.ColorValue(next(iter(self.named.values())))
        elif self.named:
            domain, colors = list(self.named), list(self.named.values())
            self.colors = alt.Color(
                "series:N",
                title=None,
                scale=alt.Scale(domain=domain, range=colors),
                legend=legend(symbolType="circle", symbolSize=90),
            )
            # points that lie on each other become rings
            first, *others = np.geomspace(90, 34, len(domain)).round().tolist()
            conditions = [
                {"test": {"field": "series", "equal": name}, "value": size}
                for name, size in zip(domain[1:], others, strict=True)
            ]
            self.sizes = alt.SizeValue(first, condition=conditions)
        drawn = [m for m in chart.marks if m.mark == "line"]
        lines = {plain(m.name): strokes(m.dash) for m in drawn if m.name}
        self.lines: Any = None
        if lines and len(set(lines) | {m.mark for m in chart.marks} & {"thin"}) > 1:
            self.lines = alt.StrokeDash(
                "line:N",
                title=None,
                scale=alt.Scale(domain=list(lines), range=list(lines.values())),
                legend=legend(
                    symbolType="stroke", symbolStrokeColor=INK, symbolSize=400
                ),
            )


def _axis(chart: Chart, number: int, of: str) -> Callable[[str], Any]:
    """The encoding of a column on the x or y axis of a panel."""
    panel = chart.panels[number]
    axis: Scale = getattr(panel, of)
    first = chart_ranges.first_positive(chart, panel)
    low, high = {"x": chart_ranges.x_range, "y": chart_ranges.y_range}[of](chart, panel)
    scale: Look = {"type": axis.scale, "domain": [low, high], "nice": False}
    if axis.scale == "linear":
        scale["zero"] = False
    look: Look = {"labelExpr": chart_ranges.NUMBER, "labelOverlap": "greedy"}
    if axis.scale == "log" and not axis.ticks:
        column = chart.x if of == "x" else _pointed_marks(chart)[0].y
        span = f"zoom_{number}['{column}']"
        look |= _few_labels(chart_ranges.labelled(span, low, high))
    if axis.scale == "symlog":
        scale["constant"] = first
        look["values"] = [0, *chart_ranges.decades(first, high)]
    if axis.ticks:
        look["values"] = list(axis.ticks)
    if axis.texts:
        look["labelExpr"] = (
            f"{list(axis.texts)}[indexof({look['values']}, datum.value)]"
        )
    title = _lines(axis) if of == "y" else _title(axis)
    if of == "y":  # so that panels have the same size
        look |= {"minExtent": LEFT, "maxExtent": LEFT}
    channel = {"x": alt.X, "y": alt.Y}[of]

    def encoding(column: str) -> Any:
        return channel(
            f"{column}:Q", title=title, scale=alt.Scale(**scale), axis=alt.Axis(**look)
        )

    return encoding


def _lines(axis: Scale) -> list[str]:
    """The title of a vertical axis, in one or two lines."""
    return wrapped(_title(axis)).split("\n")


def _few_labels(test: str) -> dict[str, Any]:
    """The look of a log axis: only some ticks have a text and a full line."""
    grid = {"condition": {"test": test, "value": 1}, "value": 0.4}
    return {"labelExpr": f"{test} ? ({chart_ranges.NUMBER}) : ''", "gridOpacity": grid}


def _title(axis: Scale) -> str:
    """The title of an axis in one line."""
    return " ".join(plain(axis.title).split())


# ------------------------------------------------------------------ panels


def _lettered(panels: Sequence[Plot]) -> list[Plot]:
    """The panels with (a), (b), … before their titles, if there are several."""
    if len(panels) == 1:
        return list(panels)
    letters = [*string.ascii_lowercase, *map(str, range(1, len(panels)))]
    return [
        panel._replace(title=f"({letter})  {panel.title}".rstrip())
        for letter, panel in zip(letters, panels, strict=False)
    ]


class _Place(NamedTuple):
    """The chart, the number of a panel, its axes, and what all panels share."""

    chart: Chart
    number: int
    x: Callable[[str], Any]
    y: Callable[[str], Any]
    shared: _Shared


def _panel(
    chart: Chart, panel: Plot, k: int, rows: pd.DataFrame, shared: _Shared
) -> alt.LayerSpec:
    """All marks of a panel, with points under the pointer, zoom and pan."""
    at = _Place(chart, k, _axis(chart, k, "x"), _axis(chart, k, "y"), shared)
    layers = [
        layer
        for marks in chart.marks
        if is_row(rows, marks.where).any()
        for layer in _layers(at, marks, rows[is_row(rows, marks.where)])
    ]
    title = alt.TitleParams(text=plain(panel.title), anchor="start", frame="group")
    in_panel = alt.FilterTransform(alt.FieldEqualPredicate(field="panel", equal=k))
    return alt.LayerSpec(
        layer=[*layers, _pointed(at), *_notes(at, panel)],
        height=HEIGHT,
        title=title,
        transform=[in_panel],
    )


def _layers(at: _Place, marks: Marks, rows: pd.DataFrame) -> Iterator[alt.UnitSpec]:
    """The marks of one look: one layer, or the strips of all series side by side."""
    if marks.mark != "strip":
        yield _layer(at, marks, rows)
        return
    most = rows.groupby([*(["series"] if "series" in rows else []), at.chart.x]).size()
    opacity = float(np.clip(12 / most.max(), 0.15, 0.6))
    series = list(dict.fromkeys(rows["series"])) if at.shared.shown else [""]
    for k, name in enumerate(series):
        where = {**marks.where, **({"series": name} if name else {})}
        shift = STRIP * (k - (len(series) - 1) / 2)
        own = marks._replace(where=where)
        yield _layer(at, own, rows, opacity, {"xOffset": shift} if shift else {})


def _layer(
    at: _Place,
    marks: Marks,
    rows: pd.DataFrame,
    opacity: float = 0.0,
    more: Look | None = None,
) -> alt.UnitSpec:
    """The marks of one look."""
    kind, usual, look = LOOKS[marks.mark]
    opacity, look = opacity or usual, look | (more or {})
    steps: list[Any] = [alt.FilterTransform(_test(marks.where))] if marks.where else []
    if marks.mark == "rule":
        steps.append(alt.AggregateTransform(aggregate=[], groupby=[marks.y]))
        look = {"color": marks.color, "strokeDash": strokes(marks.dash)}
        return _unit("rule", look, steps, {"x": at.x(marks.y)})
    ends: dict[str, Any] = {"x": at.x(at.chart.x), "y": at.y(marks.y)}
    if marks.y2:
        ends["y2"] = alt.Y2(marks.y2)
    if kind == "line":
        detail = [*marks.each, *(["series"] if at.chart.color else [])]
        ends["detail"] = [alt.Detail(f"{name}:N") for name in detail]
        if at.shared.lines and marks.mark == "line":
            name = f"'{plain(marks.name)}'"
            steps.append(alt.CalculateTransform(calculate=name, **{"as": "line"}))
            ends["strokeDash"] = at.shared.lines
        else:
            look = look | {"strokeDash": strokes(marks.dash)}
    ends["color"] = at.shared.colors
    if marks.color:
        ends["color"] = alt.ColorValue(marks.color)
    elif marks.mark == "point" and at.shared.sizes:
        ends["size"] = at.shared.sizes
    ends["opacity"] = _opacity(at.shared, opacity, rows)
    return _unit(kind, look, steps, ends)


def _unit(
    mark: Any, look: Any, steps: Sequence[Any], ends: Any, **more: Any
) -> alt.UnitSpec:
    """Marks with their look, the steps that choose their rows, and their encoding."""
    return alt.UnitSpec(
        mark=alt.MarkDef(type=mark, clip=True, **look),
        encoding=alt.Encoding(**{name: end for name, end in ends.items() if end}),
        transform=list(steps) or alt.Undefined,
        **more,
    )


def _opacity(shared: _Shared, opacity: float, rows: pd.DataFrame) -> alt.OpacityValue:
    """An opacity that fades what the legend does not choose, if the legend has it."""
    if not shared.shown or not rows["series"].isin(shared.named).any():
        return alt.OpacityValue(opacity)
    return alt.OpacityValue(FADED, condition={"param": SHOWN, "value": opacity})


def _test(where: Where) -> Any:
    """The test for rows that have these values."""
    tests = []
    for column, value in where.items():
        values = list(value) if isinstance(value, tuple) else [value]
        texts = [str(v) if isinstance(v, bool) else v for v in values]
        tests.append(alt.FieldOneOfPredicate(field=column, oneOf=texts))
    return tests[0] if len(tests) == 1 else alt.LogicalAndPredicate(**{"and": tests})


def _pointed(at: _Place) -> alt.UnitSpec:
    """The point nearest to the pointer, with its numbers."""
    chart, shared = at.chart, at.shared
    first, *others = _pointed_marks(chart)
    near = [first.where, *(one.where for one in others)]
    steps: list[Any] = []
    if all(near):
        either = alt.LogicalOrPredicate(**{"or": [_test(where) for where in near]})
        steps.append(alt.FilterTransform(either))
    if shared.shown:
        steps.append(alt.FilterTransform(alt.ParameterPredicate(param=SHOWN)))
    for name in chart.tells:  # a missing number is written as a dash
        told = f"isValid(datum['{name}']) ? datum['{name}'] : '–'"
        steps.append(alt.CalculateTransform(calculate=told, **{"as": f"told_{name}"}))
    hovered = {"param": f"hover_{at.number}", "empty": False, "value": 1}
    ends = {
        "x": at.x(chart.x),
        "y": at.y(first.y),
        "color": shared.colors or alt.ColorValue(first.color),
        "opacity": alt.OpacityValue(0, condition=hovered),
        "tooltip": _tooltip(at, first),
    }
    look = {"filled": True, "size": 70, "stroke": PAPER}
    return _unit("point", look, steps, ends, name=_view(at.number))


def _pointed_marks(chart: Chart) -> list[Marks]:
    """The marks that show their numbers under the pointer: points, or else lines."""
    points, lines = (
        [one for one in chart.marks if one.mark in kinds]
        for kinds in (("strip", "point", "scatter", "dot"), ("line", "thin"))
    )
    if all(one.mark == "dot" for one in points):
        points = [*lines, *points]
    return [one for one in points if one.y == points[0].y]


def _tooltip(at: _Place, marks: Marks) -> list[alt.Tooltip]:
    """What is shown under the pointer: the series, further columns, x and y."""
    chart, panel = at.chart, at.chart.panels[at.number]
    told = []
    if len(chart.colors) > 1:
        title = COLORS.get(chart.color, chart.color)
        told.append(alt.Tooltip("series:N", title=title))
    told += [
        alt.Tooltip(f"told_{name}:N", title=plain(text))
        for name, text in chart.tells.items()
    ]
    told.append(alt.Tooltip(f"{chart.x}:Q", title=_title(panel.x), format="~g"))
    told.append(alt.Tooltip(f"{marks.y}:Q", title=_title(panel.y), format=".4~g"))
    return told


def _notes(at: _Place, panel: Plot) -> list[alt.UnitSpec]:
    """The lines of text above a panel, in the colours of their series."""
    charts = []
    for k, (value, text) in enumerate(panel.notes):
        series = series_text(at.chart, value)
        row = {"series": series, "text": plain(f"{series}: {text}" if series else text)}
        ends = {
            "x": alt.XValue(0),
            "y": alt.YValue(-5 - LINE * (len(panel.notes) - 1 - k)),
            "text": alt.Text("text:N"),
            "color": at.shared.colors or alt.ColorValue(INK),
        }
        charts.append(
            alt.UnitSpec(
                data=alt.InlineData(values=[row]),
                mark=alt.MarkDef(
                    type="text",
                    align="left",
                    baseline="bottom",
                    fontSize=11,
                    clip=False,
                ),
                encoding=alt.Encoding(**ends),
            )
        )
    return charts
