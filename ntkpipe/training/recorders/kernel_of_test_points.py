"""The kernel among the test points, before and after training."""

from __future__ import annotations

from typing import ClassVar

from ntkpipe.section import section
from ntkpipe.training.recorders.base import Now, Record, Recorder


@section
class Keys:
    """The recorder's key."""

    test_kernel: bool = False
    """Keep the kernel among the test points before and after training."""


class KernelOfTestPoints(Recorder):
    """Θ among the test points, traced over outputs."""

    __test__ = False  # pytest would collect the class by its name
    keys = Keys
    optional: ClassVar = {"ntk_test": "s e m 1 m 1"}
    metrics = ("kernel_at/*",)

    def wanted(self, training) -> bool:
        """Whether a training uses this recorder."""
        return training.test_kernel

    def ends(self, run, now: Now) -> Record:
        """Θ, (m 1 m 1)."""
        from ntkpipe.kernels import empirical

        theta = empirical.ntk(
            run.model.apply, now.params, now.points.x_test, outputs="trace"
        )
        return {"ntk_test": theta}

    def numbers(self, e) -> int:
        """Two kernels."""
        return 2 * e.dataset.sizes.test**2
