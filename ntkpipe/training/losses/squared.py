"""The loss of least squares."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from ntkpipe.section import section
from ntkpipe.training.losses.base import BaseLoss, as_deep


@section
class Squared(BaseLoss):
    """ℓ = ½‖f − y‖²: half the mean over points of the sum over outputs.

    Other conventions of the mean squared error omit the ½, or also average over
    outputs; Jacot et al. 2018 have p_i = 1/N without the ½.
    """

    kind: Literal["squared"] = "squared"

    closed_form: ClassVar[bool] = True
    curvature: ClassVar[float] = 1.0

    def of_outputs(self, f: Any, y: Any) -> Any:
        """(f_j − y_j)²/2, (… n k)."""
        return (f - y) ** 2 / 2

    def slope(self, f: Any, y: Any) -> Any:
        """f − y, (… n k)."""
        return f - y

    def value(self, f: Any, y: Any, alpha: Any = 1.0, weights: Any = None) -> Any:
        """L of outputs (… n k), targets (n k) and weights p (n,), (…)."""
        if weights is not None:
            return BaseLoss.value(self, f, y, alpha, weights)
        residual = f - as_deep(y, f)
        return self.of_residual(residual, residual.shape[-2], alpha)

    def of_residual(self, residual: Any, points: int, alpha: Any = 1.0) -> Any:
        """L of residuals (… a b), whose axes are points and outputs.

        The residuals may be in any orthonormal basis instead.
        """
        return (residual**2).sum((-2, -1)) / (2 * points * alpha**2)


SQUARED = Squared()
"""The loss that a training has by default."""
