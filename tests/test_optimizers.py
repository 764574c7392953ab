"""Batches, weight decay and sign descent against plain loops."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
import pytest
from helpers import run_study

from ntkpipe import artifacts, study
from ntkpipe.kernels.linear import linearize
from ntkpipe.training import batches

TEXT = """
title: Ways to descend
question: Do network and linearised model descend alike?
dataset: {kind: digits, train: 9, test: 4, classes: [1, 2, 3]}
model: {depth: 1, activation: tanh, b_std: 0.3, parameterization: mup, alpha: 2,
        zero_output: subtract}
training: {loss: cross_entropy, learning_rate: 0.2, steps: 12, record: 5}
widths: [6]
seeds: 2
seed: 3
variants:
  batches: {training: {batch: 4, weight_decay: 0.3}}
  start:
    training: {optimizer: momentum, momentum: 0.7, loss: squared, weight_decay: 0.3,
               decay_to: w0}
  adam:
    model: {parameterization: ntk, zero_output: none}
    training: {optimizer: adam, learning_rate: 0.05, batch: 5}
  sign: {training: {optimizer: sign, learning_rate: 0.05, weight_decay: 0.1}}
  redrawn: {data: redraw, training: {batch: 4, weight_decay: 0.3}}
  redrawn_adam:
    data: redraw
    training: {optimizer: adam, learning_rate: 0.05, batch: 5}
