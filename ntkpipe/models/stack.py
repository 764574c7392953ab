"""Networks that are a stack of layers: what `conv` and `resnet` share.

The layers are records of `models.layers`. This module draws and applies them at a
finite width; `kernels.convolutional` reads the same records at infinite width.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, NamedTuple

from pydantic import Field

from ntkpipe.lazy import Lazy
from ntkpipe.models import layers as of
from ntkpipe.models.activations import ACTIVATIONS
from ntkpipe.models.base import (
    TWINS,
    of_twins,
    unmet_by_others,
    unmet_limit,
    without_limit,
)
from ntkpipe.models.dense import Params, dense, drawn
from ntkpipe.models.parameterizations import HUGE, PARAMETERIZATIONS, exponents
from ntkpipe.section import Fault, section

jnp, lax = Lazy("jax.numpy"), Lazy("jax.lax")
if TYPE_CHECKING:
    import jax

    from ntkpipe.kernels.infinite import Kernels
else:
    jax = Lazy("jax")

Dimension = Annotated[int, Field(ge=1, le=10**6)]
Filter = Annotated[int, Field(ge=1, le=64)]


class Sizes(NamedTuple):
    """Sizes of a weight layer, which multiplies (t a) by (a b) at t positions."""

    t: int
    a: int
    b: int
    channels: int
    """Numbers of h that are kept at each position: a without the filter."""


@section
class Layered:
    """Keys and functions of networks whose weight layers act on many positions."""

    depth: Annotated[int, Field(ge=1, le=64)] = 2
    """Number of hidden layers, or of blocks."""
    # a type checker needs a literal tuple, but the names are the keys of a table
    activation: Literal[tuple(ACTIVATIONS)] = "relu"  # type: ignore[valid-type]
    """Non-linearity of the hidden layers."""
    input_shape: Annotated[tuple[Dimension, ...], Field(min_length=2, max_length=3)] | (
        None
    ) = None
    """Shape of a point: [length, channels] or [height, width, channels]; by default a
    square image of one channel."""
    parameterization: Literal[tuple(PARAMETERIZATIONS)] = "ntk"  # type: ignore[valid-type]
    """How weights and learning rates scale with width (abc-parametrisation)."""
    W_std: Annotated[float, Field(gt=0, le=HUGE)] = 1.0
    """Standard deviation σ_w of weight × √fan_in, with fan_in = channels × filter."""
    b_std: Annotated[float, Field(ge=0, le=HUGE)] = 0.0
    """Standard deviation σ_b of the biases; 0 leaves them out."""
    alpha: Annotated[float, Field(ge=1 / HUGE, le=HUGE)] = 1.0
    """Output scale: f = α·h, and the loss is divided by α² (Chizat et al. 2019)."""
    zero_output: Literal["none", "subtract", "double", "alike"] = "none"
    """How f(w₀) = 0 is obtained, as for `mlp`."""

    learned_output: ClassVar[bool] = True
    has_last_layer: ClassVar[bool] = False
    is_random: ClassVar[bool] = True

    def shape(self, d: int) -> tuple[int, ...]:
        """(*positions, channels) of a point of d numbers.

        Raises:
            ValueError: `input_shape` has another number, or is needed.
        """
        if self.input_shape is None:
            if (side := math.isqrt(d)) ** 2 != d:
                raise ValueError(
                    f"the points have {d} numbers, which is no square image of one "
                    "channel: state [height, width, channels] or [length, channels]"
                )
            return side, side, 1
        if math.prod(self.input_shape) != d:
            shape = "×".join(map(str, self.input_shape))
            raise ValueError(
                f"{shape} is {math.prod(self.input_shape)} numbers, but the points "
                f"have {d}"
            )
        return self.input_shape

    @property
    def weight_layers(self) -> int:
        """Number of weight layers, with the read-out."""
        raise NotImplementedError

    def layer_sizes(self, width: int, d: int, k: int) -> list[Sizes]:
        """The sizes of each weight layer, in their order."""
        raise NotImplementedError

    @property
    def layer_names(self) -> tuple[str, ...]:
        """W1, b1, W2, …: the arrays of a network, in the order of its parameters."""
        return tuple(
            f"{kind}{i + 1}"
            for i in range(self.weight_layers)
            for kind in ("Wb" if self._has_bias(i) else "W")
        )

    @property
    def starts_at_zero(self) -> bool:
        """Whether f(w₀) = 0 by `zero_output`."""
        return self.zero_output != "none"

    def unmet(self, e) -> Iterator[Fault]:
        """Keys of an experiment that the model cannot meet, and why."""
        yield from unmet_limit(self, e)
        yield from unmet_by_others(e)
        if sizes := e.dataset.stated_sizes:
            try:
                self.shape(sizes.dimension)
            except ValueError as error:
                yield Fault(("model", "input_shape"), str(error))

    def weights(self, width: int, d: int, k: int) -> int:
        """Number of weights, without biases."""
        return sum(size.a * size.b for size in self.layer_sizes(width, d, k))

    def init_params(
        self, key: jax.Array, width: int, d: int, k: int, dtype=float
    ) -> Params:
        """Draw the raw parameters of a network from `d` inputs to `k` outputs."""
        every = self._shapes(width, d, k)
        draw = partial(jax.random.normal, key, dtype=dtype)
        numbers = drawn(
            lambda count: draw((count,)), [one for layer in every for one in layer]
        )
        layers = []
        for index, (shape, *has_bias) in enumerate(every):
            weight, bias = self._exponents(index)
            w, b = width**-weight.b, width**-bias.b
            if self.parameterization == "standard":
                fan_in = math.prod(shape[:-1])
                w, b = w * self._fixed_std(index, fan_in, width), b * self.b_std
            layer = {"w": w * next(numbers)}
            layers.append(layer | ({"b": b * next(numbers)} if has_bias else {}))
        return (tuple(layers),) * (2 if self.zero_output in TWINS else 1)

    def apply(self, params: Params, x: jax.Array) -> jax.Array:
        """h(x; w), (n d) → (n k), before the output scale α."""
        outputs = [self._of_one(layers, x) for layers in params]
        return of_twins(outputs, self.zero_output)

    def _of_one(self, params, x: jax.Array) -> jax.Array:
        """The output of one network."""
        raise NotImplementedError

    def _shapes(self, width: int, d: int, k: int) -> list[tuple[tuple[int, ...], ...]]:
        """The shapes of weights and, if it has them, biases of each layer."""
        raise NotImplementedError

    def _has_bias(self, index: int) -> bool:
        del index
        return self.b_std > 0

    def learning_rates(self, params: Params):
        """Relative learning rates n^−c; a tree like `params`."""
        return tuple(
            tuple(
                {
                    name: layers[0]["w"].shape[-1] ** -exponent.c
                    for name, exponent in zip("wb", self._exponents(i), strict=True)
                    if name in layer
                }
                for i, layer in enumerate(layers)
            )
            for layers in params
        )

    def _shaped(self, x):
        return x.reshape(len(x), *self.shape(x.shape[1]))

    def _exponents(self, index: int):
        return exponents(self.parameterization, index, self.weight_layers - 1)

    def _multipliers(self, index: int, fan_in: int, width: int) -> tuple[float, float]:
        """Factors of W and of β in weight layer `index` (from 0)."""
        weight, bias = self._exponents(index)
        w, b = width**-weight.a, width**-bias.a
        if self.parameterization != "standard":
            w, b = w * self._fixed_std(index, fan_in, width), b * self.b_std
        return w, b

    def _fixed_std(self, index: int, fan_in: int, width: int) -> float:
        """σ_w with the factors of fan_in that are not powers of the width."""
        return self.W_std / math.sqrt(fan_in if index == 0 else fan_in // width)


@section
class Stack(Layered):
    """A network of the layers of `models.layers`, and a dense read-out."""

    filter: Filter = 3
    """Elements of a filter along each axis of positions."""
    stride: Filter = 1
    """Stride of the convolutions; of `resnet`, of the first one only."""
    padding: Literal["zero", "circular"] = "zero"
    """What a filter sees beyond the border; without stride no position is lost."""
    readout: Literal["flatten", "pool"] = "flatten"
    """The last layer reads all positions, or their mean."""

    @property
    def layers(self) -> tuple[of.Layer, ...]:
        """The layers without the read-out."""
        raise NotImplementedError

    @property
    def weight_layers(self) -> int:
        """Number of weight layers, with the read-out."""
        return len([*of.linear_layers(self.layers)]) + 1

    @property
    def has_infinite_limit(self) -> bool:
        """Whether `kernels.convolutional` has the kernels of infinite width."""
        return not any(self.without_limit())

    def without_limit(self) -> Iterator[Fault]:
        """Keys whose values have no kernel of infinite width."""
        yield from without_limit(self.parameterization)

    def layer_sizes(self, width: int, d: int, k: int) -> list[Sizes]:
        """The sizes of each weight layer, in their order."""
        *positions, channels = self.shape(d)
        sizes: list[Sizes] = []

        def through(layers, positions, channels):
            for layer in layers:
                match layer:
                    case of.Linear(filter):
                        positions = [*map(layer.positions, positions)]
                        patch = channels * filter ** len(positions)
                        t = math.prod(positions)
                        sizes.append(Sizes(t, patch, width, channels))
                        channels = width
                    case of.Residual(branch, _, skip):
                        through(skip, positions, channels)
                        positions, channels = through(branch, positions, channels)
            return positions, channels

        positions, channels = through(self.layers, positions, channels)
        flat = channels * math.prod(positions if self.readout == "flatten" else ())
        return [*sizes, Sizes(1, flat, k, flat)]

    def position_pairs(self, d: int) -> int:
        """Pairs of positions of two points in all layers, at infinite width."""
        power = 2 if self.readout == "pool" else 1
        return sum(size.t**power for size in self.layer_sizes(1, d, 1))

    def _shapes(self, width: int, d: int, k: int) -> list[tuple[tuple[int, ...], ...]]:
        """The shapes of weights and, if it has them, biases of each layer."""
        axes = len(self.shape(d)) - 1
        *hidden, last = self.layer_sizes(width, d, k)
        shapes: list[tuple[int, ...]] = [
            (*(layer.filter,) * axes, size.channels, size.b)
            for layer, size in zip(of.linear_layers(self.layers), hidden, strict=True)
        ]
        biases = self.b_std > 0
        return [
            (shape, shape[-1:]) if biases else (shape,)
            for shape in (*shapes, (last.a, k))
        ]

    def _of_one(self, params, x: jax.Array) -> jax.Array:
        """The output of one network."""
        width, every = params[0]["w"].shape[-1], iter(enumerate(params))

        def linear(h, record: of.Linear):
            index, layer = next(every)
            fan_in = math.prod(layer["w"].shape[:-1])
            factors = self._multipliers(index, fan_in, width)
            return convolution(h, layer, record, *factors)

        def through(h, layers):
            for layer in layers:
                match layer:
                    case of.Linear():
                        h = linear(h, layer)
                    case of.Activation(name):
                        h = ACTIVATIONS[name](h)
                    case of.Norm(epsilon):
                        h = normalised(h, epsilon)
                    case of.Residual(branch, scale, skip):
                        h = through(h, skip) + scale * through(h, branch)
            return h

        h = through(self._shaped(x), self.layers)
        if self.readout == "pool" and h.ndim > 2:
            h = h.mean(tuple(range(1, h.ndim - 1)))
        return linear(h.reshape(len(h), -1), of.Linear())

    def infinite(self, x1, x2=None) -> Kernels:
        """NNGP and NTK of the infinitely wide network, (n d), (m d) → (n m) each."""
        if faults := [*self.without_limit()]:
            raise ValueError("; ".join(map(str, faults)))
        from ntkpipe.kernels import convolutional

        return convolutional.kernels(
            self._shaped(x1),
            None if x2 is None else self._shaped(x2),
            layers=self.layers,
            readout=self.readout,
            W_std=self.W_std,
            b_std=self.b_std,
        )


def convolution(h: jax.Array, layer, record: of.Linear, w: float, b: float):
    """z = w·(h ∗ W) + b·β for inputs h (n *positions a); dense without positions."""
    if (axes := h.ndim - 2) == 0:
        return dense(h, layer, w, b)
    border = [record.border] * axes
    if record.padding == "circular":
        h = jnp.pad(h, [(0, 0), *border, (0, 0)], mode="wrap")
        border = [(0, 0)] * axes
    letters = "HW"[:axes]
    z = w * lax.conv_general_dilated(
        h,
        layer["w"],
        (record.stride,) * axes,
        border,
        dimension_numbers=(f"N{letters}C", f"{letters}IO", f"N{letters}C"),
        precision="highest",
    )
    return z + b * layer["b"].reshape((1,) * (axes + 1) + (-1,)) if "b" in layer else z


def normalised(h: jax.Array, epsilon: float) -> jax.Array:
    """(h − mean)/√(variance + ε) over the last axis."""
    h = h - h.mean(-1, keepdims=True)
    return h / jnp.sqrt((h**2).mean(-1, keepdims=True) + epsilon)
