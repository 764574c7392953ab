"""The linearised model of each network, trained as the network is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntkpipe import cost, provenance
from ntkpipe.stages.dataset import DATASET
from ntkpipe.stages.job import Job, log
from ntkpipe.stages.stage import Stage, keys
from ntkpipe.stages.train import TRAIN

if TYPE_CHECKING:
    from ntkpipe.experiment import Experiment
    from ntkpipe.metric import Arrays


def run(job: Job) -> None:
    """Compute the linearised model of each network, and write linearized.npz."""
    from ntkpipe.kernels import linear
    from ntkpipe.training import function_space

    e, network, data = job.experiment, job.read("network"), job.read("dataset")
    training = e.training
    if training.linear_updates:
        flow = e.linearize == "flow"
        arrays = function_space.of_networks(e, job.at.width, network, data, flow=flow)
    else:
        arrays = in_weights(e, job.at.width, data)
    arrays |= {"step": network["step"], "seed": network["seed"]}
    job.write(arrays, provenance.device())
    bound = training.loss.curvature
    if e.linearize == "flow" or not training.linear_updates or bound is None:
        return
    largest = linear.max_learning_rate(
        network["ntk"][0, 0], training.heavy_ball, bound, training.weight_decay
    )
    if training.learning_rate > largest:
        log.warning(
            "learning_rate %.3g is past the stability limit %.3g of the linearised "
            "model (seed 0), so that it %s",
            training.learning_rate,
            largest,
            "diverges" if training.loss.closed_form else "may diverge",
        )


def in_weights(e: Experiment, width: int, data: Arrays) -> dict[str, np.ndarray]:
    """The linearised models of other optimisers, which act on single weights."""
    import jax

    from ntkpipe.data.base import Data
    from ntkpipe.training import linearized

    model: Any = e.model
    return linearized.train(
        model,
        e.training,
        Data(**data),
        width,
        jax.random.key(e.seed),
        e.seeds_at(width),
        e.dtype,
    )


LINEARIZE = Stage(
    name="linearize",
    help="the linearised model of each network, trained as the network is",
    per="width",
    makes="linearized.npz",
    run=run,
    reads=(DATASET, TRAIN),
    wanted=lambda e: e.has_linearized,
    settings=keys("model", "training", "linearize"),
    sections=lambda at: (at.experiment.model, at.experiment.training),
    gpu=True,
    memory_mb=lambda at: cost.kernel_mb(at.experiment, at.width),
    flop=lambda at: cost.linearize_flop(at.experiment, at.width),
)
