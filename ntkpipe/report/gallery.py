"""The gallery: the figures of the sources and the figures that regenerate them.

The gallery is the file `config/gallery.yaml`, which the page and the manual show.
"""

import json
from pathlib import Path
from typing import Annotated

import pydantic
from pydantic import Field

from ntkpipe.section import Fault, section
from ntkpipe.study import StudyError, read_yaml


@section
class Original:
    """A published figure, or a statement without one."""

    figure: str
    """The number or file name of the figure in the source."""
    shows: Annotated[
        tuple[Annotated[str, Field(pattern=r"^[a-z0-9_-]+/[a-z0-9_-]+$")], ...],
        Field(min_length=1),
    ]
    """The figures that regenerate it, as study/figure."""
    setting: str
    """The setting of the source."""
    differs: str
    """Differences from the source."""


@section
class Source:
    """A paper or post, and its figures in the order of the source."""

    source: str
    """Author, year, title."""
    figures: tuple[Original, ...]
    """Its figures."""
    notes: tuple[str, ...] = ()
    """Errata of the source."""
    prefix: tuple[str, ...] = ()
    """Letters with which the ids of its claims begin: `R` of `R-1`."""


_GALLERY = pydantic.TypeAdapter(tuple[Source, ...])


def load(path: str | Path) -> tuple[Source, ...]:
    """Read a gallery, or raise a `StudyError` with its faults."""
    try:
        return _GALLERY.validate_json(json.dumps(read_yaml(path)))
    except pydantic.ValidationError as error:
        raise StudyError(
            Fault(tuple(map(str, fault["loc"])), fault["msg"], str(path))
            for fault in error.errors()
        ) from error
