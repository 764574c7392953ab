"""Pictures within the page: packed until they are shown, and small stills."""

import base64
import gzip
import io
import re
from typing import NamedTuple

LARGEST_SVG = 120_000  # bytes, packed; the png of a larger one is smaller
LARGEST_GIF = 500_000  # bytes; a larger animation is played from its own file
STILL = 40_000  # bytes of base64
WIDTHS = (1000, 800, 640, 480, 320, 160)  # pixels of a still
VIEW = re.compile(rb'viewBox="[-\d.]+ [-\d.]+ ([\d.]+) ([\d.]+)"')


class Packed(NamedTuple):
    """A picture as text in the page; the script of the page unpacks it."""

    mime: str
    zipped: bool
    data: str
    """Base64 of the file, or of the zipped file."""
    width: int
    height: int


def picture(svg: bytes, png: bytes) -> Packed | None:
    """The svg, or the png if it is smaller; None if there is neither."""
    if svg:
        # without the time of compression the bytes depend on the picture only
        zipped = gzip.compress(svg, 9, mtime=0)
        if len(zipped) < LARGEST_SVG or not png:
            return Packed("image/svg+xml", True, _base64(zipped), *_size_of_svg(svg))
    if png:
        return Packed("image/png", False, _base64(png), *_size(png))
    return None


def shape(svg: bytes, png: bytes) -> tuple[int, int]:
    """Width and height of the picture, up to a common factor; 4:3 without a picture."""
    return _size_of_svg(svg) if svg else _size(png) if png else (4, 3)


def animation(gif: bytes) -> Packed | None:
    """The animation; None if it is too large for the page, or there is none."""
    if not gif or len(gif) > LARGEST_GIF:
        return None
    return Packed("image/gif", False, _base64(gif), *_size(gif))


def still(png: bytes, most: int = STILL) -> str:
    """A small picture as a data URI of at most `most` bytes; empty if there is none."""
    from PIL import Image  # comes with matplotlib

    if not png:
        return ""
    with Image.open(io.BytesIO(png)) as image:
        picture = image.convert("RGB")
    for width in WIDTHS:
        shape = (width, max(1, round(picture.height * width / picture.width)))
        small = io.BytesIO()
        resized = picture.resize(shape, Image.Resampling.LANCZOS)
        resized.save(small, "webp", quality=70)
        address = f"data:image/webp;base64,{_base64(small.getvalue())}"
        if len(address) <= most:
            return address
    return ""


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _size(picture: bytes) -> tuple[int, int]:
    """Width and height of a png or gif in pixels."""
    from PIL import Image

    with Image.open(io.BytesIO(picture)) as image:
        return image.size


def _size_of_svg(svg: bytes) -> tuple[int, int]:
    """Width and height of an svg in its own units, from the viewBox; 4:3 without."""
    found = VIEW.search(svg[:2000])
    if not found:
        return 4, 3
    return round(float(found[1])), round(float(found[2]))
