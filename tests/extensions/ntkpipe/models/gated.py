"""A network whose hidden units are products of two linear functions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ntkpipe.lazy import Lazy
from ntkpipe.models.dense import Params
from ntkpipe.models.parameterizations import HUGE
from ntkpipe.section import Fault, section

jax, jnp = Lazy("jax"), Lazy("jax.numpy")


@section
class Gated:
    """h(x) = n^−½ Σ_r v_r (w_r·x)(u_r·x)/d with w, u, v ~ N(0, 1)."""

    kind: Literal["gated"]
    alpha: Annotated[float, Field(ge=1 / HUGE, le=HUGE)] = 1.0
    """Output scale: f = α·h, and the loss is divided by α²."""

    depth: ClassVar[int] = 1
    zero_output: ClassVar[str] = "none"
    layer_names: ClassVar[tuple[str, ...]] = ("W1", "W2", "W3")
    weight_layers: ClassVar[int] = 3
    starts_at_zero: ClassVar[bool] = False
    learned_output: ClassVar[bool] = True
    has_last_layer: ClassVar[bool] = True
    is_random: ClassVar[bool] = True
    has_infinite_limit: ClassVar[bool] = False

    def unmet(self, e) -> Iterator[Fault]:
        """Why the model can't do what an experiment asks for."""
        if e.has_limit:
            yield Fault(("limit",), "gated has no kernels of infinite width")

    def init_params(self, key, width: int, d: int, k: int, dtype=float) -> Params:
        """Draw w and u (d n) and v (n k)."""
        shapes = zip(
            jax.random.split(key, 3), ((d, width), (d, width), (width, k)), strict=True
        )
        return (tuple({"w": jax.random.normal(*one, dtype)} for one in shapes),)

    def apply(self, params: Params, x):
        """h(x; w), (n d) → (n k), before the output scale α."""
        ((w, u, v),) = params
        hidden = (x @ w["w"]) * (x @ u["w"]) / x.shape[1]
        return hidden @ v["w"] / math.sqrt(len(v["w"]))

    def learning_rates(self, params: Params):
        """Relative learning rates: 1."""
        return jax.tree.map(lambda _: 1.0, params)

    def curvature(self, params: Params, x):
        """‖∇f‖, ‖∇²f‖ and κ, by products with the Hessian."""
        from ntkpipe.kernels import curvature

        return curvature.curvature(self.apply, params, x)

    def weights(self, width: int, d: int, k: int) -> int:
        """Number of weights."""
        return (2 * d + k) * width
