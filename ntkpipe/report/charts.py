"""The interactive charts of the page: their data, and the scripts that draw them.

A block is text within the page that `charts.js` draws in the place of a picture: a
specification of Vega-Lite, or the frames of an animation. The library Vega is one block
more. All blocks are deflated, and base64, so that the page loads no file.
"""

from __future__ import annotations

import base64
import functools
import importlib.resources
import io
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ntkpipe import text
from ntkpipe.figures import interactive
from ntkpipe.lazy import Lazy

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd
    import vl_convert
    from PIL import Image
else:
    alt, vl_convert = Lazy("altair"), Lazy("vl_convert")
    Image = Lazy("PIL.Image")

SCRIPT, STYLE = "charts.js", "charts.css"
MOST_FRAMES = 60  # of an animation within the page
WHITE = 0xFFFFFF


@dataclass(frozen=True, kw_only=True)
class Block:
    """An interactive chart or an animation within the page."""

    kind: str
    """`chart` or `frames`."""
    data: str
    """Deflated, in base64."""
    notes: Sequence[str] = ()
    """Sentences below it."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """Of frames: width, height, count, palette."""


def block(figure: Any, table: pd.DataFrame, gif: bytes = b"") -> Block | None:
    """The interactive form of a figure; None if it has none.

    Args:
        figure: a kind of figure.
        table: its table, as it is stored.
        gif: its animation, if it is one.
    """
    if gif:
        return frames(gif)
    if list(table) == ["note"]:
        return None  # the reason why there is nothing to draw
    chart = figure.chart(table)
    if chart is None:
        return None
    spec = interactive.specification(chart) | {"description": figure.title}
    data = deflated(
        json.dumps(spec, ensure_ascii=False, separators=(",", ":")).encode()
    )
    return Block(kind="chart", data=data, notes=spec["usermeta"]["notes"])


def frames(gif: bytes) -> Block:
    """The frames of an animation, for a slider: at most `MOST_FRAMES`.

    A pixel is the index of its colour, combined with the pixel of the frame before by
    exclusive or, because equal pixels are then 0 and take no room.
    """
    opened: Any = Image.open(io.BytesIO(gif))  # an animation has frames
    with opened as image:
        last = image.n_frames - 1
        step = max(1, -(-last // (MOST_FRAMES - 1)))
        pixels = []
        for k in sorted({*range(0, last, step), last}):
            image.seek(k)
            # red + 256 green + 256² blue
            pixels.append(np.asarray(image.convert("RGBA")).view("<u4")[..., 0] & WHITE)
    colors = np.unique(np.concatenate([np.unique(one) for one in pixels]))
    if len(colors) > 256:
        raise ValueError(f"an animation has at most 256 colours, not {len(colors)}")
    index = np.zeros(WHITE + 1, np.uint8)
    index[colors] = np.arange(len(colors))
    stack = np.stack([index[one] for one in pixels])
    count, height, width = stack.shape
    stack[1:] ^= stack[:-1].copy()
    nth = {2: "second", 3: "third"}.get(step, f"{step}th")
    return Block(
        kind="frames",
        data=deflated(stack.tobytes()),
        notes=[f"Shown is every {nth} frame; the gif has all."] if step > 1 else [],
        about={"width": width, "height": height, "count": count}
        | {"palette": colors.tolist()},
    )


@dataclass(frozen=True, kw_only=True)
class Preview:
    """The beginning of a figure's table, for a reader who cannot point at a chart."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    says: str
    """How much of the table it is."""


def preview(table: pd.DataFrame, rows: int = 12, columns: int = 10) -> Preview:
    """The first rows and columns of a table, numbers with four digits."""
    part = table.iloc[:rows, :columns]
    cells = [
        [f"{v:.4g}" if isinstance(v, float) else str(v) for v in row]
        for row in part.itertuples(index=False)
    ]
    says = f"{len(part)} of {text.many(len(table), 'row')}"
    if len(table.columns) > columns:
        says += f", {columns} of {len(table.columns)} columns"
    return Preview(columns=list(part), rows=cells, says=says)


def deflated(data: bytes) -> str:
    """Data, deflated, in base64."""
    return base64.b64encode(zlib.compress(data, 9)).decode("ascii")


@functools.cache
def library() -> str:
    """Vega, Vega-Lite and Vega-Embed as one deflated script.

    The version of Vega-Lite is that of Altair's specifications.
    """
    version = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    # with a snippet, the script would have what the snippet uses only
    code = vl_convert.javascript_bundle(vl_version=version)  # type: ignore[call-arg]
    return deflated(code.encode())


def scripts(blocks: Sequence[Block | None]) -> str:
    """The scripts of a page with these blocks, as HTML; empty without blocks."""
    kinds = {one.kind for one in blocks if one}
    if not kinds:
        return ""
    parts = [f"<script>\n{script()}</script>"]
    if "chart" in kinds:
        parts.insert(0, f'<script type="text/plain" id="vega">{library()}</script>')
    return "\n".join(parts)


def script() -> str:
    """The script that draws the blocks."""
    return _resource(SCRIPT)


def style() -> str:
    """The style sheet of the charts."""
    return _resource(STYLE)


def _resource(name: str) -> str:
    return importlib.resources.files(__package__).joinpath(name).read_text("utf-8")
