"""The linearised model of each network, trained as the network is."""

from __future__ import annotations

import numpy as np

from ntkpipe import cost, provenance
from ntkpipe.stages.dataset import DATASET
from ntkpipe.stages.job import Job, log
from ntkpipe.stages.stage import Stage, keys
from ntkpipe.stages.train import TRAIN


def run(job: Job) -> None:
    """The linearised model of each network, trained alike: linearized.npz."""
    import jax

    from ntkpipe.kernels import descent, linear

    e, network, data = job.experiment, job.read("network"), job.read("dataset")
    training, rate = e.training, e.training.learning_rate
    closed, flow = training.loss.closed_form, e.linearize == "flow"

    def predict(ntk, f_train, ntk_test, f_test):
        start = ntk, f_train, data["y_train"], network["step"], rate
        how = {
            "momentum": training.heavy_ball,
            "flow": flow,
            "ntk_test": ntk_test,
            "f0_test": f_test,
            "alpha": e.model.alpha,
        }
        if closed:
            return linear.predict(*start, **how)
        return descent.train(*start, loss=training.loss, **how)

    # the flow without a closed form is solved by SciPy
    predict = predict if flow and not closed else jax.jit(predict)
    read = ("ntk", "f_train", "ntk_test_train", "f_test")
    start = (network[name][:, 0].astype(float) for name in read)
    models = [predict(*arrays) for arrays in zip(*start, strict=True)]
    arrays = {
        name: np.stack([np.asarray(getattr(model, name)) for model in models])
        for name in ("loss", "f_train", "f_test", "weight_change")
    }
    arrays |= {"step": network["step"], "seed": network["seed"]}
    job.write(arrays, provenance.device())
    largest = linear.max_learning_rate(
        network["ntk"][0, 0], training.heavy_ball, training.loss.curvature
    )
    if rate > largest and not flow:
        log.warning(
            "learning_rate %.3g is past the stability limit %.3g of the linearised "
            "model (seed 0), so that it %s",
            rate,
            largest,
            "diverges" if closed else "may diverge",
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
    sections=lambda at: at.experiment.training.loss,
    gpu=True,
    memory_mb=lambda at: cost.kernel_mb(at.experiment, at.width),
    flop=lambda at: cost.linearize_flop(at.experiment, at.width),
)
