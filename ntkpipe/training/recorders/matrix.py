"""A corner of a weight matrix of the first network."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from ntkpipe.section import section
from ntkpipe.training.recorders.base import Now, Record, Recorder


@section
class KeepMatrix:
    """The top left corner of a weight matrix, kept at each recorded step."""

    layer: Annotated[int, Field(ge=1)] = 2
    """Index of the matrix: 1 reads the input, 2 the first hidden layer, …"""
    size: Annotated[int, Field(ge=1, le=100)] = 50
    """Number of rows and columns."""


@section
class Keys:
    """The recorder's key."""

    keep_matrix: KeepMatrix | None = None
    """Keep a corner of a weight matrix of the first network at recorded steps."""


class Matrix(Recorder):
    """The top left corner; with `zero_output: double`, that of the first twin."""

    keys = Keys
    optional: ClassVar = {"matrix": "t i j"}
    first_only = True

    def observe(self, run, now: Now) -> Record:
        """The corner, (i j)."""
        kept = run.training.keep_matrix
        w = now.params[0][kept.layer - 1]["w"]
        return {"matrix": w[: kept.size, : kept.size]}
