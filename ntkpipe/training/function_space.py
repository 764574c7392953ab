"""The linearised model under the loss and the optimiser of a training."""

from __future__ import annotations

from typing import Any

from ntkpipe.kernels import descent, linear
from ntkpipe.training.protocol import Training


def train(
    training: Training, ntk, f0, y, step, *, flow: bool = False, **more: Any
) -> linear.Linearized:
    """In closed form if there is one, else step by step or by the flow's equation.

    Args:
        training: loss, optimiser and weight decay.
        ntk: (n k n k), or (n 1 n 1) traced.
        f0: (n k) outputs at w₀.
        y: (n k) targets.
        step: (t,) numbers of steps.
        flow: gradient flow instead of the steps of the optimiser.
        more: `ntk_test`, `f0_test`, `alpha`, `origin` and `weights` of `descent.train`.
    """
    rate = training.learning_rate
    more |= {"momentum": training.heavy_ball, "weight_decay": training.weight_decay}
    if training.closed_form:
        return linear.predict(ntk, f0, y, step, rate, flow=flow, **more)
    loss = training.loss
    return descent.train(ntk, f0, y, step, rate, loss=loss, flow=flow, **more)
