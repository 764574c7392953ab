"""The largest output of each network."""

from __future__ import annotations

import numpy as np

from ntkpipe.metric import Group, Inputs, Metric, Values

METRICS = (
    Metric(
        "largest_output",
        "the largest output at a training point",
        "max |f(x_i)|",
        at="last",
    ),
)


def largest_output(inputs: Inputs) -> Values:
    """max |f| over training points and outputs, at the last step."""
    f = np.abs(inputs.network["f_train"][:, -1]).max((1, 2))
    return {"largest_output": (inputs.network["step"][-1:], f[:, None])}


GROUP = Group(METRICS, largest_output)
