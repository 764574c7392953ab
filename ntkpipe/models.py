"""Multilayer perceptrons in the abc-parametrisations of Yang & Hu (2021).

Beside them stands the model of one weight with which the blog explains lazy training.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Protocol

import numpy as np
from pydantic import Discriminator, Field, Tag

from ntkpipe.activations import ACTIVATIONS
from ntkpipe.lazy import Lazy
from ntkpipe.section import Fault, section

jax, jnp = Lazy("jax"), Lazy("jax.numpy")

HUGE = 1e100  # its square is a number, too
Layer = dict[str, "jax.Array"]  # w (fan_in fan_out) and, with biases, b (fan_out,)
Params = tuple[tuple[Layer, ...], ...]  # one network, or the two of `double`


class Exponents(NamedTuple):
    """Weight n^−a·w with w ~ N(0, n^−2b), learned at the rate η·n^−c; n the width."""

    a: float
    b: float
    c: float


# μP and mean_field are one parametrisation written in two ways:
# (a, b, c) and (a + θ, b − θ, c − 2θ) train alike for every θ (Yang & Hu, §3).
PARAMETERIZATIONS: dict[str, dict[str, Exponents]] = {
    "ntk": {
        "input": Exponents(0.0, 0.0, 0.0),
        "hidden": Exponents(0.5, 0.0, 0.0),
        "output": Exponents(0.5, 0.0, 0.0),
        "bias": Exponents(0.0, 0.0, 0.0),
        "output_bias": Exponents(0.0, 0.0, 0.0),
    },
    "standard": {
        "input": Exponents(0.0, 0.0, 0.0),
        "hidden": Exponents(0.0, 0.5, 0.0),
        "output": Exponents(0.0, 0.5, 0.0),
        "bias": Exponents(0.0, 0.0, 0.0),
        "output_bias": Exponents(0.0, 0.0, 0.0),
    },
    "mup": {
        "input": Exponents(-0.5, 0.5, 0.0),
        "hidden": Exponents(0.0, 0.5, 0.0),
        "output": Exponents(0.5, 0.5, 0.0),
        "bias": Exponents(-0.5, 0.5, 0.0),
        "output_bias": Exponents(0.0, 0.0, 0.0),
    },
    "mean_field": {
        "input": Exponents(0.0, 0.0, -1.0),
        "hidden": Exponents(0.5, 0.0, -1.0),
        "output": Exponents(1.0, 0.0, -1.0),
        "bias": Exponents(0.0, 0.0, -1.0),
        "output_bias": Exponents(0.5, -0.5, -1.0),
    },
}


class Scale(NamedTuple):
    """z = w·(h W) + b·β, where W and β learn lr_w and lr_b times as fast as η."""

    w: float
    b: float
    lr_w: float
    lr_b: float


class ModelKind(Protocol):
    """What training, kernels, costs and study files ask of a kind of model."""

    depth: int
    """Number of hidden layers."""
    alpha: float
    """Output scale: f = α·h, and the loss is divided by α²."""
    layer_names: tuple[str, ...]
    """W1, b1, W2, …: the arrays of a network, in the order of its parameters."""
    weight_layers: int
    """Number of weight matrices."""
    starts_at_zero: bool
    """Whether f(w₀) = 0 by `zero_output`."""
    learned_output: bool
    """Whether the last layer is learned, and its Σ a part of Θ."""
    has_last_layer: bool
    """Whether there is a hidden layer, whose kernel is the NNGP."""
    has_infinite_limit: bool
    """Whether `infinite` has the kernels of the infinitely wide network."""

    def init_params(self, key: jax.Array, width: int, d: int, k: int, dtype=float):
        """Draw the raw parameters of a network from `d` inputs to `k` outputs."""

    def apply(self, params, x: jax.Array) -> jax.Array:
        """h(x; w), (n d) → (n k), before the output scale α."""

    def learning_rates(self, params):
        """Relative learning rates, a tree like `params`."""

    def curvature(self, params, x: jax.Array) -> curvature.Curvature:
        """‖∇f‖, ‖∇²f‖ and κ at points (n d), by the cheapest way there is."""

    def weights(self, width: int, d: int, k: int) -> int:
        """Number of weights, without biases."""

    def unmet(self, e) -> Iterator[Fault]:
        """Why the model can't do what an `Experiment` asks for, by keys of that."""


