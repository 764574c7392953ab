"""Convolutional and residual networks: forward pass, kernels, limits, studies."""

import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import run_study

from ntkpipe import artifacts, cost, study
from ntkpipe.kernels import ntk
from ntkpipe.kernels.signals import signals
from ntkpipe.models.activations import ACTIVATIONS
from ntkpipe.models.conv import Conv
from ntkpipe.models.resnet import ResNet

KEY = jax.random.key(4)


def points(n, d, seed=0):
    return jnp.asarray(np.random.default_rng(seed).standard_normal((n, d)))


# --- the forward pass, written with jax.lax -------------------------------------------


def by_hand(model, params, x, shape):
    """The outputs of a network in the NTK parametrisation."""
    phi, axes = ACTIVATIONS[model.activation], len(shape) - 1
    every = iter(params[0])

    def linear(h, stride=1):
        layer = next(every)
        w, b = layer["w"], layer.get("b", jnp.zeros(1))
        factor = model.W_std / math.sqrt(math.prod(w.shape[:-1]))
        if h.ndim == 2:
            return factor * (h @ w) + model.b_std * b
        low, high = (model.filter - 1) // 2, model.filter // 2
        mode = "wrap" if model.padding == "circular" else "constant"
        h = jnp.pad(h, [(0, 0), *[(low, high)] * axes, (0, 0)], mode=mode)
        letters = "HW"[:axes]
        z = jax.lax.conv_general_dilated(
            h,
            w,
            (stride,) * axes,
            "VALID",
            dimension_numbers=(f"N{letters}C", f"{letters}IO", f"N{letters}C"),
        )
        return factor * z + model.b_std * b

    def active(h):
        if getattr(model, "norm", False):
            h = jax.nn.standardize(h, -1, epsilon=1e-5)
        return phi(h)

    h = x.reshape(len(x), *shape)
    if model.kind == "conv":
        for _ in range(model.depth):
            h = phi(linear(h, model.stride))
    else:
        h = linear(h, model.stride)
        for _ in range(model.depth):
            h = h + linear(active(linear(active(h)))) / model.depth**model.branch_decay
        h = active(h)
    if model.readout == "pool":
        h = h.mean(tuple(range(1, h.ndim - 1)))
    return linear(h.reshape(len(h), -1))


