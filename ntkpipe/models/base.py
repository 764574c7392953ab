"""The protocol of a model: what training, kernels and cost estimates need."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from pydantic import Field

from ntkpipe.lazy import Lazy
from ntkpipe.section import Fault

jnp = Lazy("jax.numpy")
if TYPE_CHECKING:
    import jax
else:
    jax = Lazy("jax")

Width = Annotated[int, Field(ge=1, le=10**7)]

TWINS = ("double", "alike")
"""Values of `zero_output` for which the output combines two equal networks."""

FROZEN_COPY = ("subtract", "alike")
"""Values of `zero_output` for which the network at initialisation is subtracted."""


MLP_ONLY = {
    "curvature": "the Hessian has a compact form for dense layers only",
    "ensemble": "its moments are those of layers",
    "keep_matrix": "other kinds have no numbered weight matrices",
    "unit_changes": "other kinds have no numbered hidden layers",
}
"""Keys of `training` that only an MLP can meet, and why."""


def unmet_by_others(e) -> Iterator[Fault]:
    """Keys of an experiment whose model is no MLP, but that need one."""
    for key, why in MLP_ONLY.items():
        if getattr(e.training, key):
            yield Fault(("training", key), f"needs model.kind: mlp: {why}")


def without_limit(parameterization: str) -> Iterator[Fault]:
    """Why a parametrisation has no kernel of infinite width that stays constant."""
    if parameterization != "ntk":
        text = f"infinite width needs ntk, not {parameterization}"
        yield Fault(("parameterization",), text)


def unmet_limit(model, e) -> Iterator[Fault]:
    """Keys of an experiment that need another model, for `limit` and what reads it."""
    if e.has_limit:
        yield from (fault.within("model") for fault in model.without_limit())
        if model.alpha != 1 and not model.starts_at_zero:
            text = f"infinite width needs 1, or zero_output, not {model.alpha:g}"
            yield Fault(("model", "alpha"), text)
    if e.measure.straightness and not model.starts_at_zero:
        text = "needs model.zero_output: subtract or double, not none"
        yield Fault(("measure", "straightness"), text)


def of_twins(outputs: list[jax.Array], zero_output: str) -> jax.Array:
    """The output of one network, or (f₁ ± f₂)/√2 of two: + if `alike`."""
    if len(outputs) == 1:
        return outputs[0]
    first, second = outputs
    sign = 1 if zero_output == "alike" else -1
    return (first + sign * second) / math.sqrt(2)


class ModelKind(Protocol):
    """The attributes and methods that every kind of model has.

    A kind with a method `built`, as `python`, has the functions of a network in what
    this method returns. A kind whose layers act on many positions has a method
    `layer_sizes`, from which the cost of its jobs is estimated. A kind with a method
    `kernel_file` is no network.
    """

    depth: int
    """Number of hidden layers."""
    alpha: float
    """Output scale: f = α·h, and the loss is divided by α²."""
    layer_names: tuple[str, ...] | None
    """W1, b1, W2, …: the arrays of a network, in the order of its parameters; None if
    they are known when the network is built."""
    weight_layers: int
    """Number of weight matrices."""
    zero_output: str
    """How f(w₀) = 0 is obtained: `subtract`, `double`, `alike`; `none` if it is not."""
    starts_at_zero: bool
    """Whether f(w₀) = 0 by `zero_output`."""
    learned_output: bool
    """Whether the last layer is learned, so that Σ is a part of Θ."""
    has_last_layer: bool
    """Whether there are hidden layers. The NNGP kernel is that of the last of them."""
    is_random: bool
    """Whether initial weights are drawn at random."""
    has_infinite_limit: bool
    """Whether `kernels.infinite` has the kernels of the infinitely wide network."""

    def init_params(self, key: jax.Array, width: int, d: int, k: int, dtype=float):
        """Draw the raw parameters of a network from `d` inputs to `k` outputs."""

    def apply(self, params, x: jax.Array) -> jax.Array:
        """h(x; w), (n d) → (n k), before the output scale α."""

    def learning_rates(self, params):
        """Relative learning rates, a tree like `params`."""

    def curvature(self, params, x: jax.Array) -> Any:
        """‖∇f‖, ‖∇²f‖ and κ at points (n d), by the cheapest method."""

    def weights(self, width: int, d: int, k: int) -> int:
        """Number of weights, without biases."""

    def unmet(self, e) -> Iterator[Fault]:
        """Keys of an `Experiment` that the model cannot meet, and why."""
