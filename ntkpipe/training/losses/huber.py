"""The loss of Huber (1964): a square near the target, a straight line far from it."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from ntkpipe.data.base import Size
from ntkpipe.lazy import Lazy
from ntkpipe.section import section
from ntkpipe.training.losses.base import BaseLoss

jnp = Lazy("jax.numpy")


@section
class Huber(BaseLoss):
    """ℓ = Σ_j H(f_j − y_j), with H(r) = r²/2 for |r| ≤ δ and δ(|r| − δ/2) beyond."""

    kind: Literal["huber"] = "huber"
    delta: Size = 1.0
    """Residual δ from which H is a straight line."""

    curvature: ClassVar[float] = 1.0

    def of_outputs(self, f: Any, y: Any) -> Any:
        """H(f_j − y_j), (… n k)."""
        size = abs(f - y)
        far = self.delta * (size - self.delta / 2)
        return jnp.where(size <= self.delta, size**2 / 2, far)

    def slope(self, f: Any, y: Any) -> Any:
        """f − y, no larger than δ, (… n k)."""
        return jnp.clip(f - y, -self.delta, self.delta)
