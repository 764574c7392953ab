"""Gradient and Hessian of the first output at the first training point."""

from __future__ import annotations

from typing import ClassVar

from ntkpipe.section import section
from ntkpipe.training.recorders.base import Now, Record, Recorder


@section
class Keys:
    """The recorder's key."""

    curvature: bool = False
    """Measure ‖∇f‖ and ‖∇²f‖ of the first output at the first training point."""


class Curvature(Recorder):
    """‖∇h‖, and ‖∇²h‖ as the largest |eigenvalue|."""

    keys = Keys
    optional: ClassVar = {"gradient_norm": "s p", "hessian_norm": "s p"}
    metrics = ("gradient_norm", "hessian_norm", "kappa")

    def wanted(self, training) -> bool:
        """Whether a training uses this recorder."""
        return training.curvature

    def snapshot(self, run, now: Now) -> Record:
        """The two norms."""
        from ntkpipe.kernels import curvature

        norms = curvature.of_model(run.model, now.params, now.points.x[:1])
        return {
            "gradient_norm": norms.gradient_norm[0, 0],
            "hessian_norm": norms.hessian_norm[0, 0],
        }
