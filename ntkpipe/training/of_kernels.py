"""Training of outputs alone, where a kernel stands in the place of a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ntkpipe.training import function_space
from ntkpipe.training.trajectory import Trajectory

if TYPE_CHECKING:
    from ntkpipe.experiment import Experiment
    from ntkpipe.metric import Arrays
    from ntkpipe.users.kernels import Given


def train(e: Experiment, width: int, given: Given, data: Arrays) -> Trajectory:
    """f ← f − (η/N) Θ₀ ∂ℓ/∂f from the given outputs, with the given kernels.

    Args:
        e: the experiment.
        width: the width to which the kernels belong.
        given: kernels and outputs at initialisation, perhaps kernels after training.
        data: training and test points.

    Returns:
        the arrays of a training that exist without weights. `weight_change` is
        ‖w − w₀‖ of the linearised model, in the place of the first layer.
    """
    step, seeds = e.training.recorded(), np.arange(len(given.ntk))
    start = given._asdict() | {"step": step, "seed": seeds}
    moved = function_space.of_networks(e, width, start, data)
    return {
        "step": step,
        "snapshot": step[[0, -1][: given.ntk.shape[1]]],
        "layer": np.array(["all"]),
        "seed": seeds,
        "ntk": given.ntk,
        "ntk_test_train": given.ntk_test_train,
        **{name: moved[name] for name in ("loss", "f_train", "f_test")},
        "weight_change": moved["weight_change"][..., None],
        "stop_step": np.full(len(seeds), step[-1]),
        "converged": np.zeros(len(seeds), bool),
        "diverged": ~np.isfinite(moved["loss"][:, -1]),
    }
