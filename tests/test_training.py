"""Training agrees with plain loops; recorded steps, stopping and divergence."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import run_stage
from hypothesis import given, settings
from hypothesis import strategies as st

from ntkpipe.data.base import Data
from ntkpipe.kernels.empirical import ntk
from ntkpipe.models.mlp import MLP
from ntkpipe.models.one_parameter import OneParameter
from ntkpipe.training import loop, train
from ntkpipe.training.protocol import Training
from ntkpipe.training.recorders.base import Recorder
from ntkpipe.training.recorders.landscape import Landscape
from ntkpipe.training.recorders.matrix import KeepMatrix
from ntkpipe.training.trajectory import OPTIONAL

KEY = jax.random.key(0)
X = np.asarray(jax.random.normal(jax.random.key(1), (7, 3)))
DATA = Data(X[:5], np.sin(2 * X[:5, :2]), X[5:], np.zeros((2, 2)))
MODEL = MLP(depth=2, activation="tanh", b_std=0.1)


def plain_loop(model, optimizer, steps, width, replicate):
    """The same training in a plain loop over steps."""
    key = jax.random.fold_in(jax.random.fold_in(KEY, width), replicate)
    params = model.init_params(key, width, 3, 2)

    def loss(params):
        residual = model.apply(params, DATA.x_train) - DATA.y_train
        return jnp.sum(residual**2) / (2 * len(DATA.x_train))

    state, losses, start = optimizer.init(params), [], params
    for _ in range(steps):
        losses.append(float(loss(params)))
        with jax.numpy_dtype_promotion("standard"):  # in optax's Adam
            updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        params = optax.apply_updates(params, updates)
    return params, [*losses, float(loss(params))], start


@pytest.mark.parametrize(
    "optimizer, transformation",
    [
        ("gd", optax.sgd(0.2)),
        ("momentum", optax.sgd(0.2, 0.8)),
        ("adam", optax.adam(0.2)),
    ],
)
def test_training_is_the_plain_loop(optimizer, transformation):
    settings_ = Training(
        optimizer=optimizer,
        learning_rate=0.2,
        momentum=0.8,
        steps=20,
        record=21,
        spacing="linear",
        snapshots=3,
    )
    run = train(MODEL, settings_, DATA, 8, KEY, 3)
    for replicate in (0, 2):
        params, losses, start = plain_loop(MODEL, transformation, 20, 8, replicate)
        np.testing.assert_allclose(run["loss"][replicate], losses, rtol=1e-9)
        theta = ntk(MODEL.apply, params, DATA.x_train)
        np.testing.assert_allclose(
            run["ntk"][replicate, -1], theta, rtol=1e-8, atol=1e-10
        )
        moved = [
            np.linalg.norm(params[0][layer][name] - start[0][layer][name])
            for layer in range(3)
            for name in ("w", "b")
        ]
        np.testing.assert_allclose(
            run["weight_change"][replicate, -1], moved, rtol=1e-8
        )
    assert run["layer"].tolist() == ["W1", "b1", "W2", "b2", "W3", "b3"]


@pytest.mark.parametrize("limit", ["SIDE_BY_SIDE", "STEPPED_TOGETHER"])
def test_one_network_after_the_other_is_the_same_as_side_by_side(limit, monkeypatch):
    settings_ = Training(learning_rate=0.2, steps=30, record=6, stop_at_loss=0.05)
    together = train(MODEL, settings_, DATA, 8, KEY, 3)
    monkeypatch.setattr(loop, limit, 0)
    apart = train(MODEL, settings_, DATA, 8, KEY, 3)
    assert set(together) == set(apart)
    for name, a in together.items():
        b = apart[name]
        if a.dtype.kind == "f":
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12, err_msg=name)
        else:
            np.testing.assert_array_equal(a, b, err_msg=name)


@pytest.mark.parametrize("limit", [None, "SIDE_BY_SIDE"])
def test_outputs_that_overflow_are_divergence(limit, monkeypatch):
    if limit:
        monkeypatch.setattr(loop, limit, 0)
    far = DATA._replace(x_test=np.full_like(DATA.x_test, 3e38))
    model = MLP(depth=1, activation="relu", W_std=9.0)
    run = train(model, Training(learning_rate=0.01, steps=2), far, 8, KEY, 2, "float32")
    assert np.isfinite(run["loss"]).all()
    assert not np.isfinite(run["f_test"]).all((1, 2, 3)).any()
    assert run["diverged"].tolist() == [True, True]
    assert not run["converged"].any()


@pytest.mark.parametrize("together", [True, False])
def test_steps_write_over_the_weights(together):
    points = loop.Points(DATA.x_train, DATA.y_train, DATA.x_test)
    points = jax.tree.map(jnp.asarray, points)
    run = loop.Run(MODEL, Training(learning_rate=0.1, steps=2), 8)
    compiled = run.compiled(KEY, 2, 100, together).on(points)
    state, start = compiled.begin(jnp.arange(2) if together else 0)
    compiled.advance(state, start.f0, 2)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state.params))


def test_networks_are_independent_of_how_many_there_are():
    settings_ = Training(learning_rate=0.2, steps=10, record=3)
    few = train(MODEL, settings_, DATA, 8, KEY, 2)
    many = train(MODEL, settings_, DATA, 8, KEY, 5)
    np.testing.assert_allclose(few["f_train"], many["f_train"][:2], rtol=1e-12)
    other = train(MODEL, settings_, DATA, 9, KEY, 2)
    start = few["f_train"][:, 0].ravel()
    assert np.abs(np.subtract.outer(start, other["f_train"][:, 0].ravel())).min() > 1e-6


@pytest.mark.parametrize("alpha", [1, 3])
def test_stops_at_the_first_step_below_the_loss(alpha):
    model = MLP(depth=2, activation="tanh", b_std=0.1, alpha=alpha)
    every = Training(learning_rate=0.2, steps=200, record=201, spacing="linear")
    full = train(model, every, DATA, 8, KEY, 4)
    target = 1.5 * float(np.median(full["loss"].min(1)))
    stopping = Training(learning_rate=0.2, steps=200, record=9, stop_at_loss=target)
    run = train(model, stopping, DATA, 8, KEY, 4)
    for seed in range(4):
        below = np.flatnonzero(full["loss"][seed] < target)
        if len(below):
            assert run["stop_step"][seed] == below[0]
            assert run["converged"][seed]
            np.testing.assert_allclose(
                run["loss"][seed, -1], full["loss"][seed, below[0]], rtol=1e-9
            )
        else:
            assert not run["converged"][seed]
            assert run["stop_step"][seed] == 200
    assert run["converged"].any()


@pytest.mark.parametrize("stop_at_loss", [None, 1e-9])
def test_divergence_is_recorded(stop_at_loss):
    settings_ = Training(
        learning_rate=1e4, steps=500, record=5, stop_at_loss=stop_at_loss
    )
    model = MLP(depth=2, activation="linear")
    run = train(model, settings_, DATA, 8, KEY, 2)
    assert run["diverged"].all()
    assert not run["converged"].any()


def test_a_linear_model_follows_exp_minus_theta_t():
    # f is linear in w: one linear hidden layer, and steps so small that only the output
    # weights matter; this is the gradient flow of the linearised model
    settings_ = Training(learning_rate=1e-4, steps=2000, record=5, snapshots=2)
    model = MLP(depth=1, activation="tanh", alpha=1e6, zero_output="subtract")
    run = train(model, settings_, DATA, 64, KEY, 1)
    theta = run["ntk"][0, 0].reshape(10, 10) / 5
    values, vectors = np.linalg.eigh(theta)
    u0 = (run["f_train"][0, 0] - DATA.y_train).ravel()
    for index, step in enumerate(run["step"]):
        factor = (1 - 1e-4 * values) ** step
        expected = vectors @ (factor * (vectors.T @ u0))
        actual = (run["f_train"][0, index] - DATA.y_train).ravel()
        np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-8)


@given(
    steps=st.integers(0, 10**6),
    record=st.integers(2, 300),
    spacing=st.sampled_from(["log", "linear"]),
    snapshots=st.integers(1, 50),
)
@settings(max_examples=200, deadline=None)
def test_recorded_steps_hold_both_ends(steps, record, spacing, snapshots):
    settings_ = Training(
        learning_rate=1.0,
        steps=steps,
        record=record,
        spacing=spacing,
        snapshots=snapshots,
    )
    recorded = settings_.recorded()
    assert recorded[0] == 0
    assert recorded[-1] == steps
    assert (np.diff(recorded) > 0).all()
    assert len(recorded) <= record + 1
    chosen = settings_.snapshot_indices()
    assert chosen[0] == 0
    assert len(chosen) <= snapshots
    if snapshots > 1:
        assert chosen[-1] == len(recorded) - 1


def test_progress_is_reported_to_the_end():
    told = []
    train(
        MODEL,
        Training(learning_rate=0.1, steps=10, record=4),
        DATA,
        8,
        KEY,
        2,
        progress=lambda what, done, total: told.append((what, done, total)),
    )
    assert told[-1] == ("width 8, seed 0–1", 10, 10)
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)


def test_float32_is_kept():
    run = train(
        MODEL,
        Training(learning_rate=0.1, steps=5, record=3),
        DATA,
        8,
        KEY,
        1,
        dtype="float32",
    )
    assert run["ntk"].dtype == run["loss"].dtype == run["f_test"].dtype == np.float32


@pytest.mark.parametrize("width", [8, 400])  # side by side, one after the other
def test_a_corner_of_a_matrix_of_the_first_network_is_kept(width):
    keep = KeepMatrix(layer=2, size=5)
    settings_ = Training(learning_rate=0.1, steps=5, record=4, keep_matrix=keep)
    run = train(MODEL, settings_, DATA, width, KEY, 2)
    after, _, start = plain_loop(MODEL, optax.sgd(0.1), 5, width, 0)
    assert run["matrix"].shape == (len(run["step"]), 5, 5)
    for kept, params in ((run["matrix"][0], start), (run["matrix"][-1], after)):
        np.testing.assert_allclose(kept, params[0][1]["w"][:5, :5], rtol=1e-10)


@pytest.mark.parametrize(("layer", "faults"), [(1, 0), (3, 0), (4, 1)])
def test_a_kept_matrix_is_one_of_the_layers(layer, faults):
    keep = KeepMatrix(layer=layer)
    model, data = SimpleNamespace(weight_layers=3), SimpleNamespace(stated_sizes=None)
    e = SimpleNamespace(model=model, dataset=data)
    found = list(Training(learning_rate=0.1, steps=5, keep_matrix=keep).unmet(e))
    assert [f.key for f in found] == [("training", "keep_matrix", "layer")] * faults


def test_optional_arrays_are_not_recorded_by_default():
    run = train(MODEL, Training(learning_rate=0.1, steps=5, record=4), DATA, 8, KEY, 2)
    assert not set(run) & set(OPTIONAL) - {*("weight_norm", "nngp", "feature_change")}


def last_weights(model, optimizer, steps, width, replicate, linear):
    """w or w_lin after the last step, in a plain loop over steps."""
    key = jax.random.fold_in(jax.random.fold_in(KEY, width), replicate)
    x, y = DATA.x_train, DATA.y_train
    w0 = model.init_params(key, width, x.shape[1], y.shape[1])
    h0, slope = jax.linearize(lambda w: model.apply(w, x), w0)
    zero = h0 if model.zero_output == "subtract" else 0

    @jax.grad
    def gradient(w):
        moved = slope(jax.tree.map(jnp.subtract, w, w0))
        h = h0 + moved if linear else model.apply(w, x)
        residual = model.alpha * (h - zero) - y
        return jnp.sum(residual**2) / (2 * len(x) * model.alpha**2)

    w, state, rates = w0, optimizer.init(w0), model.learning_rates(w0)
    for _ in range(steps):
        updates, state = optimizer.update(gradient(w), state)
        w = jax.tree.map(lambda a, u, rate: a + rate * u, w, updates, rates)
    return w


@pytest.mark.parametrize(
    ("options", "optimizer"),
    [
        ({}, "gd"),
        ({"zero_output": "subtract", "alpha": 3.0}, "momentum"),
        ({"zero_output": "double", "parameterization": "mean_field"}, "gd"),
    ],
    ids=str,
)
def test_weight_gap_is_the_distance_from_linearised_descent(options, optimizer):
    model = MLP(depth=2, activation="tanh", b_std=0.1, **options)
    steps = Training(
        optimizer=optimizer,
        learning_rate=0.1,
        steps=20,
        record=21,
        spacing="linear",
        linear_weights=True,
    )
    run = train(model, steps, DATA, 6, KEY, 2)
    plain = optax.sgd(0.1, 0.9 if optimizer == "momentum" else None)
    network, linear = (last_weights(model, plain, 20, 6, 1, k) for k in (False, True))
    gap = jax.tree.map(lambda a, b: jnp.sum((a - b) ** 2), network, linear)
    expected = np.sqrt(sum(jax.tree.leaves(gap)))
    assert run["weight_gap"].shape == (2, 21)
    np.testing.assert_allclose(run["weight_gap"][1, -1], expected, rtol=1e-8)
    assert (run["weight_gap"][:, 0] < 1e-12).all()


def test_the_weight_gap_is_small_in_single_precision():
    steps = Training(learning_rate=0.1, steps=20, record=3, linear_weights=True)
    with jax.numpy_dtype_promotion("standard"):  # the linear model has float64
        run = train(MODEL, steps, DATA, 256, KEY, 2, "float32")
    assert run["weight_gap"].dtype == np.float32
    moved = np.linalg.norm(run["weight_change"], axis=-1)
    gap, last = run["weight_gap"], moved[:, -1]
    assert (gap[:, 0] < 1e-5 * last).all()
    # the weights of a wide network stay close to those of its linearisation
    assert ((gap[:, -1] > 1e-4 * last) & (gap[:, -1] < 0.3 * last)).all()


def test_the_landscape_of_a_network_that_does_not_move_is_flat():
    still = Training(learning_rate=0.1, steps=0, record=2, landscape=Landscape())
    run = train(MODEL, still, DATA, 4, KEY, 1)
    for drawn in (run["landscape_f"], run["landscape_linear"]):
        np.testing.assert_allclose(drawn - run["f_train"][0, 0], 0, atol=1e-15)


@pytest.mark.parametrize("together", [True, False])
def test_a_landscape_is_f_on_the_line_through_the_weights(together, monkeypatch):
    if not together:
        monkeypatch.setattr(loop, "SIDE_BY_SIDE", 0)
    steps = Training(
        learning_rate=0.2,
        steps=30,
        record=4,
        landscape=Landscape(reach=0.5, zoom=1, points=5),
    )
    run = train(MODEL, steps, DATA, 8, KEY, 2)
    move = np.linalg.norm(run["weight_change"][0, -1])
    at = run["landscape_at"]
    expected = np.sort(np.linspace(-1, 1, 5)[:, None] * [0.5, move], axis=None)
    np.testing.assert_allclose(at, expected, atol=1e-15)
    for place, f in ((0, run["f_train"][0, 0]), (move, run["f_train"][0, -1])):
        np.testing.assert_allclose(run["landscape_f"][np.abs(at - place).argmin()], f)
    # the tangent touches f at w₀: half the step, a quarter of the distance
    line = run["landscape_linear"]
    np.testing.assert_allclose(line[0] + line[-1], 2 * run["f_train"][0, 0], atol=1e-12)
    gaps = np.abs(run["landscape_f"] - line).max((1, 2))
    assert gaps[np.abs(at - 0.25).argmin()] < 0.3 * gaps[-1]


@pytest.mark.parametrize("alpha", [100.0, 1000.0])
def test_the_model_of_one_weight_has_the_minima_that_calculus_gives(alpha):
    model = OneParameter(kind="one_parameter", alpha=alpha)
    point = Data(*(np.array([[v]]) for v in (1.5, 3.0, 1.0, 0.0)))
    steps = Training(
        learning_rate=0.1, steps=2000, record=3, linear_weights=True, curvature=True
    )
    run = train(model, steps, point, 1, KEY, 1)

    def h(w):
        return (w * 1.5 + w**2 * 1.5 + jnp.sin(jnp.exp(0.1 * w))) * (w - 0.4)

    slope, bend = jax.grad(h)(0.4), jax.grad(jax.grad(h))(0.4)
    np.testing.assert_allclose(run["gradient_norm"][0, 0], slope, rtol=1e-12)
    np.testing.assert_allclose(run["hessian_norm"][0, 0], bend, rtol=1e-12)
    np.testing.assert_allclose(
        alpha * run["weight_change"][0, -1, 0], 3 / slope, rtol=4 / alpha
    )
    np.testing.assert_allclose(
        alpha**2 * run["weight_gap"][0, -1], bend * 9 / slope**3 / 2, rtol=6 / alpha
    )
    with pytest.raises(ValueError, match="takes one input and one output, not 3 and 2"):
        train(model, steps, DATA, 1, KEY, 1)


@pytest.mark.parametrize("zero_output", ["none", "double"])
def test_units_that_move_and_flip_are_counted(zero_output):
    model = MLP(depth=2, zero_output=zero_output)
    settings_ = Training(
        learning_rate=0.5, steps=20, record=5, snapshots=3, unit_changes=True
    )
    run = train(model, settings_, DATA, 8, KEY, 2)
    key = jax.random.fold_in(jax.random.fold_in(KEY, 8), 1)
    start = model.init_params(key, 8, 3, 2)

    def loss(params):
        residual = model.apply(params, DATA.x_train) - DATA.y_train
        return jnp.sum(residual**2) / (2 * len(DATA.x_train))

    params = start
    for _ in range(20):
        gradient = jax.grad(loss)(params)
        params = jax.tree.map(lambda w, g: w - 0.5 * g, params, gradient)
    moved, flipped = [], [[], []]
    for layers, first in zip(params, start, strict=True):
        move = np.asarray(layers[0]["w"] - first[0]["w"])
        moved += [np.linalg.norm(move[:, unit]) for unit in range(8)]
        h = h0 = DATA.x_train
        for layer in range(2):
            # the sign does not depend on the scale
            h, h0 = (
                np.maximum(a @ np.asarray(p[layer]["w"]), 0)
                for a, p in ((h, layers), (h0, first))
            )
            flipped[layer].append(np.mean((h > 0) != (h0 > 0)))
    assert run["neuron_move"][1, -1] == pytest.approx(max(moved), rel=1e-9)
    np.testing.assert_allclose(run["flips"][1, -1], np.mean(flipped, 1), rtol=1e-12)
    assert (run["flips"][:, 0] == 0).all() and (run["neuron_move"][:, 0] == 0).all()
    assert run["flips"].shape[:2] == (2, 3) and run["neuron_move"].shape == (2, 3)
    assert run["flips"][:, -1].max() > 0


def test_networks_that_begin_at_zero_have_one_limit_for_every_scale(tmp_path):
    from ntkpipe import artifacts, study

    text = """