NETWORKS = {
    "square image": (
        Conv(kind="conv", depth=2, activation="gelu", b_std=0.3),
        (4, 4, 1),
    ),
    "pooled": (
        Conv(
            kind="conv",
            filter=2,
            stride=2,
            padding="circular",
            readout="pool",
            input_shape=(5, 6, 2),
            W_std=1.5,
        ),
        (5, 6, 2),
    ),
    "sequence": (
        Conv(kind="conv", stride=3, input_shape=(10, 2), activation="tanh", b_std=1),
        (10, 2),
    ),
    "residual": (
        ResNet(
            kind="resnet",
            input_shape=(5, 4, 2),
            stride=2,
            padding="circular",
            norm=True,
            readout="pool",
        ),
        (5, 4, 2),
    ),
    "dense": (ResNet(kind="resnet", block="dense", depth=3, b_std=0.2), (7,)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_forward_pass_is_that_written_by_hand(name):
    model, shape = NETWORKS[name]
    d = math.prod(shape)
    x = points(3, d)
    params = model.init_params(KEY, 6, d, 2)
    with jax.numpy_rank_promotion("allow"):
        expected = by_hand(model, params, x, shape)
    np.testing.assert_allclose(model.apply(params, x), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", NETWORKS)
def test_names_and_sizes_are_those_of_the_parameters(name):
    model, shape = NETWORKS[name]
    d = math.prod(shape)
    (layers,) = model.init_params(KEY, 6, d, 2)
    assert model.weight_layers == len(layers)
    assert len(model.layer_names) == sum(map(len, layers))
    assert model.weights(6, d, 2) == sum(layer["w"].size for layer in layers)
    # variance: N(0, 1) in the NTK parametrisation
    (wide,) = model.init_params(KEY, 64, d, 2)
    np.testing.assert_allclose(wide[1]["w"].std(), 1, rtol=0.05)
    flop = jax.jit(model.apply).lower((wide,), points(1, d)).cost_analysis()["flops"]
    counted = 2 * sum(s.t * s.a * s.b for s in model.layer_sizes(64, d, 2))
    assert 0.5 * counted < flop < 1.4 * counted


@pytest.mark.parametrize("model", [NETWORKS["pooled"][0], NETWORKS["residual"][0]])
def test_parametrisations_are_one_function_up_to_the_width(model):
    d = math.prod(model.input_shape)
    x, f = points(3, d), {}
    for name in ("ntk", "standard", "mup", "mean_field"):
        one = replace(model, parameterization=name)
        f[name] = one.apply(one.init_params(KEY, 16, d, 1), x)
    np.testing.assert_allclose(f["standard"], f["ntk"], rtol=1e-12)
    for name in ("mup", "mean_field"):
        np.testing.assert_allclose(f[name], f["ntk"] / 4, rtol=1e-12)


def test_twins_begin_at_zero():
    model = Conv(kind="conv", zero_output="double")
    params = model.init_params(KEY, 4, 16, 1)
    assert (model.apply(params, points(3, 16)) == 0).all()
    assert len(params) == 2


# --- infinite width -------------------------------------------------------------------

LIMITS = {
    "conv": Conv(kind="conv", padding="circular", readout="pool", W_std=1.4, b_std=0.3),
    "sequence": Conv(
        kind="conv", activation="erf", stride=2, input_shape=(8, 2), b_std=0.3
    ),
    "resnet": ResNet(kind="resnet", depth=1, activation="tanh", norm=True, b_std=0.3),
    "dense": ResNet(kind="resnet", block="dense", W_std=1.2, b_std=0.3),
}


@pytest.mark.parametrize("name", LIMITS)
def test_kernels_approach_those_of_infinite_width(name):
    model, x = LIMITS[name], points(3, 16)
    expected = model.infinite(x).ntk
    errors, means, of_mean = {}, {}, {}
    for width, seeds in ((32, 20), (256, 10)):

        def kernel(key, width=width):
            params = model.init_params(key, width, 16, 1)
            return ntk(model.apply, params, x, rates=model.learning_rates(params))

        keys, kernel = jax.random.split(KEY, seeds), jax.jit(kernel)
        found = jnp.stack([kernel(key)[:, 0, :, 0] for key in keys])
        errors[width] = jnp.linalg.norm(found - expected[None], axis=(1, 2)).mean()
        means[width], of_mean[width] = found.mean(0), found.std(0) / math.sqrt(seeds)
    # n^−½: the ratio is 8^−½ = 0.35
    assert 0.2 < errors[256] / errors[32] < 0.55
    bound = 4 * of_mean[256] + 0.02 * jnp.abs(expected)
    assert (jnp.abs(means[256] - expected) < bound).all()


def first_step(model, width, x, y):
    """‖Δf‖, and the relative change of the last hidden layer: means over networks."""

    def step(key):
        params = model.init_params(key, width, 16, 1)
        rates = model.learning_rates(params)

        def loss(params):
            # the residuals are those of f = 0, so that f₀ ~ n^−½ is not compared
            return -(model.apply(params, x) * y).mean()

        slope = jax.grad(loss)(params)
        after = jax.tree.map(lambda w, g, r: w - 0.02 * r * g, params, slope, rates)
        moved = model.apply(after, x) - model.apply(params, x)

        def last_hidden(params):
            (*hidden, last) = params[0]
            return model.apply(((*hidden, last | {"w": jnp.eye(width)}),), x)

        h, g = last_hidden(params), last_hidden(after)
        return jnp.linalg.norm(moved), jnp.linalg.norm(g - h) / jnp.linalg.norm(h)

    step = jax.jit(step)  # a convolution is slow within lax.map
    return np.mean([step(key) for key in jax.random.split(KEY, 16)], 0)


MUP = {
    "conv": Conv(kind="conv", padding="circular", readout="pool", W_std=1.4),
    "resnet": ResNet(kind="resnet", block="dense", depth=1, activation="tanh"),
}


@pytest.mark.parametrize("name", MUP)
def test_the_first_step_of_mup_does_not_depend_on_the_width(name):
    x, y = points(4, 16), jnp.array([[1.0], [-1.0], [0.5], [-0.5]])
    model = MUP[name]
    ratio = {}
    for one in ("mup", "ntk", "standard"):
        scaled = replace(model, parameterization=one)
        narrow, wide = (first_step(scaled, n, x, y) for n in (8, 64))
        ratio[one] = wide / narrow
    # mup moves outputs and features alike at all widths, ntk moves features by n^−½
    np.testing.assert_allclose(ratio["mup"], 1, atol=0.3)
    assert 0.7 < ratio["ntk"][0] < 1.4
    assert ratio["ntk"][1] < 0.5
    assert ratio["standard"][0] > 2.5  # all parts but that of the input grow as n


# --- studies --------------------------------------------------------------------------

STUDY = """
title: A
question: B?
dataset: {kind: digits, train: 6, test: 3, classes: [0, 1]}
model: {kind: conv, depth: 1, stride: 2, readout: pool}
training: {learning_rate: 0.2, steps: 10, record: 4}
widths: [8]
seeds: 2
limit: steps
variants:
  pooled: {}
  residual: {model: {kind: resnet, depth: 1, norm: true, zero_output: subtract}}
claims:
  - id: limit
    kind: bound
    set: before
    says: The kernel is finite
    source: none
    variant: pooled
    metric: ntk_limit_error
    at_most: 1e9
"""


def test_a_study_of_both_kinds_has_kernels_linearised_models_and_limits(tmp_path):
    one = study.parse(STUDY, "x.yaml")
    table = artifacts.load(run_study(one, tmp_path)["measurements", "", 0]).data
    for name in ("pooled", "residual"):
        found = set(table[(table.variant == name) & (table.width == 8)].metric)
        assert {
            "ntk_limit_error",
            "ntk_change",
            "linear_gap_test",
            "limit_gap",
        } <= found
        assert "weight_change/W2" in found
        assert "feature_change" not in found
    assert not table.value.isna().any()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("readout: pool", "parameterization: mup"), "needs ntk, not mup"),
        (("readout: pool", "alpha: 2"), "needs 1, or zero_output"),
        (("steps: 10,", "steps: 10, curvature: true,"), "kind: mlp: the He"),
        (("steps: 10,", "steps: 10, unit_changes: true,"), "needs model.kind: mlp"),
        (("steps: 10,", "steps: 10, ensemble: {networks: 4},"), "model.kind: mlp"),
        (
            ("steps: 10,", "steps: 10, keep_matrix: {layer: 1},"),
            "needs model.kind: mlp: other kinds have no numbered weight matrices",
        ),
        (
            ("readout: pool", "input_shape: [8, 7, 1]"),
            "model.input_shape: 8×7×1 is 56 numbers, but the points have 64",
        ),
        (
            ("kind: digits, train: 6, test: 3, classes: [0, 1]",
             "kind: sphere, points: 4, dimension: 8, target: {kind: teacher}"),
            "the points have 8 numbers, which is no square image of one channel",
        ),
        (
            ("kind: resnet, depth: 1,", "kind: resnet, block: dense, stride: 2,"),
            "model.stride: needs block: conv",
        ),
        (("readout: pool", "readout: max"), "flatten"),
    ],
)  # fmt: skip
def test_what_the_kinds_cannot_do_is_refused(change, words):
    assert change[0] in STUDY
    with pytest.raises(study.StudyError) as error:
        study.parse(STUDY.replace(*change), "x.yaml")
    assert any(words in str(fault) for fault in error.value.faults)


