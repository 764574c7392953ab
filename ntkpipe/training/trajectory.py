"""The recorded arrays of the networks of one width, by name.

Axes: s seeds, t recorded steps, p snapshots, n training and m test points, k outputs,
q outputs of a kernel (1 if traced), l layers. A trajectory lacks the arrays that were
not recorded.
"""

import numpy as np

from ntkpipe.training.recorders import RECORDERS

Trajectory = dict[str, np.ndarray]

OPTIONAL: dict[str, str] = {
    name: axes for recorder in RECORDERS for name, axes in recorder.optional.items()
}
"""Arrays that a trajectory may have, and their axes."""

ARRAYS: dict[str, str] = {
    "step": "t",
    "snapshot": "p",  # steps
    "layer": "l",  # names W1, b1, W2, …
    "seed": "s",
    "stop_step": "s",  # number of steps done
    "converged": "s",  # whether the loss reached `stop_at_loss`
    "diverged": "s",  # whether loss, test outputs or kernel became infinite or NaN
    **{name: axes for recorder in RECORDERS for name, axes in recorder.arrays.items()},
    **OPTIONAL,
}
"""All arrays, and their axes."""