Site = Callable[[str, "jax.Array", Layer, Scale], "jax.Array"]


def dense(name: str, h: jax.Array, layer: Layer, scale: Scale) -> jax.Array:
    """z = w·h W + b·β: the one operation that networks are written in.

    `MLP.apply` calls it for each layer through its argument `site`, which is where
    `ntkpipe.empirical` listens.
    """
    del name
    # on a GPU the default is TF32, whose error is the kernel change of a wide network
    z = scale.w * jnp.matmul(h, layer["w"], precision="highest")
    return z + scale.b * layer["b"] if "b" in layer else z


@section
class MLP:
    """A multilayer perceptron, h ↦ φ(scale·h W + scale·β) `depth` times, then linear.

    The literature's L counts weight layers: L = depth + 1.
    """

    kind: Literal["mlp"] = "mlp"
    depth: Annotated[int, Field(ge=1, le=64)] = 1
    """Number of hidden layers."""
    activation: Literal[tuple(ACTIVATIONS)] = "relu"
    """Non-linearity of the hidden layers."""
    parameterization: Literal[tuple(PARAMETERIZATIONS)] = "ntk"
    """Row of the table of exponents: what of a weight's size is learned."""
    init: Literal["normal", "torch"] = "normal"
    """`normal`: N(0, 1); `torch`: weights and biases U(−1, 1)/√fan_in, as nn.Linear."""
    W_std: Annotated[float, Field(gt=0, le=HUGE)] = 1.0
    """Standard deviation σ_w of weight × √fan_in (factor on U(−1, 1) for `torch`)."""
    b_std: Annotated[float, Field(ge=0, le=HUGE)] = 0.0
    """Standard deviation σ_b of the biases; 0 leaves them out."""
    input_decay: Annotated[float, Field(ge=0, le=4)] = 0.0
    """The input weights' variance at initialisation is n^−p times as large."""
    output_decay: Annotated[float, Field(ge=0, le=4)] = 0.0
    """The output weights' variance at initialisation is n^−p times as large."""
    alpha: Annotated[float, Field(ge=1 / HUGE, le=HUGE)] = 1.0
    """Output scale: f = α·h, and the loss is divided by α² (Chizat et al. 2019)."""
    zero_output: Literal["none", "subtract", "double"] = "none"
    """f(w₀) = 0 by subtracting a frozen copy, or by a twin with the opposite sign."""
    output_weights: Literal["learned", "signs"] = "learned"
    """`signs`: the last layer is a fixed ±1 for each unit, without bias (Du et al.)."""
    biases: Literal["random", "zero"] = "random"
    """`zero`: biases begin at 0; b_std is then what multiplies them (Basri et al.)."""

    has_last_layer: ClassVar[bool] = True

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
        """Whether the last layer is learned, and its Σ a part of Θ."""
        return self.output_weights == "learned"

    @property
    def has_infinite_limit(self) -> bool:
        """Whether `infinite` has the kernels of the infinitely wide network."""
        return not any(self.without_limit())

    def without_limit(self) -> Iterator[Fault]:
        """Keys that leave the network without the kernels of `infinite`."""
        if self.parameterization != "ntk":
            yield Fault(
                ("parameterization",),
                f"infinite width needs ntk, not {self.parameterization}",
            )
        if self.init != "normal":
            yield Fault(("init",), f"infinite width needs normal, not {self.init}")
        for key in ("input_decay", "output_decay"):
            if decay := getattr(self, key):
                yield Fault((key,), f"infinite width needs 0, not {decay:g}")

    def unmet(self, e) -> Iterator[Fault]:
        """Why the model can't do what an experiment asks for."""
        if e.has_limit:
            yield from (fault.within("model") for fault in self.without_limit())
            if self.alpha != 1 and not self.starts_at_zero:
                text = f"infinite width needs 1, or zero_output, not {self.alpha:g}"
                yield Fault(("model", "alpha"), text)
        if e.measure.straight and not self.starts_at_zero:
            yield Fault(
                ("measure", "straight"),
                "needs model.zero_output: subtract or double, not none",
            )
        if e.training.ensemble is not None and self.starts_at_zero:
            yield Fault(
                ("training", "ensemble"),
                f"needs model.zero_output: none, not {self.zero_output}",
            )

    def init_params(
        self, key: jax.Array, width: int, d: int, k: int, dtype=float
    ) -> Params:
        """Draw the raw parameters of a network from `d` inputs to `k` outputs."""
        sizes = [d, *[width] * self.depth, k]
        shapes = [
            shape
            for index, fans in enumerate(pairwise(sizes))
            for shape in ((fans, fans[1:]) if self._has_bias(index) else (fans,))
        ]
        # one draw for all layers: compiling a draw takes longer than drawing
        ends = np.cumsum([math.prod(shape) for shape in shapes])
        numbers = iter(
            part.reshape(shape)
            for part, shape in zip(
                jnp.split(self._draw(key, int(ends[-1]), dtype), ends[:-1]),
                shapes,
                strict=True,
            )
        )
        layers = []
        for index, fan_in in enumerate(sizes[:-1]):
            w_std, b_std = self._std(index, fan_in, width)
            w = next(numbers)
            if self._fixed(index):
                w = jnp.where(w < 0, -1, 1).astype(w.dtype)
            layer = {"w": w_std * w}
            if self._has_bias(index):
                layer["b"] = b_std * next(numbers)
            layers.append(layer)
        return (tuple(layers),) * (2 if self.zero_output == "double" else 1)

    def _draw(self, key: jax.Array, count: int, dtype) -> jax.Array:
        if self.init == "torch":
            return jax.random.uniform(key, (count,), dtype, -1.0, 1.0)
        return jax.random.normal(key, (count,), dtype)

    def apply(self, params: Params, x: jax.Array, site: Site = dense) -> jax.Array:
        """h(x; w), (n d) → (n k), before the output scale α."""
        outputs = []
        for copy, layers in enumerate(params):
            h = x
            for index, layer in enumerate(layers):
                z = site(f"{index + 1}.{copy}", h, layer, self.scale(index, layer))
                h = ACTIVATIONS[self.activation](z) if index < self.depth else z
            outputs.append(h)
        if len(outputs) == 1:
            return outputs[0]
        plus, minus = outputs
        return (plus - minus) / math.sqrt(2)

    def infinite(self, x1, x2=None) -> infinite.Kernels:
        """NNGP and NTK of the infinitely wide network, (n d), (m d) → (n m) each."""
        if faults := [*self.without_limit()]:
            raise ValueError("; ".join(map(str, faults)))
        from ntkpipe import infinite

        return infinite.kernels(
            x1,
            x2,
            depth=self.depth,
            activation=self.activation,
            W_std=self.W_std,
            b_std=self.b_std,
            output_weights=self.output_weights,
            biases=self.biases,
        )

    def curvature(self, params: Params, x: jax.Array) -> curvature.Curvature:
        """‖∇f‖, ‖∇²f‖ and κ, of one hidden layer in closed form."""
        from ntkpipe import curvature

        if self.depth == 1:
            return curvature.one_hidden_layer(self, params, x)
        return curvature.curvature(self.apply, params, x)

    def weights(self, width: int, d: int, k: int) -> int:
        """Number of weights, without biases."""
        return (self.depth - 1) * width**2 + (d + k) * width

    def scale(self, index: int, layer: Layer) -> Scale:
        """Multipliers and relative learning rates of weight layer `index` (from 0)."""
        fan_in, fan_out = layer["w"].shape
        width = fan_out if index == 0 else fan_in
        weight, bias = self._exponents(index)
        w, b = width**-weight.a, width**-bias.a
        if self.parameterization != "standard":
            w_std, b_std = self._fixed_std(index, fan_in)
            w, b = w * w_std, b * b_std
        if "b" not in layer:
            b = 0.0
        lr_w = 0.0 if self._fixed(index) else width**-weight.c
        return Scale(w, b, lr_w, width**-bias.c)

    def learning_rates(self, params: Params):
        """Relative learning rates n^−c, 0 of fixed weights, a tree like `params`."""
        return tuple(
            tuple(
                {"w": s.lr_w, "b": s.lr_b} if "b" in layer else {"w": s.lr_w}
                for layer, s in (
                    (layer, self.scale(i, layer)) for i, layer in enumerate(layers)
                )
            )
            for layers in params
        )

    def _fixed(self, index: int) -> bool:
        """Whether weight layer `index` is not learned."""
        return index == self.depth and self.output_weights == "signs"

    def _has_bias(self, index: int) -> bool:
        return self.b_std > 0 and not self._fixed(index)

    def _exponents(self, index: int) -> tuple[Exponents, Exponents]:
        row = PARAMETERIZATIONS[self.parameterization]
        if index == 0:
            return row["input"], row["bias"]
        if index == self.depth:
            return row["output"], row["output_bias"]
        return row["hidden"], row["bias"]

    def _fixed_std(self, index: int, fan_in: int) -> tuple[float, float]:
        """σ_w and σ_b, with the part of fan_in that the exponents do not hold.

        The input dimension is no width: its 1/√d stands beside σ_w.
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


@section
class OneParameter:
    """f(w) = α·(wx + w²x + sin e^{w/10})(w − w₀): one weight, and zero at w₀.

    Its loss is a curve that can be drawn (Rajat V D 2019, "Understanding the NTK").
    The width plays no part: say `widths: [1]`.
    """

    kind: Literal["one_parameter"]
    start: float = 0.4
    """The initial weight w₀."""
    alpha: Annotated[float, Field(ge=1 / HUGE, le=HUGE)] = 1.0
    """Output scale: f = α·h, and the loss is divided by α² (Chizat et al. 2019)."""

    depth: ClassVar[int] = 0
    zero_output: ClassVar[str] = "none"
    output_weights: ClassVar[str] = "learned"
    layer_names: ClassVar[tuple[str, ...]] = ("W1",)
    weight_layers: ClassVar[int] = 1
    starts_at_zero: ClassVar[bool] = False
    learned_output: ClassVar[bool] = True
    has_last_layer: ClassVar[bool] = False
    has_infinite_limit: ClassVar[bool] = False

    def unmet(self, e) -> Iterator[Fault]:
        """Why the model can't do what an experiment asks for."""
        sizes = e.dataset.stated_sizes
        if sizes and (ends := (sizes.dimension, sizes.outputs)) != (1, 1):
            yield Fault(
                ("model", "kind"),
                "one_parameter takes one input and one output, and the points have "
                f"{ends[0]} and {ends[1]}",
            )
        for key, asked in (
            (("limit",), e.has_limit),
            (("training", "ensemble"), e.training.ensemble is not None),
            (("measure", "straight"), e.measure.straight),
        ):
            if asked:
                yield Fault(key, "needs model.kind: mlp, not one_parameter")

    def init_params(
        self, key: jax.Array, width: int, d: int, k: int, dtype=float
    ) -> Params:
        """The initial weight, of one input and one output."""
        del key, width
        if (d, k) != (1, 1):
            raise ValueError(
                f"model.kind: one_parameter takes one input and one output, not {d} "
                f"and {k}"
            )
        return (({"w": jnp.full((1, 1), self.start, dtype)},),)

    def apply(self, params: Params, x: jax.Array) -> jax.Array:
        """h(x; w), (n 1) → (n 1), before the output scale α."""
        w = params[0][0]["w"]
        return (w * x + w**2 * x + jnp.sin(jnp.exp(0.1 * w))) * (w - self.start)

    def learning_rates(self, params: Params):
        """Relative learning rates: 1."""
        return jax.tree.map(lambda _: 1.0, params)

    def curvature(self, params: Params, x: jax.Array) -> curvature.Curvature:
        """‖∇f‖, ‖∇²f‖ and κ, from the whole Hessian."""
        from ntkpipe import curvature

        return curvature.whole(self.apply, params, x)

    def weights(self, width: int, d: int, k: int) -> int:
        """One weight, whatever the width."""
        return 1


def _kind(model: Any) -> str:
    """The kind of a model, `mlp` where none is said."""
    if isinstance(model, dict):
        return model.get("kind", "mlp")
    return getattr(model, "kind", "mlp")


Model = Annotated[
    Annotated[MLP, Tag("mlp")] | Annotated[OneParameter, Tag("one_parameter")],
    Discriminator(_kind),
]
