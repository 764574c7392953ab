"""Distance of the weights from those of the linearised model."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ntkpipe.lazy import Lazy
from ntkpipe.metric import Inputs, Metric, Values, given
from ntkpipe.models.base import FROZEN_COPY
from ntkpipe.section import section
from ntkpipe.training.recorders.base import Now, Record, Recorder

jax, jnp = Lazy("jax"), Lazy("jax.numpy")


@section
class Keys:
    """The recorder's key."""

    linear_weights: bool = False
    """Measure the distance of the weights from those of the linearised model."""


class WeightGap(Recorder):
    """‖w − w_lin‖ with w_lin(t) = w₀ − CJᵀ a(t), C the relative learning rates.

    a(t) = U g_t(λ) Uᵀ (f₀ − y)/(Nα) with g_t of `linear.gain`.
    """

    keys = Keys
    optional: ClassVar = {"weight_gap": "s t"}
    metrics = (
        Metric(
            "linear_weight_gap",
            "largest distance of the weights from those of the linearised model",
            "sup_t ‖w − w_lin‖",
            label="weights' distance from the linearised model's, sup over t",
            at="last",
            when=(given("training.linear_weights"),),
        ),
    )

    def begin(self, run, now: Now) -> Record:
        """The coefficients a(t) of the gradients at all recorded steps, (t n k)."""
        from ntkpipe.kernels import blocks, compare, linear, signals

        training, alpha, y = run.training, run.model.alpha, now.points.y
        n = len(y)
        h = now.f[:n] * float(run.model.zero_output not in FROZEN_COPY)
        train = signals.of_points(now.signals, slice(n))
        theta = compare.matrix(blocks.block(train, train)) / n
        values, vectors = jnp.linalg.eigh(theta)
        _, moved = linear.gain(
            values, training.recorded(), training.learning_rate, training.heavy_ball
        )
        slope = alpha * run.loss.gradient(alpha * h, y, alpha)  # ∂L/∂h
        a = (moved * (vectors.T @ slope.ravel())[None]) @ vectors.T
        return {"coefficients": a.reshape(len(a), *y.shape).astype(y.dtype)}

    def observe(self, run, now: Now) -> Record:
        """‖w − w_lin‖."""
        x, start = now.points.x, now.start
        _, pullback = jax.vjp(lambda w: run.model.apply(w, x), start.params)
        (gradient,) = pullback(start.kept["coefficients"][now.index])
        gaps = jax.tree.map(
            lambda w, w0, g, rate: jnp.sum((w - w0 + rate * g) ** 2),
            now.params,
            start.params,
            gradient,
            run.model.learning_rates(now.params),
        )
        return {"weight_gap": jnp.sqrt(sum(jax.tree.leaves(gaps)))}

    def measure(self, inputs: Inputs) -> Values:
        """The largest distance up to the step at which a network stopped."""
        step = inputs.network["step"]
        ran = step <= inputs.network["stop_step"][:, None]
        gap = np.where(ran, inputs.network["weight_gap"], 0).max(1, keepdims=True)
        return {"linear_weight_gap": (step[-1:], gap)}
