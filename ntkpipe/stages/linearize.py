"""The linearised model of each network, in closed form."""

from __future__ import annotations

import numpy as np

from ntkpipe import cost, provenance
from ntkpipe.stages.dataset import DATASET
from ntkpipe.stages.job import Job, log
from ntkpipe.stages.stage import Stage, keys
from ntkpipe.stages.train import TRAIN


def run(job: Job) -> None:
    """Compute the linearised model of each network, and write linearized.npz."""
    import jax

    from ntkpipe.kernels import linear

    e, network, data = job.experiment, job.read("network"), job.read("dataset")
    rate = e.training.learning_rate

    @jax.jit
    def predict(y, ntk, f_train, ntk_test, f_test):
        return linear.predict(
            ntk,
            f_train,
            y,
            network["step"],
            rate,
            momentum=e.training.heavy_ball,
            flow=e.linearize == "flow",
            ntk_test=ntk_test,
            f0_test=f_test,
            alpha=e.model.alpha,
        )

    read = ("ntk", "f_train", "ntk_test_train", "f_test")
    start = [network[name][:, 0].astype(float) for name in read]
    y = np.broadcast_to(data["y_train"], (e.draws, *data["y_train"].shape[-2:]))
    models = [
        predict(y[seed % e.draws], *arrays)
        for seed, arrays in enumerate(zip(*start, strict=True))
    ]
    arrays = {
        name: np.stack([np.asarray(getattr(model, name)) for model in models])
        for name in ("loss", "f_train", "f_test", "weight_change")
    }
    arrays |= {"step": network["step"], "seed": network["seed"]}
    job.write(arrays, provenance.device())
    largest = linear.max_learning_rate(network["ntk"][0, 0], e.training.heavy_ball)
    if rate > largest and e.linearize == "steps":
        log.warning(
            "learning_rate %.3g is past the stability limit 2/λ_max = %.3g of the "
            "linearised model (seed 0): it diverges",
            rate,
            largest,
        )


LINEARIZE = Stage(
    name="linearize",
    help="the linearised model of each network, in closed form",
    per="width",
    makes="linearized.npz",
    run=run,
    reads=(DATASET, TRAIN),
    wanted=lambda e: e.has_linearized,
    settings=keys("model", "training", "linearize"),
    gpu=True,
    memory_mb=lambda at: cost.kernel_mb(at.experiment, at.width),
    flop=lambda at: cost.linearize_flop(at.experiment, at.width),
)
