"""The loss of Huber (1964): a square near the target, a straight line far from it."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from ntkpipe.data.base import Size
from ntkpipe.lazy import Lazy
from ntkpipe.section import section

jnp = Lazy("jax.numpy")


@section
class Huber:
    """L = 1/(Nα²) Σ_ij H(f_j(x_i) − y_ij), with H(r) = r²/2 for |r| ≤ δ.

    Beyond δ the slope is constant: H(r) = δ(|r| − δ/2).
    """

    kind: Literal["huber"]
    delta: Size = 1.0
    """Residual δ from which H is a straight line."""

    closed_form: ClassVar[bool] = False

    def value(self, f: Any, y: Any, alpha: Any = 1.0) -> Any:
        """L of outputs (… n k) and targets (n k), (…)."""
        size = abs(f - y)
        far = self.delta * (size - self.delta / 2)
        loss = jnp.where(size <= self.delta, size**2 / 2, far)
        return loss.sum((-2, -1)) / (size.shape[-2] * alpha**2)

    def gradient(self, f: Any, y: Any, alpha: Any = 1.0) -> Any:
        """∂L/∂f, (… n k)."""
        residual = f - y
        held = jnp.clip(residual, -self.delta, self.delta)
        return held / (residual.shape[-2] * alpha**2)
