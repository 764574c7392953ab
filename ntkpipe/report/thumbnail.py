"""Thumbnails for the gallery of the page and of the manual."""

import io


def thumbnail(png: bytes, width: int = 240) -> bytes:
    """A png with this width and the same aspect ratio; empty if there is no picture."""
    from PIL import Image  # comes with matplotlib

    if not png:
        return b""
    small = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        shape = (width, round(image.height * width / image.width))
        resized = image.convert("RGB").resize(shape, Image.Resampling.LANCZOS)
        # the default method merges the colours of thin lines
        colours = resized.quantize(128, method=Image.Quantize.FASTOCTREE)
        colours.save(small, "png", optimize=True)
    return small.getvalue()
