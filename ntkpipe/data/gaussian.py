"""Normally distributed points."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np

from ntkpipe.data.base import BaseDataset, Count, Data, Dimension, Sizes, on_circle
from ntkpipe.data.targets import Target, labelled
from ntkpipe.lazy import Lazy
from ntkpipe.section import Fault, section

jr = Lazy("jax.random")


@section
class Gaussian(BaseDataset):
    """Training points x ~ N(0, I_d); test points likewise, or on the unit circle."""

    kind: Literal["gaussian"] = "gaussian"
    points: Count
    """Number of training points."""
    dimension: Dimension = 2
    """Input dimension d."""
    target: Target
    """Target function or values."""
    test: Count = 65
    """Number of test points."""
    test_on: Literal["gaussian", "circle"] = "gaussian"
    """Where test points lie; `circle` needs d = 2."""

    @property
    def test_axis(self) -> str:
        """`angle` for test points on the circle, which are equally spaced."""
        return "angle" if self.test_on == "circle" else ""

    def faults(self) -> Iterator[Fault]:
        """Test points on a circle need two dimensions."""
        if self.test_on == "circle" and self.dimension != 2:
            yield Fault(
                ("test_on",), f"circle needs dimension: 2, not {self.dimension}"
            )
        yield from BaseDataset.faults(self)

    @property
    def sizes(self) -> Sizes:
        """Numbers of points, inputs and outputs."""
        return Sizes(self.points, self.test, self.dimension, self.target.outputs)

    def sample(self, key) -> Data:
        """Draw the points and label them."""
        train_key, test_key, label_key = jr.split(key, 3)
        x = np.asarray(jr.normal(train_key, (self.points, self.dimension)))
        if self.test_on == "circle":
            x_test = on_circle(np.linspace(-np.pi, np.pi, self.test))
        else:
            x_test = np.asarray(jr.normal(test_key, (self.test, self.dimension)))
        return labelled(x, x_test, self.target, label_key)
