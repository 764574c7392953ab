"""Write figures as png, svg, pdf, and animations as gif, with reproducible bytes.

Figures are made without pyplot, so no figure stays in memory and no display is needed.
"""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from operator import methodcaller
from pathlib import Path

import numpy as np

from ntkpipe import artifacts
from ntkpipe.figures.packages import mcolors, mfigure
from ntkpipe.figures.style import GREY, INK, TARGET, style
from ntkpipe.lazy import Lazy

Image = Lazy("PIL.Image")
backend = Lazy("matplotlib.backends.backend_agg")
layout_engine = Lazy("matplotlib.layout_engine")


METADATA: dict[str, dict[str, str | None]] = {
    # without dates and versions the bytes depend on the figure only
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


# animations have few pixels and colours, because the page contains every frame
GIF_DPI, GIF_COLORS, GIF_PER_SECOND, GIF_SHORTEST_S, GIF_HOLD_S = 84, 44, 10, 6, 2


def encode(figure: mfigure.Figure, kind: str) -> bytes:
    """The bytes of a figure as png, svg or pdf."""
    if kind not in METADATA:
        raise ValueError(f"figures are png, svg or pdf, not {kind}")
    stream = BytesIO()
    with style():
        _lay_out(figure)
        figure.savefig(stream, format=kind, metadata=METADATA[kind])
    return stream.getvalue()


def animate(frames: Iterable[mfigure.Figure]) -> bytes:
    """The bytes of an animation (gif) that repeats, with a pause at its end.

    All frames share one palette. With a palette for each frame the background flickers.
    """
    images = []
    with style():
        for figure in frames:
            figure.set_dpi(GIF_DPI)
            canvas = backend.FigureCanvasAgg(figure)
            _lay_out(figure)
            canvas.draw()
            images.append(Image.fromarray(np.array(canvas.buffer_rgba())[..., :3]))
    # the palette of the first, the middle and the last frame
    chosen = [images[k] for k in sorted({0, len(images) // 2, len(images) - 1})]
    sample = Image.fromarray(np.concatenate([np.asarray(image) for image in chosen]))
    found = sample.quantize(GIF_COLORS, Image.Quantize.MEDIANCUT).getpalette()
    palette = Image.new("P", (1, 1))
    # colours of small areas, which a palette by frequency lacks
    fixed = [
        round(255 * part)
        for color in ("#ffffff", INK, GREY, TARGET)
        for part in mcolors.to_rgb(color)
    ]
    palette.putpalette([*found[: 3 * GIF_COLORS], *fixed])
    first, *others = [
        image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images
    ]
    a_frame = max(1000 // GIF_PER_SECOND, 1000 * GIF_SHORTEST_S // len(images))
    times = [a_frame] * len(others) + [1000 * GIF_HOLD_S]
    stream = BytesIO()
    first.save(
        stream,
        "GIF",
        save_all=True,
        append_images=others,
        duration=times,
        loop=0,
        optimize=False,
    )
    return stream.getvalue()


def _lay_out(figure: mfigure.Figure) -> None:
    """Lay out the panels once, because each drawing moves them a little further."""
    if isinstance(figure.get_layout_engine(), layout_engine.ConstrainedLayoutEngine):
        figure.draw_without_rendering()
        figure.set_layout_engine("none")


def save(
    figure: mfigure.Figure,
    paths: Iterable[str | Path],
    frames: Iterable[mfigure.Figure] | None = None,
) -> dict[str, str]:
    """Write a figure to all paths, atomically; the endings give the formats.

    A path that ends in .gif gets the animation of `frames`. Returns the checksum of
    each file, by its ending.
    """
    written = {}
    for path in paths:
        kind = Path(path).suffix.removeprefix(".")
        if kind == "gif" and frames is not None:
            body = animate(frames)
        else:
            body = encode(figure, kind)
        artifacts.write(path, methodcaller("write", body))
        written[kind] = artifacts.checksum(body)
    return written
