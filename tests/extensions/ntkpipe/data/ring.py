"""Points on a circle of a given radius."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from ntkpipe.data.base import BaseDataset, Count, Data, Size, Sizes, on_circle
from ntkpipe.data.targets import Target, labelled
from ntkpipe.section import section


@section
class Ring(BaseDataset):
    """Points ρ(cos γ, sin γ) at equal angles; test points lie halfway between them."""

    kind: Literal["ring"] = "ring"
    points: Count
    """Number of training points, and of test points."""
    radius: Size = 1.0
    """Radius ρ of the circle."""
    target: Target
    """Target function or values."""

    equal_angles: ClassVar[bool] = True
    test_axis: ClassVar[str | None] = "angle"

    @property
    def sizes(self) -> Sizes:
        """How many points there are."""
        return Sizes(self.points, self.points, 2, self.target.outputs)

    def sample(self, key) -> Data:
        """Place the points and label them."""
        step = 2 * np.pi / self.points
        train = step * np.arange(self.points)
        x_train = self.radius * on_circle(train)
        x_test = self.radius * on_circle(train + step / 2)
        return labelled(x_train, x_test, self.target, key)
