"""Points on the unit circle."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from ntkpipe.data.base import BaseDataset, Count, Data, Row, Sizes, on_circle
from ntkpipe.data.targets import Target, labelled
from ntkpipe.section import section


@section
class Circle(BaseDataset):
    """Points (cos γ, sin γ) on the unit circle; test points at equal angles."""

    kind: Literal["circle"] = "circle"
    angles: Row | None = None
    """Angles γ of the training points; default: `points` equal angles."""
    points: Count = 4
    """Number of training points, if `angles` is not given."""
    target: Target
    """Target function or values."""
    test: Count = 65
    """Number of test points, at γ from −π to π."""

    test_axis: ClassVar[str | None] = "angle"

    @property
    def is_random(self) -> bool:
        """Whether the target is random; the points are not."""
        return self.target.is_random

    @property
    def equal_angles(self) -> bool:
        """Whether the training points lie at equal angles on the circle."""
        return self.angles is None

    @property
    def sizes(self) -> Sizes:
        """Numbers of points, inputs and outputs."""
        n = self.points if self.angles is None else len(self.angles)
        return Sizes(n, self.test, 2, self.target.outputs)

    def sample(self, key) -> Data:
        """Place the points and label them."""
        if self.angles is None:
            angles = 2 * np.pi * np.arange(self.points) / self.points
        else:
            angles = np.array(self.angles)
        grid = np.linspace(-np.pi, np.pi, self.test)
        return labelled(on_circle(angles), on_circle(grid), self.target, key)
