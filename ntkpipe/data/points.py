"""Points listed in the study file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from ntkpipe.data.base import BaseDataset, Count, Data, Number, Row, Sizes
from ntkpipe.section import Fault, section


@section
class Points(BaseDataset):
    """Points and targets given as lists; test points on a grid along the first axis.

    Example, two points on a line: x: [[-3], [0.5]], y: [[2], [-1]].
    """

    kind: Literal["points"] = "points"
    x: Annotated[tuple[Row, ...], Field(min_length=1)]
    """Training points, one list for each point."""
    y: Annotated[tuple[Row, ...], Field(min_length=1)]
    """Targets, one list for each point."""
    grid: tuple[Number, Number] = (-5.0, 5.0)
    """First coordinate of the first and the last test point; others are 0."""
    test: Count = 101
    """Number of test points."""

    is_random: ClassVar[bool] = False
    test_axis: ClassVar[str | None] = "x"

    def faults(self) -> Iterator[Fault]:
        """Rows of different lengths, or different numbers of rows, are faults."""
        for name, rows in (("x", self.x), ("y", self.y)):
            if len({len(row) for row in rows}) > 1:
                yield Fault((name,), "rows of different lengths")
        if len(self.x) != len(self.y):
            yield Fault(("y",), f"{len(self.y)} targets for {len(self.x)} points x")

    @property
    def sizes(self) -> Sizes:
        """Numbers of points, inputs and outputs."""
        return Sizes(len(self.x), self.test, len(self.x[0]), len(self.y[0]))

    @property
    def labels(self) -> np.ndarray:
        """The targets as written."""
        return np.array(self.y, float)

    def sample(self, key) -> Data:
        """Return the points as written."""
        del key
        x, y = np.array(self.x, float), np.array(self.y, float)
        x_test = np.zeros((self.test, x.shape[1]))
        x_test[:, 0] = np.linspace(*self.grid, self.test)
        return Data(x, y, x_test, np.zeros((self.test, y.shape[1])))
