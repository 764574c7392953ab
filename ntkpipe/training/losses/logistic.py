"""The logistic loss."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np

from ntkpipe.lazy import Lazy
from ntkpipe.section import section
from ntkpipe.training.losses.base import LABEL_ERROR, BaseLoss

nn, jnp = Lazy("jax.nn"), Lazy("jax.numpy")


@section
class Logistic(BaseLoss):
    """ℓ = Σ_j log(1 + e^{−s_j f_j}), with labels s = ±1.

    Targets are 1 and −1, or 1 and 0. Each output is a separate yes-or-no question.
    """

    kind: Literal["logistic"] = "logistic"

    curvature: ClassVar[float] = 0.25
    takes: ClassVar[str] = "targets 1 and −1, or 1 and 0"

    def of_outputs(self, f: Any, y: Any) -> Any:
        """log(1 + e^{−s_j f_j}), (… n k)."""
        return nn.softplus(-signs(f, y) * f)

    def slope(self, f: Any, y: Any) -> Any:
        """−s_j/(1 + e^{s_j f_j}), (… n k)."""
        s = signs(f, y)
        return -s * nn.sigmoid(-s * f)

    def unfit(self, y: np.ndarray) -> str:
        """Why targets (n k) are no labels; empty if they are."""
        for low in (-1, 0):
            if (np.minimum(abs(y - 1), abs(y - low)) < LABEL_ERROR).all():
                return ""
        other = y[np.minimum(abs(abs(y) - 1), abs(y)) >= LABEL_ERROR]
        if not other.size:
            return "the targets are 1, 0 and −1"
        return f"a target is {other[0]:.4g}" + (
            " (use loss: cross_entropy)" if y.shape[-1] > 1 else ""
        )


def signs(f: Any, y: Any) -> Any:
    """Labels s = ±1 of targets (n k), of the type of f."""
    return jnp.where(y > 0.5, 1, -1).astype(f.dtype)
