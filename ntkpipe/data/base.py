"""What data sets share: arrays, sizes and bounds of numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, NamedTuple

import numpy as np
from pydantic import AfterValidator, Field

from ntkpipe.section import Fault

Count = Annotated[int, Field(ge=1, le=10**7)]


LARGEST = 1e50  # kernels are of squares, and so are their norms


def _held(number: float) -> float:
    if abs(number) > LARGEST:
        raise ValueError(f"{number:g} is too large: at most {LARGEST:g}")
    return number


Number = Annotated[float, AfterValidator(_held)]  # a bound that no manual need show


Size = Annotated[float, Field(gt=0, le=LARGEST)]


Row = Annotated[tuple[Number, ...], Field(min_length=1)]


Digit = Annotated[int, Field(ge=0, le=9)]


class Data(NamedTuple):
    """Training points (n d) and targets (n k); test points (m d) and targets (m k)."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


class Sizes(NamedTuple):
    """Of a data set, before it is drawn: n, m, d and k."""

    train: int
    test: int
    dimension: int
    outputs: int


class BaseDataset:
    """What the kinds of data have alike, unless they say otherwise."""

    user_file: ClassVar[str | None] = None
    """A user's own file that holds the points."""
    equal_angles: ClassVar[bool] = False
    """Whether training points are at equal angles of the circle."""
    test_axis: ClassVar[str | None] = ""
    """Along which axis test points are equally spaced: `angle`, `x`, `` for neither,
    None if only the points tell."""

    @property
    def stated_sizes(self) -> Sizes | None:
        """How many points there are, where the study file says it."""
        return self.sizes

    def faults(self) -> Iterator[Fault]:
        """A target for other points is refused."""
        if target := getattr(self, "target", None):
            yield from (f.within("target") for f in target.unmet(self.sizes))


class BaseTarget:
    """What most targets have alike: one output, any points, no cost worth counting."""

    outputs: ClassVar[int] = 1

    def unmet(self, sizes: Sizes) -> Iterator[Fault]:
        """Why the target can't label such points."""
        del sizes
        yield from ()

    def flop(self, sizes: Sizes) -> int:
        """Operations of labelling."""
        del sizes
        return 0

    def numbers(self, sizes: Sizes) -> int:
        """Numbers in memory while labelling, besides the points."""
        del sizes
        return 0


def on_circle(angles):
    """Points (cos γ, sin γ) of angles (n,), (n 2)."""
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)
