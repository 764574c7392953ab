"""The training loss and its gradient with respect to the outputs.

    L = 1/(2α²) Σ_i p_i ‖f(x_i) − y_i‖²,   p_i = 1/N where no weights are given:

half the mean over points of the sum over outputs. Other conventions of the mean squared
error omit the ½, or also average over outputs; Jacot et al. 2018 have p_i = 1/N without
the ½. With f = αh the factor 1/α² makes the dynamics of f independent of α at first
order (Chizat et al. 2019). Arrays are NumPy or JAX arrays.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol


class Loss(Protocol):
    """The attributes and methods that every loss has."""

    @property
    def closed_form(self) -> bool:
        """Whether training the linearised model has a closed form."""

    def value(self, f: Any, y: Any, alpha: Any = 1.0) -> Any:
        """L of outputs (… n k) and targets (n k), (…)."""

    def gradient(self, f: Any, y: Any, alpha: Any = 1.0) -> Any:
        """∂L/∂f, (… n k)."""


class SquaredLoss(NamedTuple):
    """L = 1/(2α²) Σ_i p_i ‖f(x_i) − y_i‖²; `weights` are p (n,), by default 1/N."""

    weights: Any = None

    @property
    def closed_form(self) -> bool:
        """True: the linearised model then follows a linear equation."""
        return True

    def value(self, f: Any, y: Any, alpha: Any = 1.0) -> Any:
        """L of outputs (… n k) and targets (n k), (…)."""
        residual = f - y
        return self.of_residual(residual, residual.shape[-2], alpha)

    def of_residual(self, residual: Any, points: int, alpha: Any = 1.0) -> Any:
        """L of residuals (… a b), whose axes are points and outputs.

        Without weights p, the residuals may be in any orthonormal basis instead.
        """
        square = residual**2
        if self.weights is None:
            return square.sum((-2, -1)) / (2 * points * alpha**2)
        return (self.weights[:, None] * square).sum((-2, -1)) / (2 * alpha**2)

    def gradient(self, f: Any, y: Any, alpha: Any = 1.0) -> Any:
        """∂L/∂f = p_i (f(x_i) − y_i)/α², (… n k)."""
        residual = f - y
        if self.weights is None:
            return residual / (residual.shape[-2] * alpha**2)
        return self.weights[:, None] * residual / alpha**2


SQUARED = SquaredLoss()
"""The loss with p_i = 1/N."""
