"""The protocol of a model: what training, kernels and cost estimates need."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from ntkpipe.lazy import Lazy
from ntkpipe.section import Fault

jnp = Lazy("jax.numpy")
if TYPE_CHECKING:
    import jax
else:
    jax = Lazy("jax")

TWINS = ("double", "alike")
"""Values of `zero_output` for which the output combines two equal networks."""

FROZEN_COPY = ("subtract", "alike")
"""Values of `zero_output` for which the network at initialisation is subtracted."""


class ModelKind(Protocol):
    """The attributes and methods that every kind of model has.

    A kind with a method `built`, as `python`, has the functions of a network in what
    this method returns.
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
