"""The largest output of each network."""

from __future__ import annotations

import numpy as np

from ntkpipe.measurements.group import Group, Inputs, Values
from ntkpipe.measurements.metric import Metric


def largest_output(of: Inputs) -> Values:
    """max |f| over training points and outputs, at the last step."""
    f = np.abs(of.network["f_train"][:, -1]).max((1, 2))
    return {"largest_output": (of.network["step"][-1:], f[:, None])}


GROUP = Group(
    (
        Metric(
            name="largest_output",
            meaning="the largest output at a training point",
            formula="max |f(x_i)|",
            at="last",
        ),
    ),
    largest_output,
)
