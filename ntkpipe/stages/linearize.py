"""The linearised model of each network, trained as the network is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ntkpipe import cost, provenance
from ntkpipe.metric import Arrays
from ntkpipe.stages.dataset import DATASET
from ntkpipe.stages.job import Job, log
from ntkpipe.stages.stage import Stage, keys
from ntkpipe.stages.train import TRAIN

if TYPE_CHECKING:
    from ntkpipe.experiment import Experiment
    from ntkpipe.kernels.linear import Linearized


def run(job: Job) -> None:
    """Compute the linearised model of each network, and write linearized.npz."""
    from ntkpipe.kernels import linear

    e, network, data = job.experiment, job.read("network"), job.read("dataset")
    training = e.training
    if training.linear_updates:
        models = in_function_space(e, job.at.width, network, data)
        arrays = {
            name: np.stack([np.asarray(getattr(model, name)) for model in models])
            for name in ("loss", "f_train", "f_test", "weight_change")
        }
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


def in_function_space(
    e: Experiment, width: int, network: Arrays, data: Arrays
) -> list[Linearized]:
    """The linearised models of gradient descent, momentum or flow, without weights."""
    import jax

    from ntkpipe.kernels import descent
    from ntkpipe.training import batches, function_space

    training, flow = e.training, e.linearize == "flow"
    points, size = data["y_train"].shape[-2], training.batch

    def predict(y, ntk, f_train, ntk_test, f_test, origin, key):
        how: dict[str, Any] = {"ntk_test": ntk_test, "f0_test": f_test}
        how |= {"alpha": e.model.alpha, "flow": flow}
        if origin is not None:
            how["origin"] = descent.Origin(*origin)
        if size is not None:
            how["weights"] = lambda step: batches.weights(key, step, points, size)
        return function_space.train(training, ntk, f_train, y, network["step"], **how)

    # the flow without a closed form is solved by SciPy
    is_jax = training.closed_form or not flow
    of_seed: Callable = jax.jit(predict) if is_jax else predict
    read = ("ntk", "f_train", "ntk_test_train", "f_test")
    start = [network[name][:, 0].astype(float) for name in read]
    names = ("origin_train", "origin_test", "origin_square")
    origins = [network[name].astype(float) for name in names if name in network]
    y = np.broadcast_to(data["y_train"], (e.draws, *data["y_train"].shape[-2:]))
    study = jax.random.key(e.seed)
    return [
        of_seed(
            y[seed % e.draws],
            *(array[seed] for array in start),
            [array[seed] for array in origins] or None,
            None if size is None else batches.key_of(study, width, seed),
        )
        for seed in network["seed"]
    ]


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
