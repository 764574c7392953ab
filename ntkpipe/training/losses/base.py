"""The training loss L, and what all kinds of loss share.

    L = (1/α²) Σ_i p_i ℓ(f(x_i), y_i),   p_i = 1/N where no weights are given:

a mean over points of a sum over outputs. With f = αh the factor 1/α² makes the dynamics
of f independent of α at first order, whatever ℓ is (Chizat et al. 2019): with Θ the
kernel of h, gradient descent moves f by −(η/N) Θ ∂ℓ/∂f. Arrays may be of NumPy or of
JAX.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from ntkpipe.section import Fault

LABEL_ERROR = 1e-9
"""Rounding of a target that is a label."""


class BaseLoss:
    """A kind of loss states `of_outputs`, `slope`, `curvature` and `unfit`."""

    kind: str
    closed_form: ClassVar[bool] = False
    """Whether gradient descent on a linear model has a closed form."""
    curvature: ClassVar[float | None]
    """A bound on the eigenvalues of ∂²ℓ/∂f²; 2/(bound·λ_max) is a stable rate.

    It is None if no bound is known."""
    takes: ClassVar[str] = ""
    """Which targets it takes, in words, if these are labels of classes."""

    def of_outputs(self, f: Any, y: Any) -> Any:
        """ℓ of each output (… n k), which `value` adds up; y has the rank of f."""
        raise NotImplementedError

    def slope(self, f: Any, y: Any) -> Any:
        """∂ℓ/∂f, (… n k); y has the rank of f."""
        raise NotImplementedError

    def value(self, f: Any, y: Any, alpha: Any = 1.0, weights: Any = None) -> Any:
        """L of outputs (… n k), targets (n k) and weights p (n,), (…)."""
        each = self.of_outputs(f, as_deep(y, f))
        if weights is None:
            return each.sum((-2, -1)) / (each.shape[-2] * alpha**2)
        return (as_deep(weights[:, None], f) * each).sum((-2, -1)) / alpha**2

    def gradient(self, f: Any, y: Any, alpha: Any = 1.0, weights: Any = None) -> Any:
        """∂L/∂f = p_i ∂ℓ/∂f(x_i)/α², (… n k)."""
        slope = self.slope(f, as_deep(y, f))
        if weights is None:
            return slope / (slope.shape[-2] * alpha**2)
        return as_deep(weights[:, None], f) * slope / alpha**2

    def unfit(self, y: np.ndarray) -> str:
        """Why targets (n k) do not fit the loss; empty if they do."""
        del y
        return ""

    def unmet(self, e) -> Iterator[Fault]:
        """Why the targets of an `Experiment` do not fit, as far as its keys tell."""
        if not self.takes or e.dataset.stated_sizes is None:
            return
        labels = e.dataset.labels
        why = "the targets are numbers" if labels is None else self.unfit(labels)
        if why:
            yield Fault(("training", "loss"), f"{self.kind} needs {self.takes}: {why}")

    def check(self, y: np.ndarray) -> None:
        """Raise ValueError if targets (n k) do not fit, as those of a user's file."""
        if why := self.unfit(np.asarray(y, float)):
            raise ValueError(f"training.loss: {self.kind} needs {self.takes}: {why}")


def as_deep(a: Any, f: Any) -> Any:
    """An array (n k) with as many axes as f (… n k)."""
    return a[(None,) * (f.ndim - a.ndim)] if f.ndim > a.ndim else a
