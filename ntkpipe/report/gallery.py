"""The figures of the sources, in their order, and what regenerates each of them.

One file, `config/gallery.yaml`; the page and the manual show it.
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
    """Its number or file name in the source."""
    shows: Annotated[
        tuple[Annotated[str, Field(pattern=r"^[a-z0-9_-]+/[a-z0-9_-]+$")], ...],
        Field(min_length=1),
    ]
    """What regenerates it: study/figure."""
    setting: str
    """The source's own setting."""
    differs: str
    """What is not as there."""


@section
class Source:
    """A paper or post with its figures, in its order."""

    source: str
    """Author, year, title."""
    figures: tuple[Original, ...]
    """Its figures."""
    notes: tuple[str, ...] = ()
    """Slips of the source that a reader of both will stumble over."""


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
