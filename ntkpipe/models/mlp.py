"""Multilayer perceptrons in the abc-parametrisations of Yang & Hu (2021)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from ntkpipe.lazy import Lazy
from ntkpipe.models.activations import ACTIVATIONS
from ntkpipe.models.base import TWINS, of_twins, unmet_limit, without_limit
from ntkpipe.models.dense import Layer, Params, dense, drawn
from ntkpipe.models.parameterizations import (
    HUGE,
    PARAMETERIZATIONS,
    Exponents,
    exponents,
)
from ntkpipe.section import Fault, section

jnp = Lazy("jax.numpy")
if TYPE_CHECKING:
    import jax

    from ntkpipe.kernels.curvature import Curvature
    from ntkpipe.kernels.infinite import Kernels
else:
    jax = Lazy("jax")


@section
class Bottleneck:
    """One hidden layer whose number of units does not grow with the width."""

    layer: Annotated[int, Field(ge=1, le=64)]
    """Number of the hidden layer, counted from 1."""
    width: Annotated[int, Field(ge=1, le=10**7)]
    """Its number of units."""


@section
class MLP:
    """A multilayer perceptron, h ↦ φ(scale·h W + scale·β) `depth` times, then linear.

    The literature's L counts weight layers: L = depth + 1.
    """

    kind: Literal["mlp"] = "mlp"
    depth: Annotated[int, Field(ge=1, le=64)] = 1
    """Number of hidden layers."""
    # a type checker needs a literal tuple, but the names are the keys of a table
    activation: Literal[tuple(ACTIVATIONS)] = "relu"  # type: ignore[valid-type]
    """Non-linearity of the hidden layers."""
    parameterization: Literal[tuple(PARAMETERIZATIONS)] = "ntk"  # type: ignore[valid-type]
    """How weights and learning rates scale with width (abc-parametrisation)."""
    init: Literal["normal", "torch"] = "normal"
    """`normal`: N(0, 1); `torch`: weights and biases U(−1, 1)/√fan_in, as nn.Linear."""
    W_std: Annotated[float, Field(gt=0, le=HUGE)] = 1.0
    """Standard deviation σ_w of weight × √fan_in (factor on U(−1, 1) for `torch`)."""
    b_std: Annotated[float, Field(ge=0, le=HUGE)] = 0.0
    """Standard deviation σ_b of the biases; 0 leaves them out."""
    input_decay: Annotated[float, Field(ge=0, le=4)] = 0.0
    """Exponent p: the initial variance of the input weights is multiplied by n^−p."""
    output_decay: Annotated[float, Field(ge=0, le=4)] = 0.0
    """Exponent p: the initial variance of the output weights is multiplied by n^−p."""
    alpha: Annotated[float, Field(ge=1 / HUGE, le=HUGE)] = 1.0
    """Output scale: f = α·h, and the loss is divided by α² (Chizat et al. 2019)."""
    zero_output: Literal["none", "subtract", "double", "alike"] = "none"
    """How f(w₀) = 0 is obtained. `subtract`: the frozen initial network is subtracted.
    `double`: (f₁ − f₂)/√2 of two networks with equal initial weights. `alike`:
    (f₁ + f₂)/√2 of two such networks, minus their frozen initial value."""
    output_weights: Literal["learned", "signs", "heavy"] = "learned"
    """`signs`: the last layer has fixed weights ±1 and no bias (Du et al. 2019);
    `heavy`: learned, |v| = 5^−½ u^−⅖ with u uniform, so that E v² = 1 and E v⁴ = ∞."""
    biases: Literal["random", "zero"] = "random"
    """`zero`: biases begin at 0 and are multiplied by b_std (Basri et al. 2019)."""

    # a type checker needs a literal tuple, as for `activation`
    output_activation: Literal[tuple(ACTIVATIONS)] = "linear"  # type: ignore[valid-type]
    """Non-linearity of the output. One that is not linear keeps the kernel from being
    constant at any width (Liu, Zhu & Belkin 2020)."""
    bottleneck: Bottleneck | None = None
    """A hidden layer of a fixed number of units, with `ntk` or `standard`."""

    has_last_layer: ClassVar[bool] = True
    is_random: ClassVar[bool] = True

    @property
    def weight_layers(self) -> int:
        """Number of weight matrices."""
        return self.depth + 1

    @property
    def layer_names(self) -> tuple[str, ...]:
        """W1, b1, W2, …: the arrays of a network, in the order of its parameters."""
        return tuple(
            f"{kind}{index + 1}"
            for index in range(self.weight_layers)
            for kind in ("Wb" if self._has_bias(index) else "W")
        )

    @property
    def starts_at_zero(self) -> bool:
        """Whether f(w₀) = 0 by `zero_output`."""
        return self.zero_output != "none"

    @property
    def learned_output(self) -> bool:
        """Whether the last layer is learned and linear, so that Σ is a part of Θ."""
        return self.output_weights != "signs" and self.output_activation == "linear"

    @property
    def twins(self) -> int:
        """Number of networks with equal initial weights that form the output."""
        return 2 if self.zero_output in TWINS else 1

    @property
    def has_infinite_limit(self) -> bool:
        """Whether `kernels.infinite` has the kernels of the infinitely wide network."""
        return not any(self.without_limit())

    def without_limit(self) -> Iterator[Fault]:
        """Keys whose values `kernels.infinite` does not support."""
        yield from without_limit(self.parameterization)
        if self.init != "normal":
            yield Fault(("init",), f"infinite width needs normal, not {self.init}")
        for key in ("input_decay", "output_decay"):
            if decay := getattr(self, key):
                yield Fault((key,), f"infinite width needs 0, not {decay:g}")
        if self.output_activation != "linear":
            text = f"infinite width needs linear, not {self.output_activation}"
            yield Fault(("output_activation",), text)
        if self.bottleneck is not None:
            yield Fault(("bottleneck",), "has no infinite width: leave it out")

    def faults(self) -> Iterator[Fault]:
        """A bottleneck that the layers or the parametrisation do not have."""
        if self.bottleneck is None:
            return
        if self.bottleneck.layer > self.depth:
            text = f"no hidden layer {self.bottleneck.layer}: there are {self.depth}"
            yield Fault(("bottleneck", "layer"), text)
        if self.parameterization not in ("ntk", "standard"):
            text = "needs model.parameterization: ntk or standard, not "
            yield Fault(("bottleneck",), text + self.parameterization)

    def unmet(self, e) -> Iterator[Fault]:
        """Keys of an experiment that the model cannot meet, and why."""
        yield from unmet_limit(self, e)
        if e.training.ensemble is not None and self.starts_at_zero:
            yield Fault(
                ("training", "ensemble"),
                f"needs model.zero_output: none, not {self.zero_output}",
            )

    def init_params(
        self, key: jax.Array, width: int, d: int, k: int, dtype=float
    ) -> Params:
        """Draw the raw parameters of a network from `d` inputs to `k` outputs."""
        sizes = self.sizes(width, d, k)
        shapes = [
            shape
            for index, fans in enumerate(pairwise(sizes))
            for shape in ((fans, fans[1:]) if self._has_bias(index) else (fans,))
        ]
        numbers = drawn(partial(self._draw, key, dtype=dtype), shapes)
        layers = []
        for index, fan_in in enumerate(sizes[:-1]):
            w_std, b_std = self._std(index, fan_in, fan_in if index else width)
            w = next(numbers)
            if self._fixed(index):
                w = jnp.where(w < 0, -1, 1).astype(w.dtype)
            elif self.output_weights == "heavy" and index == self.depth:
                w = _heavy_tailed(w)
            layer = {"w": w_std * w}
            if self._has_bias(index):
                layer["b"] = b_std * next(numbers)
            layers.append(layer)
        return (tuple(layers),) * self.twins

    def _draw(self, key: jax.Array, count: int, dtype) -> jax.Array:
        if self.init == "torch":
            return jax.random.uniform(key, (count,), dtype, -1.0, 1.0)
        return jax.random.normal(key, (count,), dtype)

    def apply(self, params: Params, x: jax.Array) -> jax.Array:
        """h(x; w), (n d) → (n k), before the output scale α."""
        outputs = []
        for layers in params:
            h = x
            for index, layer in enumerate(layers):
                z = dense(h, layer, *self.multipliers(index, layer))
                h = ACTIVATIONS[self._after(index)](z)
            outputs.append(h)
        return of_twins(outputs, self.zero_output)

    def _after(self, index: int) -> str:
        """The non-linearity after weight layer `index`."""
        return self.activation if index < self.depth else self.output_activation

    def infinite(self, x1, x2=None) -> Kernels:
        """NNGP and NTK of the infinitely wide network, (n d), (m d) → (n m) each."""
        if faults := [*self.without_limit()]:
            raise ValueError("; ".join(map(str, faults)))
        from ntkpipe.kernels import infinite

        return infinite.kernels(
            x1,
            x2,
            depth=self.depth,
            activation=self.activation,
            W_std=self.W_std,
            b_std=self.b_std,
            output_weights="learned" if self.learned_output else "signs",
            biases=self.biases,
        )

    def curvature(self, params: Params, x: jax.Array) -> Curvature:
        """‖∇f‖, ‖∇²f‖ and κ; one hidden layer has a closed form."""
        from ntkpipe.kernels import curvature

        if self.depth == 1 and self.output_activation == "linear":
            return curvature.one_hidden_layer(self, params, x)
        rates = self.learning_rates(params)
        return curvature.curvature(self.apply, params, x, rates=rates)

    def weights(self, width: int, d: int, k: int) -> int:
        """Number of weights, without biases."""
        return sum(a * b for a, b in pairwise(self.sizes(width, d, k)))

    def sizes(self, width: int, d: int, k: int) -> list[int]:
        """Numbers of inputs, of units of each hidden layer, and of outputs."""
        sizes = [d, *[width] * self.depth, k]
        if self.bottleneck is not None:
            sizes[self.bottleneck.layer] = self.bottleneck.width
        return sizes

    def multipliers(self, index: int, layer: Layer) -> tuple[float, float]:
        """Factors of W and of β in weight layer `index` (from 0); 0 without biases."""
        fan_in, width = layer["w"].shape[0], self._width(index, layer)
        weight, bias = self._exponents(index)
        w, b = width**-weight.a, width**-bias.a
        if self.parameterization != "standard":
            w_std, b_std = self._fixed_std(index, fan_in)
            w, b = w * w_std, b * b_std
        return w, b if "b" in layer else 0.0

    def learning_rates(self, params: Params):
        """Relative learning rates n^−c, 0 for fixed weights; a tree like `params`."""
        return tuple(
            tuple(self._rates(index, layer) for index, layer in enumerate(layers))
            for layers in params
        )

    def _rates(self, index: int, layer: Layer) -> dict[str, float]:
        width, (weight, bias) = self._width(index, layer), self._exponents(index)
        rates = {"w": 0.0 if self._fixed(index) else width**-weight.c}
        return rates | ({"b": width**-bias.c} if "b" in layer else {})

    @staticmethod
    def _width(index: int, layer: Layer) -> int:
        """The hidden width n: that after the first layer, and before all others."""
        return layer["w"].shape[1 if index == 0 else 0]

    def _fixed(self, index: int) -> bool:
        """Whether weight layer `index` is not learned."""
        return index == self.depth and self.output_weights == "signs"

    def _has_bias(self, index: int) -> bool:
        return self.b_std > 0 and not self._fixed(index)

    def _exponents(self, index: int) -> tuple[Exponents, Exponents]:
        return exponents(self.parameterization, index, self.depth)

    def _fixed_std(self, index: int, fan_in: int) -> tuple[float, float]:
        """σ_w and σ_b, with the factors of fan_in that are not powers of the width.

        The input dimension d is not a width, so the input layer has σ_w/√d.
        """
        w_std = self.W_std / math.sqrt(fan_in) if index == 0 else self.W_std
        b_std = self.b_std / math.sqrt(fan_in) if self.init == "torch" else self.b_std
        return w_std, b_std

    def _std(self, index: int, fan_in: int, width: int) -> tuple[float, float]:
        """Standard deviations of the raw weights and biases at initialisation."""
        weight, bias = self._exponents(index)
        decay = {0: self.input_decay, self.depth: self.output_decay}.get(index, 0.0)
        w_std, b_std = width ** -(weight.b + decay / 2), width**-bias.b
        if self.parameterization == "standard":
            fixed_w, fixed_b = self._fixed_std(index, fan_in)
            w_std, b_std = w_std * fixed_w, b_std * fixed_b
        return w_std, 0.0 if self.biases == "zero" else b_std


def _heavy_tailed(z: jax.Array) -> jax.Array:
    """±5^−½ u^−⅖ of normal numbers z, with u = P(|Z| > |z|) uniform: E w² = 1."""
    tail = jax.scipy.special.erfc(jnp.abs(z) / math.sqrt(2))
    return jnp.sign(z) * tail**-0.4 / math.sqrt(5)
