"""Targets: the functions and labels that networks learn."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from ntkpipe.data.base import BaseTarget, Count, Data, Number, Size, Sizes
from ntkpipe.lazy import Lazy
from ntkpipe.models.mlp import MLP
from ntkpipe.section import Fault, section

jax, jr = Lazy("jax"), Lazy("jax.random")


class _InThePlane(BaseTarget):
    """A target that reads the first two coordinates of a point."""

    def unmet(self, sizes: Sizes) -> Iterator[Fault]:
        """Points with one coordinate are a fault."""
        if sizes.dimension < 2:
            yield Fault(
                ("kind",), f"{self.kind} needs points with two coordinates or more"
            )


@section
class Values(BaseTarget):
    """A list of targets, one for each training point; test targets are zero."""

    kind: Literal["values"] = "values"
    y: tuple[Number, ...]
    """One number for each training point."""

    is_random: ClassVar[bool] = False

    def unmet(self, sizes: Sizes) -> Iterator[Fault]:
        """The numbers of values and of points must agree."""
        if len(self.y) != sizes.train:
            yield Fault(("y",), f"{len(self.y)} values for {sizes.train} points")

    def label(self, x_train, x_test, key):
        """Targets (n k) and (m k) of training and test points."""
        del key
        return np.array(self.y)[:, None], np.zeros((len(x_test), 1))


@section
class Product(_InThePlane):
    """f*(x) = x₁x₂ (Jacot, Gabriel & Hongler 2018, figure 1)."""

    kind: Literal["product"] = "product"

    is_random: ClassVar[bool] = False

    def label(self, x_train, x_test, key):
        """Targets (n k) and (m k) of training and test points."""
        del key
        return (x_train[:, :1] * x_train[:, 1:2], x_test[:, :1] * x_test[:, 1:2])


@section
class Harmonics(_InThePlane):
    """f*(γ) = Σ_k a_k cos kγ of the angle γ of a point in the plane."""

    kind: Literal["harmonics"] = "harmonics"
    frequencies: Annotated[tuple[int, ...], Field(min_length=1)]
    """Frequencies k."""
    amplitudes: tuple[Number, ...] | None = None
    """Amplitudes a_k, default 1."""

    is_random: ClassVar[bool] = False

    def faults(self) -> Iterator[Fault]:
        """The numbers of amplitudes and of frequencies must agree."""
        a, k = self.amplitudes, self.frequencies
        if a is not None and len(a) != len(k):
            yield Fault(("amplitudes",), f"{len(a)} of them for {len(k)} frequencies")

    def label(self, x_train, x_test, key):
        """Targets (n k) and (m k) of training and test points."""
        del key
        k = np.array(self.frequencies)
        a = np.ones(len(k)) if self.amplitudes is None else np.array(self.amplitudes)

        def f(x):
            angle = np.arctan2(x[:, 1], x[:, 0])
            return (np.cos(angle[:, None] * k) @ a)[:, None]

        return f(x_train), f(x_test)


@section
class Noise(BaseTarget):
    """Targets y ~ N(0, 1), independent of x; test targets are zero."""

    kind: Literal["noise"] = "noise"

    def label(self, x_train, x_test, key):
        """Targets (n k) and (m k) of training and test points."""
        y = np.asarray(jr.normal(key, (len(x_train), 1)))
        return y, np.zeros((len(x_test), 1))


@section
class RandomLabels(BaseTarget):
    """Targets y = ±1, equally likely, independent of x; test targets are zero."""

    kind: Literal["random_labels"] = "random_labels"

    def label(self, x_train, x_test, key):
        """Targets (n k) and (m k) of training and test points."""
        y = 2.0 * np.asarray(jr.bernoulli(key, 0.5, (len(x_train), 1))) - 1
        return y, np.zeros((len(x_test), 1))


@section
class Eigenvector(BaseTarget):
    """An eigenvector of the infinite-width NTK Θ at the training points X.

    With Θ(X, X) v = Nλ v and ‖v‖ = 1, the targets are f*(X) = a·√N·v, whose root mean
    square is a. At other points f*(x) = Θ(x, X) f*(X)/(Nλ) (Nyström). The entry of v
    with the largest size is positive.
    """

    kind: Literal["eigenvector"] = "eigenvector"
    component: int = 1
    """Index of the eigenvalue: 1 for the largest, 2, …; −1 for the smallest."""
    amplitude: Size = 1.0
    """Root mean square a over the training points."""
    network: MLP = MLP()
    """The network whose infinite-width NTK is used; it has the keys of `model`."""

    is_random: ClassVar[bool] = False

    def faults(self) -> Iterator[Fault]:
        """The network must have an infinite-width kernel."""
        yield from (f.within("network") for f in self.network.without_limit())

    def unmet(self, sizes: Sizes) -> Iterator[Fault]:
        """The component must not exceed the number of points."""
        n = sizes.train
        if not 1 <= abs(self.component) <= n:
            yield Fault(
                ("component",),
                f"{self.component} of {n} points: from 1 to {n}, or from −1 to −{n}",
            )

    def flop(self, sizes: Sizes) -> int:
        """Floating-point operations of an eigendecomposition."""
        return 20 * sizes.train**3

    def numbers(self, sizes: Sizes) -> int:
        """Count of numbers: kernels, eigenvectors and their copies."""
        return 8 * sizes.train * (sizes.train + sizes.test)

    def label(self, x_train, x_test, key):
        """Targets (n k) and (m k) of training and test points."""
        del key
        n = len(x_train)
        values, vectors = np.linalg.eigh(np.asarray(self.network.infinite(x_train).ntk))
        at = n - self.component if self.component > 0 else -self.component - 1
        if values[at] <= n * np.finfo(float).eps * values[-1]:
            raise ValueError(
                f"dataset.target.component: eigenvalue {self.component} of the kernel "
                "is zero but for rounding: choose a component with a larger "
                "eigenvalue, or a network whose kernel is positive definite"
            )
        v = vectors[:, at] * np.sign(vectors[np.abs(vectors[:, at]).argmax(), at])
        y = self.amplitude * math.sqrt(n) * v[:, None]
        across = np.asarray(self.network.infinite(x_test, x_train).ntk)
        return y, across @ y / values[at]


@section
class Teacher(BaseTarget):
    """A random ReLU network, f*(x) = m^−½ Σ_r a_r max(0, w_r·x), a, w ~ N(0, 1)."""

    kind: Literal["teacher"] = "teacher"
    neurons: Count = 16
    """Number m of neurons of the teacher."""
    outputs: Annotated[int, Field(ge=1, le=1000)] = 1
    """Number k of outputs."""

    def flop(self, sizes: Sizes) -> int:
        """Floating-point operations of the hidden layer at all points."""
        return 2 * (sizes.train + sizes.test) * sizes.dimension * self.neurons

    def numbers(self, sizes: Sizes) -> int:
        """Count of numbers: weights, activations and their copies."""
        n, m, d, _ = sizes
        return 3 * (n + m + d) * self.neurons

    def label(self, x_train, x_test, key):
        """Targets (n k) and (m k) of training and test points."""
        w_key, a_key = jr.split(key)
        w = jr.normal(w_key, (x_train.shape[1], self.neurons))
        a = jr.normal(a_key, (self.neurons, self.outputs)) / math.sqrt(self.neurons)

        def f(x):
            return np.asarray(jax.nn.relu(x @ w) @ a)

        return f(x_train), f(x_test)


Target = Annotated[
    Values | Product | Harmonics | Noise | RandomLabels | Eigenvector | Teacher,
    Field(discriminator="kind"),
]


def labelled(x_train, x_test, target, key) -> Data:
    """`Data` of these points, with targets given by `target`."""
    y_train, y_test = target.label(x_train, x_test, key)
    return Data(x_train, y_train, x_test, y_test)
