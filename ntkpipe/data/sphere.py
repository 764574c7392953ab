"""Points on a sphere."""

from __future__ import annotations

from typing import Literal

import numpy as np

from ntkpipe.data.base import BaseDataset, Count, Data, Dimension, Size, Sizes
from ntkpipe.data.targets import Target, labelled
from ntkpipe.lazy import Lazy
from ntkpipe.section import section

jr = Lazy("jax.random")


@section
class Sphere(BaseDataset):
    """Points uniform on a sphere in d dimensions, the unit sphere by default."""

    kind: Literal["sphere"] = "sphere"
    points: Count
    """Number of training points."""
    dimension: Dimension
    """Input dimension d."""
    target: Target
    """Target function or values, usually a `teacher`."""
    test: Count = 64
    """Number of test points."""
    radius: Size = 1.0
    """Radius of the sphere; √d makes x·x/d = 1."""

    @property
    def sizes(self) -> Sizes:
        """Numbers of points, inputs and outputs."""
        return Sizes(self.points, self.test, self.dimension, self.target.outputs)

    def sample(self, key) -> Data:
        """Draw the points and label them."""
        train_key, test_key, label_key = jr.split(key, 3)

        def points(key, n):
            x = np.asarray(jr.normal(key, (n, self.dimension)))
            return self.radius * x / np.linalg.norm(x, axis=1, keepdims=True)

        x, x_test = points(train_key, self.points), points(test_key, self.test)
        return labelled(x, x_test, self.target, label_key)
