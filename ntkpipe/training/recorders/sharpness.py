"""The largest eigenvalue of the Hessian of the training loss."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from ntkpipe.metric import DESCENT, Inputs, Metric, Values, given
from ntkpipe.section import section
from ntkpipe.training.recorders.base import Now, Record, Recorder


@section
class Keys:
    """The recorder's key."""

    sharpness: bool = False
    """Measure the largest eigenvalue of the Hessian of the training loss."""


_metric = partial(Metric, at="snapshots")
KEY = given("training.sharpness")


class Sharpness(Recorder):
    """λ_max(∇²L) over all weights that are learned."""

    keys = Keys
    optional: ClassVar = {"sharpness": "s p"}
    metrics = (
        _metric(
            "sharpness",
            "largest eigenvalue of the Hessian of the training loss",
            "λ_max(∇²L)",
            when=(KEY,),
        ),
        _metric(
            "sharpness_relative",
            "sharpness over the largest at which gradient descent is stable on a "
            "quadratic loss",
            "η·λ_max(∇²L)/2",
            when=(KEY, DESCENT),
        ),
    )

    def snapshot(self, run, now: Now) -> Record:
        """The eigenvalue, in the weights over the roots of their relative rates."""
        from ntkpipe.kernels.sharpness import sharpness

        x, y, _ = now.points
        start = now.start

        def loss(params):
            f = run.outputs(params, x, start.f0[: len(x)], start.params)
            return run.loss.value(f, y, run.model.alpha)

        rates = run.model.learning_rates(now.params)
        return {"sharpness": sharpness(loss, now.params, rates)}

    def measure(self, inputs: Inputs) -> Values:
        """The sharpness, and the sharpness over the limit of stability."""
        found = inputs.network["sharpness"]
        values = {"sharpness": found}
        if DESCENT.met(inputs.e):
            values["sharpness_relative"] = inputs.e.training.learning_rate * found / 2
        return {name: (inputs.network["snapshot"], v) for name, v in values.items()}
