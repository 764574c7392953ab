"""The logarithm of the hyperbolic cosine: a smooth version of Huber's loss."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from ntkpipe.data.base import Size
from ntkpipe.lazy import Lazy
from ntkpipe.section import section
from ntkpipe.training.losses.base import BaseLoss

jnp = Lazy("jax.numpy")


@section
class LogCosh(BaseLoss):
    """ℓ = Σ_j δ² log cosh((f_j − y_j)/δ), about r²/2 of small r and δ|r| of large."""

    kind: Literal["log_cosh"] = "log_cosh"
    delta: Size = 1.0
    """Residual δ from which it is about a straight line."""

    curvature: ClassVar[float] = 1.0

    def of_outputs(self, f: Any, y: Any) -> Any:
        """δ² log cosh((f_j − y_j)/δ), (… n k)."""
        return self.delta**2 * jnp.log(jnp.cosh((f - y) / self.delta))

    def slope(self, f: Any, y: Any) -> Any:
        """δ tanh((f_j − y_j)/δ), (… n k)."""
        return self.delta * jnp.tanh((f - y) / self.delta)