def test_the_cost_of_a_network_counts_its_positions():
    one = study.parse(STUDY.replace("train: 6", "train: 60"), "x.yaml").variants
    e = one["pooled"]
    # 16 positions of 9 → 8, then 8 → 1
    assert cost.weights(e, 8) == 9 * 8 + 8
    assert cost.step_flop(e, 8) == 6 * 60 * (16 * 72 + 8 + cost.ACTIVATION * 16 * 8)
    flat = study.parse(STUDY.replace("readout: pool", ""), "x.yaml").variants["pooled"]
    assert cost.limit_flop(e) > cost.limit_flop(flat)
    # the signals of all points are held at once, with the weights and their gradients
    model, width, d = one["residual"].model, 256, 64
    params = jax.eval_shape(lambda: model.init_params(KEY, width, d, 1))
    x = jax.ShapeDtypeStruct((63, d), float)
    found = jax.eval_shape(lambda p, x: signals(model.apply, p, x)[1], params, x)
    held = sum(leaf.size for leaf in jax.tree.leaves((found, [params] * 6)))
    assert 8 * held / 1e6 < cost.train_mb(one["residual"], width) < 3 * 8 * held / 1e6


def test_a_point_that_is_no_square_is_told_when_the_sizes_are_not_known_before():
    with pytest.raises(ValueError, match="no square image"):
        Conv(kind="conv").init_params(KEY, 4, 10, 1)
