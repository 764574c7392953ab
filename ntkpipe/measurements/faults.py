"""What makes other numbers doubtful."""

from __future__ import annotations

import numpy as np

from ntkpipe.kernels import compare
from ntkpipe.kernels.compare import matrix
from ntkpipe.measurements import needs
from ntkpipe.measurements.group import Arrays, Group, Values
from ntkpipe.measurements.kernel import finite
from ntkpipe.measurements.metric import Metric

METRICS = (
    Metric(
        name="dead",
        meaning="1 where the last hidden layer is the same for all points, or zero",
        at="ends",
        when=(needs.HIDDEN_LAYERS,),
    ),
    Metric(name="singular", meaning="1 where λ_min is below rounding", at="ends"),
    Metric(
        name="unresolved",
        meaning="1 where the kernel's change is below the rounding of its precision",
        at="last",
        when=(needs.TWO_SNAPSHOTS,),
    ),
)


def faults(network: Arrays) -> Values:
    """What makes other numbers doubtful, 1 or 0 a network: metric → (steps, values).

    `dead`: the last hidden layer is the same for all points (a ReLU that is off).
    `singular`: λ_min of Θ is zero but for rounding, so that Θ has no inverse.
    `unresolved`: the kernel moved by less than rounding does.
    """
    snapshot = network["snapshot"]
    ends = [0] if len(snapshot) == 1 else [0, -1]
    theta = finite(matrix(network["ntk"])[:, ends])
    low, high = compare.extreme_eigenvalues(theta)
    precision = np.finfo(network["ntk"].dtype).eps
    found = {
        "singular": (
            snapshot[ends],
            (low <= theta.shape[-1] * precision * high).astype(float),
        ),
    }
    if "nngp" in network:
        nngp = network["nngp"]
        points = nngp.shape[-1]
        alike = np.ptp(nngp[:, ends], axis=(-2, -1)) == 0 if points > 1 else False
        off = np.abs(nngp[:, ends]).max((-2, -1)) == 0
        found["dead"] = (snapshot[ends], (alike | off).astype(float))
    if len(ends) > 1:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            moved = compare.relative_change(theta[:, 0], theta[:, 1])
        found["unresolved"] = (
            snapshot[-1:],
            (moved < 4 * precision).astype(float)[:, None],
        )
    return found


GROUP = Group(METRICS, lambda of: faults(of.network))