"""
ONE = study.parse(TEXT, "ways.yaml")
VARIANTS = pytest.mark.parametrize("variant", ONE.variants)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return run_study(ONE, tmp_path_factory.mktemp("ways"))


def optimizer_of(training):
    rate = training.learning_rate
    return {
        "gd": optax.sgd(rate),
        "momentum": optax.sgd(rate, training.momentum),
        "adam": optax.adam(rate),
        "sign": optax.sign_sgd(rate),
    }[training.optimizer]


def plain_loop(e, data, replicate, linear):
    """Weights at each step, f and w₀, a step at a time, the penalty written out."""
    model, training = e.model, e.training
    x, y = jnp.asarray(data["x_train"]), jnp.asarray(data["y_train"])
    own = jax.random.fold_in(jax.random.fold_in(jax.random.key(3), 6), replicate)
    w0 = model.init_params(own, 6, 64, 3)
    rates = jax.tree.leaves(model.learning_rates(w0))
    h = linearize(model.apply, w0) if linear else model.apply
    subtracted = model.zero_output == "subtract"

    def f(w, x):
        return model.alpha * (h(w, x) - model.apply(w0, x) * float(subtracted))

    def objective(w, rows):
        away = jax.tree.leaves(w)
        if training.decay_to == "w0":
            away = [a - b for a, b in zip(away, jax.tree.leaves(w0), strict=True)]
        penalty = sum(jnp.sum(a**2) / r for a, r in zip(away, rates, strict=True))
        loss = training.loss.of_outputs(f(w, x[rows]), y[rows]).sum(1).mean()
        return loss / model.alpha**2 + training.weight_decay / 2 * penalty

    key, count = batches.key_of(jax.random.key(3), 6, replicate), len(x)
    optimizer = optimizer_of(training)

    @jax.jit
    def advance(w, state, step):
        rows = jnp.arange(count)
        if training.batch is not None:
            rows = batches.rows(key, step, count, training.batch)
        with jax.numpy_dtype_promotion("standard"):
            updates, state = optimizer.update(jax.grad(objective)(w, rows), state, w)
        scaled = jax.tree.unflatten(jax.tree.structure(w), rates)
        return jax.tree.map(lambda a, u, r: a + r * u, w, updates, scaled), state

    w, state, found = w0, optimizer.init(w0), [w0]
    for step in range(training.steps):
        w, state = advance(w, state, step)
        found.append(w)
    return found, f, w0


@pytest.mark.parametrize("product", ["network", "linearized"])
@VARIANTS
def test_networks_and_linearised_models_are_those_of_plain_loops(
    made, variant, product
):
    e = ONE.variants[variant]
    data = artifacts.load(made["dataset", ONE.data_of(variant), 0]).data
    if e.data == "redraw":
        assert np.abs(data["x_train"][0] - data["x_train"][1]).max() > 0
        data = {name: array[1] for name, array in data.items()}
    found = artifacts.load(made[product, variant, 6]).data
    w, f, w0 = plain_loop(e, data, 1, product == "linearized")
    for part in ("train", "test"):
        f_ = np.stack([f(w[step], data[f"x_{part}"]) for step in found["step"]])
        np.testing.assert_allclose(found[f"f_{part}"][1], f_, rtol=1e-9, atol=1e-10)
        assert np.abs(f_[-1] - f_[0]).max() > 0.05
    loss = e.training.loss.value(found["f_train"][1], data["y_train"])
    np.testing.assert_allclose(found["loss"][1], loss, rtol=1e-12)
    in_weights = not e.training.linear_updates
    rates = jax.tree.leaves(e.model.learning_rates(w0))
    if product == "linearized":  # in function space, the norm of R^−½(w − w₀)
        squares = [
            sum(
                np.sum((np.asarray(a) - b) ** 2) / (1 if in_weights else rate)
                for a, b, rate in zip(
                    jax.tree.leaves(w[step]), jax.tree.leaves(w0), rates, strict=True
                )
            )
            for step in found["step"]
        ]
        change = found["weight_change"][1]
        np.testing.assert_allclose(change, np.sqrt(squares), rtol=1e-8, atol=1e-10)


def test_a_batch_has_different_points_and_depends_on_step_and_network():
    keys = [batches.key_of(jax.random.key(0), 8, r) for r in (0, 1)]
    drawn = np.array([[batches.rows(k, t, 9, 4) for t in range(40)] for k in keys])
    assert drawn.min() == 0 and drawn.max() == 8
    assert (np.diff(np.sort(drawn), axis=-1) > 0).all()
    assert len({tuple(np.sort(row)) for row in drawn.reshape(-1, 4)}) > 40
    p = batches.weights(keys[1], 7, 9, 4)
    np.testing.assert_array_equal(np.flatnonzero(p), np.sort(drawn[1, 7]))
    np.testing.assert_allclose(p.sum(), 1)
    whole = batches.rows(keys[0], 0, 9, 9)
    np.testing.assert_array_equal(np.sort(whole), np.arange(9))


def test_all_variants_have_measurements(made):
    rows = pd.read_csv(made["measurements", "", 0])
    for variant, e in ONE.variants.items():
        own = rows[rows["variant"] == variant].set_index("metric")["value"]
        assert {"linear_gap", "ntk_change", "loss"} <= set(own.index)
        start = rows[(rows["variant"] == variant) & (rows["step"] == 0)]
        relative = start[start["metric"] == "learning_rate_relative"]["value"]
        theta = artifacts.load(made["network", variant, 6]).data["ntk"][:, 0]
        largest = np.linalg.eigvalsh(theta.reshape(2, 27, 27) / 9)[:, -1]
        stiff = e.training.loss.curvature * largest + e.training.weight_decay
        np.testing.assert_allclose(relative, e.training.learning_rate * stiff / 2)


@pytest.mark.parametrize(
    ("edits", "fault"),
    [
        ([("batch: 4", "batch: 10")], "batch: 10 is more than the 9 training points"),
        ([("batch: 4", "batch: 0")], "batches.training.batch"),
        ([("batch: 4", "batch: 4, stop_at_loss: 1")], "which a step of a batch does"),
        ([("batch: 4", "batch: 4, linear_weights: true")], "leave out training.batch"),
        ([("w0}", "w0, linear_weights: true}")], "leave out training.weight_decay"),
        ([("batch: 5", "linear_weights: true")], "adam has no closed form"),
        ([("optimizer: sign", "linear_weights: true, optimizer: sign")], "sign has no"),
        ([("decay_to: w0", "decay_to: 0")], "decay_to"),
        ([("title", "linearize: flow\ntitle")], "gradient flow has no adam"),
        ([("title", "linearize: flow\ntitle")], "gradient flow has no sign"),
        ([("title", "linearize: flow\ntitle")], "gradient flow has no momentum"),
        ([("title", "linearize: flow\ntitle")], "gradient flow has no batches"),
        (
            [("title", "limit: steps\ntitle")],
            "limit: needs training.optimizer: gd, not adam",
        ),
        ([("title", "limit: steps\ntitle")], "limit: is of all points in each step"),
        ([("title", "limit: steps\ntitle")], "limit: has no weight decay"),
    ],
)
def test_what_does_not_hold_is_refused(edits, fault):
    text = TEXT
    for old, new in edits:
        assert old in text
        text = text.replace(old, new, 1)
    with pytest.raises(study.StudyError, match=r"x\.yaml") as error:
        study.parse(text, "x.yaml")
    assert fault in str(error.value)
