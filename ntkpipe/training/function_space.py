"""The linearised model under the loss and the optimiser of a training."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from ntkpipe.kernels import descent, linear
from ntkpipe.training import batches
from ntkpipe.training.protocol import Training

if TYPE_CHECKING:
    from ntkpipe.experiment import Experiment
    from ntkpipe.metric import Arrays

RECORDED = ("loss", "f_train", "f_test", "weight_change")


def train(
    training: Training, ntk, f0, y, step, *, flow: bool = False, **more: Any
) -> linear.Linearized:
    """In closed form if there is one, else step by step or by the flow's equation.

    Args:
        training: loss, optimiser and weight decay.
        ntk: (n k n k), or (n 1 n 1) traced.
        f0: (n k) outputs at w₀.
        y: (n k) targets.
        step: (t,) numbers of steps.
        flow: gradient flow instead of the steps of the optimiser.
        more: `ntk_test`, `f0_test`, `alpha`, `origin` and `weights` of `descent.train`.
    """
    rate = training.learning_rate
    more |= {"momentum": training.heavy_ball, "weight_decay": training.weight_decay}
    if training.closed_form:
        return linear.predict(ntk, f0, y, step, rate, flow=flow, **more)
    loss = training.loss
    return descent.train(ntk, f0, y, step, rate, loss=loss, flow=flow, **more)


def of_networks(
    e: Experiment, width: int, network: Arrays, data: Arrays, *, flow: bool = False
) -> dict[str, np.ndarray]:
    """The linearised models of the networks of a width, without their weights.

    Args:
        e: the experiment.
        width: the width of the networks.
        network: kernels and outputs at initialisation, and recorded steps.
        data: training and test points.
        flow: gradient flow instead of the steps of the optimiser.

    Returns:
        the arrays of `RECORDED`, each with a first axis of networks.
    """
    training = e.training
    points, size = data["y_train"].shape[-2], training.batch

    def predict(y, ntk, f_train, ntk_test, f_test, origin, key):
        how: dict[str, Any] = {"ntk_test": ntk_test, "f0_test": f_test}
        how |= {"alpha": e.model.alpha, "flow": flow}
        if origin is not None:
            how["origin"] = descent.Origin(*origin)
        if size is not None:
            how["weights"] = lambda step: batches.weights(key, step, points, size)
        return train(training, ntk, f_train, y, network["step"], **how)

    # the flow without a closed form is solved by SciPy
    is_jax = training.closed_form or not flow
    of_seed: Callable = jax.jit(predict) if is_jax else predict
    read = ("ntk", "f_train", "ntk_test_train", "f_test")
    start = [network[name][:, 0].astype(float) for name in read]
    names = ("origin_train", "origin_test", "origin_square")
    origins = [network[name].astype(float) for name in names if name in network]
    y = np.broadcast_to(data["y_train"], (e.draws, *data["y_train"].shape[-2:]))
    study = jax.random.key(e.seed)
    models = [
        of_seed(
            y[seed % e.draws],
            *(array[seed] for array in start),
            [array[seed] for array in origins] or None,
            None if size is None else batches.key_of(study, width, seed),
        )
        for seed in network["seed"]
    ]
    return {
        name: np.stack([np.asarray(getattr(model, name)) for model in models])
        for name in RECORDED
    }
