"""Flags of networks whose other metrics are doubtful."""

from __future__ import annotations

import numpy as np

from ntkpipe.kernels import compare
from ntkpipe.kernels.compare import matrix
from ntkpipe.measurements.kernel import finite
from ntkpipe.metric import HIDDEN_LAYERS, Arrays, Group, Metric, Need, Values

TWO_SNAPSHOTS = Need(
    lambda e: len(e.training.snapshot_indices()) > 1, "`training.snapshots: 2` or more"
)
METRICS = (
    Metric(
        "dead",
        "1 if the last hidden layer is the same for all points, or zero",
        at="ends",
        when=(HIDDEN_LAYERS,),
    ),
    Metric("singular", "1 if λ_min is below rounding", at="ends"),
    Metric(
        "unresolved",
        "1 if the kernel's change is below the rounding of its precision",
        at="last",
        when=(TWO_SNAPSHOTS,),
    ),
)


def faults(network: Arrays) -> Values:
    """Flags, 1 or 0 for each network: metric → (steps, values).

    `dead`: the last hidden layer is equal at all points, for example if no ReLU is on.
    `singular`: λ_min of Θ is zero up to rounding, so that Θ has no inverse.
    `unresolved`: the kernel changed by less than rounding.
    """
    snapshot = network["snapshot"]
    ends = [0] if len(snapshot) == 1 else [0, -1]
    theta = finite(matrix(network["ntk"])[:, ends])
    low, high = compare.extreme_eigenvalues(theta)
    precision = np.finfo(network["ntk"].dtype).eps
    flags = {
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
        flags["dead"] = (snapshot[ends], (alike | off).astype(float))
    if len(ends) > 1:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            moved = compare.relative_change(theta[:, 0], theta[:, 1])
        flags["unresolved"] = (
            snapshot[-1:],
            (moved < 4 * precision).astype(float)[:, None],
        )
    return flags


GROUP = Group(METRICS, lambda inputs: faults(inputs.network))
