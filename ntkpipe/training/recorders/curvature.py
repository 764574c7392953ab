"""Gradient and Hessian of the first output at the first training point."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import numpy as np

from ntkpipe.metric import Inputs, Metric, Values, given
from ntkpipe.section import section
from ntkpipe.training.recorders.base import Now, Record, Recorder


@section
class Keys:
    """The recorder's key."""

    curvature: bool = False
    """Measure ‖∇f‖ and ‖∇²f‖ of the first output at the first training point."""


_metric = partial(Metric, at="snapshots", when=(given("training.curvature"),))


class Curvature(Recorder):
    """‖∇h‖, and ‖∇²h‖ as the largest |eigenvalue|."""

    keys = Keys
    optional: ClassVar = {"gradient_norm": "s p", "hessian_norm": "s p"}
    metrics = (
        _metric(
            "gradient_norm",
            "norm of the gradient of the first output at the first training point",
            "‖∇h(x₀)‖",
        ),
        _metric(
            "hessian_norm",
            "largest |eigenvalue| of the Hessian of the first output at the first "
            "training point",
            "‖∇²h(x₀)‖",
        ),
        _metric(
            "kappa",
            "Hessian norm over squared gradient norm; 0 if the network is linear in "
            "its weights",
            "‖∇²h‖/‖∇h‖²",
        ),
    )

    def snapshot(self, run, now: Now) -> Record:
        """The two norms."""
        from ntkpipe.kernels import curvature

        norms = curvature.of_model(run.model, now.params, now.points.x[:1])
        return {
            "gradient_norm": norms.gradient_norm[0, 0],
            "hessian_norm": norms.hessian_norm[0, 0],
        }

    @np.errstate(divide="ignore", invalid="ignore", over="ignore")
    def measure(self, inputs: Inputs) -> Values:
        """Both norms, and κ."""
        network = inputs.network
        gradient, hessian = network["gradient_norm"], network["hessian_norm"]
        kappa = hessian / gradient**2
        found = {"gradient_norm": gradient, "hessian_norm": hessian, "kappa": kappa}
        return {name: (network["snapshot"], values) for name, values in found.items()}
