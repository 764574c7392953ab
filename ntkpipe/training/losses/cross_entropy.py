"""The cross entropy of softmax outputs."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np

from ntkpipe.lazy import Lazy
from ntkpipe.section import section
from ntkpipe.training.losses.base import LABEL_ERROR, BaseLoss

nn = Lazy("jax.nn")


@section
class CrossEntropy(BaseLoss):
    """ℓ = −Σ_c p_c log softmax(f)_c, p the probabilities of the classes.

    Targets are one-hot vectors or probabilities, or these minus 1/k: each is shifted by
    a constant so that it sums to 1. The network has an output for each class.
    """

    kind: Literal["cross_entropy"] = "cross_entropy"

    # of diag p − ppᵀ: 2p(1 − p) of two classes with p = ½, and less of more
    curvature: ClassVar[float] = 0.5
    takes: ClassVar[str] = "one-hot targets of two classes or more, or these minus 1/k"

    def of_outputs(self, f: Any, y: Any) -> Any:
        """−p_c log softmax(f)_c, (… n k)."""
        return -probabilities(y) * nn.log_softmax(f)

    def slope(self, f: Any, y: Any) -> Any:
        """softmax(f) − p, (… n k)."""
        return nn.softmax(f) - probabilities(y)

    def unfit(self, y: np.ndarray) -> str:
        """Why targets (n k) are no probabilities; empty if they are."""
        if y.shape[-1] < 2:
            return "there is one output (use loss: logistic)"
        p, sums = probabilities(y), y.sum(-1)
        known = (np.minimum(abs(sums), abs(sums - 1)) < LABEL_ERROR) & (
            p > -LABEL_ERROR
        ).all(-1)
        return "" if known.all() else f"a target is {_shown(y[~known][0])}"


def probabilities(y: Any) -> Any:
    """Targets (n k), shifted so that each sums to 1."""
    return y + (1 - y.sum(-1, keepdims=True)) / y.shape[-1]


def _shown(row: np.ndarray) -> str:
    some = ", ".join(f"{value:.4g}" for value in row[:5])
    return f"[{some}{', …' * (len(row) > 5)}]"