title: A
question: B?
dataset: {kind: circle, points: 4, target: {kind: harmonics, frequencies: [1]}, test: 3}
model: {depth: 1, b_std: 0.5, zero_output: double}
training: {learning_rate: 1, steps: 50, record: 5}
widths: [8]
limit: steps
variants:
  one: {}
  ten: {model: {alpha: 10}}
  subtract: {model: {zero_output: subtract}}
"""
    one = study.parse(text, "x.yaml")
    data, found = str(tmp_path / "dataset.npz"), {}
    run_stage("dataset", one, "one", output=data)
    for variant in one.variants:
        (tmp_path / variant).mkdir()
        path = str(tmp_path / variant / "limit.npz")
        run_stage("limit", one, variant, 0, [data], path)
        found[variant] = artifacts.load(path).data
    y = artifacts.load(data).data["y_train"]
    theta = found["one"]["ntk_train_train"]
    left = np.linalg.matrix_power(np.eye(4) - theta / 4, 50) @ -y
    for limit in found.values():
        np.testing.assert_allclose(limit["mean_train"][-1], y + left, atol=1e-12)
        assert np.abs(limit["sd_test"]).max() == 0


@pytest.mark.parametrize("most", [10**6, 10, 0], ids=["vmap", "map", "one by one"])
def test_networks_may_each_see_their_own_data(monkeypatch, most):
    monkeypatch.setattr(loop, "STEPPED_TOGETHER", most)
    if not most:
        monkeypatch.setattr(loop, "SIDE_BY_SIDE", 0)
    draws = np.random.default_rng(0).standard_normal((4, 7, 3))
    stacked = Data(
        draws[:, :5], np.sin(2 * draws[:, :5, :2]), draws[:, 5:], np.zeros((4, 2, 2))
    )
    settings_ = Training(learning_rate=0.2, steps=10, record=3, stop_at_loss=1e-9)
    each = train(MODEL, settings_, stacked, 8, KEY, 3)  # of four draws the first three
    for seed in range(3):
        alone = train(MODEL, settings_, Data(*(a[seed] for a in stacked)), 8, KEY, 3)
        for name in ("f_train", "f_test", "ntk", "ntk_test_train", "loss"):
            np.testing.assert_allclose(each[name][seed], alone[name][seed], rtol=1e-9)
    assert np.abs(each["f_train"][0] - each["f_train"][1]).max() > 0.01


def test_a_recorder_that_records_nothing_stores_no_numbers():
    assert Recorder().numbers(SimpleNamespace()) == 0
