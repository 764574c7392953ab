"""The kernel among the test points, before and after training."""

from __future__ import annotations

from typing import ClassVar

from ntkpipe.metric import Arrays, Index, Inputs, Metric, Values, given
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
    metrics = (
        Metric(
            "kernel_at",
            "kernel of two test points, x₀ the first of `measure.kernel_at`",
            "Θ(x₀, x_i)",
            index=Index("i", lambda e: e.measure.kernel_at),
            at="ends",
            when=(given("measure.kernel_at"),),
        ),
    )

    def ends(self, run, now: Now) -> Record:
        """Θ, (m 1 m 1)."""
        from ntkpipe.kernels import empirical

        theta = empirical.ntk(
            run.model.apply,
            now.params,
            now.points.x_test,
            outputs="trace",
            rates=run.model.learning_rates(now.params),
        )
        return {"ntk_test": theta}

    def measure(self, inputs: Inputs) -> Values:
        """Θ(x₀, x_i) of the points of `measure.kernel_at`."""
        return kernel_slice(inputs.network, inputs.e.measure.kernel_at)

    def numbers(self, e) -> int:
        """Two kernels."""
        return 2 * e.dataset.sizes.test**2


def kernel_slice(network: Arrays, points: tuple[int, ...]) -> Values:
    """Θ(x₀, x_i) before and after training for test points i; x₀ is the first of them.

    Raises:
        ValueError: an index is not below the number of test points.
    """
    if max(points) >= (count := network["ntk_test"].shape[2]):
        raise ValueError(
            f"measure.kernel_at: no test point {max(points)}: there are {count}, "
            "counted from 0"
        )
    theta = network["ntk_test"].squeeze((3, 5))[:, :, points[0]]
    ends = network["step"][[0, -1]]
    return {f"kernel_at/{i}": (ends, theta[..., i]) for i in points}
