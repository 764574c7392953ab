"""A small picture of a picture, for the gallery of the page and of the manual."""

import io


def thumbnail(png: bytes, width: int = 240) -> bytes:
    """A png of this width and of the same shape; empty if there is no picture."""
    from PIL import Image  # comes with matplotlib

    if not png:
        return b""
    small = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        shape = (width, round(image.height * width / image.width))
        resized = image.convert("RGB").resize(shape, Image.Resampling.LANCZOS)
        # the default, by the median, gives a colour of few pixels to another line
        colours = resized.quantize(128, method=Image.Quantize.FASTOCTREE)
        colours.save(small, "png", optimize=True)
    return small.getvalue()
