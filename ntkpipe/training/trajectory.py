"""What was recorded of the networks of one width: arrays by name.

Axes: s seeds, t recorded steps, p snapshots, n training and m test points, k outputs,
q outputs of a kernel (1 where it is traced), l layers. A trajectory has no array of
what was not recorded.
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
    "stop_step": "s",  # steps done
    "converged": "s",  # the loss to stop at was reached
    "diverged": "s",  # loss or outputs left the finite numbers
    **{name: axes for recorder in RECORDERS for name, axes in recorder.arrays.items()},
    **OPTIONAL,
}
"""All arrays, and their axes."""
