"""The base of all data sets and targets: arrays, sizes and bounds of numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, ClassVar, NamedTuple, Self

import numpy as np
from pydantic import AfterValidator, Field

from ntkpipe.section import Fault, section
from ntkpipe.users.file import FilePath

LARGEST = 1e50  # the squared norm of a kernel, of order x⁴, must be finite


def _bounded(number: float) -> float:
    if abs(number) > LARGEST:
        raise ValueError(f"{number:g} is too large: at most {LARGEST:g}")
    return number


Count = Annotated[int, Field(ge=1, le=10**7)]
Dimension = Annotated[int, Field(ge=1, le=10**6)]
Number = Annotated[float, AfterValidator(_bounded)]  # the manual omits this bound
Size = Annotated[float, Field(gt=0, le=LARGEST)]
Row = Annotated[tuple[Number, ...], Field(min_length=1)]


class Data(NamedTuple):
    """Training points (n d) and targets (n k); test points (m d) and targets (m k)."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def of_networks(data: Mapping[str, np.ndarray], networks: int) -> dict[str, np.ndarray]:
    """The arrays of the data, to go with the recorded arrays (s t …) of networks.

    Data drawn once, (n d), go with all networks. Of data drawn for each seed, (r n d),
    the first `networks` are taken, (s 1 n d).
    """
    return {
        name: array if array.ndim == 2 else array[:networks, None]
        for name, array in data.items()
    }


class Sizes(NamedTuple):
    """n, m, d and k of a data set, known before its points are drawn."""

    train: int
    test: int
    dimension: int
    outputs: int


class BaseDataset:
    """Defaults of all kinds of data sets."""

    @property
    def is_random(self) -> bool:
        """Whether points or targets depend on the seed."""
        return True

    @property
    def sizes(self) -> Sizes:
        """Numbers of points, inputs and outputs; a guess if the file is missing."""
        raise NotImplementedError

    @property
    def stated_sizes(self) -> Sizes | None:
        """The sizes, if the study file states them; None for a user's file."""
        return self.sizes

    @property
    def user_file(self) -> str | None:
        """Path of the user's file with the points, if any."""
        return None

    def with_file(self, path: str) -> Self:
        """The same data set with its user's file at another path."""
        raise ValueError(
            f"--input {path}: the data are not read from a file, so omit --input"
        )

    @property
    def equal_angles(self) -> bool:
        """Whether the training points lie at equal angles on the circle."""
        return False

    @property
    def test_axis(self) -> str | None:
        """The axis along which test points are equally spaced: `angle` or `x`.

        It is empty if there is no such axis, and None if only the points can show it.
        """
        return ""

    @property
    def labeller(self) -> BaseTarget | None:
        """The target that labels the points; None if the points have labels."""
        return getattr(self, "target", None)

    @property
    def labels(self) -> np.ndarray | None:
        """Targets (c k) of the classes; None if targets are other numbers."""
        return self.labeller.labels if self.labeller else None

    def flop(self) -> int:
        """Operations of labelling one draw."""
        return self.labeller.flop(self.sizes) if self.labeller else 0

    def numbers(self) -> int:
        """Count of numbers in memory besides the points: those of labelling."""
        return self.labeller.numbers(self.sizes) if self.labeller else 0

    def faults(self) -> Iterator[Fault]:
        """Faults of the target with these points."""
        if target := self.labeller:
            yield from (f.within("target") for f in target.unmet(self.sizes))


@section
class UserFile(BaseDataset):
    """Points in a user's file."""

    path: FilePath
    """Path, relative to the workflow's working directory."""

    test_axis: ClassVar[str | None] = None

    @property
    def user_file(self) -> str:
        """Path of the user's file with the points."""
        return self.path

    @property
    def stated_sizes(self) -> None:
        """None: the sizes are found when the file is read."""
        return None

    def with_file(self, path: str) -> Self:
        """The same data set with its file at another path."""
        return replace(self, path=path)


class BaseTarget:
    """Defaults of targets: one output, any points, negligible cost."""

    kind: str
    outputs: int = 1
    is_random: ClassVar[bool] = True
    """Whether labels depend on the seed."""

    @property
    def labels(self) -> np.ndarray | None:
        """Targets (c k) of the classes; None if targets are other numbers."""
        return None

    def unmet(self, sizes: Sizes) -> Iterator[Fault]:
        """Why the target cannot label points of these sizes."""
        del sizes
        yield from ()

    def flop(self, sizes: Sizes) -> int:
        """Operations of labelling."""
        del sizes
        return 0

    def numbers(self, sizes: Sizes) -> int:
        """Count of numbers in memory while labelling, without the points."""
        del sizes
        return 0


def of_classes(labels: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Targets of labels: ∓1 for two classes, else one-hot minus 1/k, (n,) → (n k)."""
    if len(classes) == 2:
        return np.where(labels == classes[0], -1.0, 1.0)[:, None]
    return (labels[:, None] == classes) - 1.0 / len(classes)


def on_circle(angles: np.ndarray) -> np.ndarray:
    """Points (cos γ, sin γ) of angles γ, (n,) → (n 2)."""
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)
