"""A study that trains with cross entropy, from its data to its measurements."""

import jax
import numpy as np
import pandas as pd
import pytest
import scipy.special
from helpers import run_study

from ntkpipe import artifacts, study
from ntkpipe.kernels import linear
from ntkpipe.training.losses.cross_entropy import CrossEntropy

TEXT = """
title: Classes of digits
question: Is a network that classifies close to its linearisation?
dataset: {kind: digits, train: 12, test: 5, classes: [1, 2, 3]}
model: {depth: 1, b_std: 0.3}
training:
  {loss: cross_entropy, learning_rate: 1, steps: 40, record: 6, snapshots: 2,
   linear_weights: true}
widths: [8, 128]
seeds: 2
variants:
  descent: {}
  flow: {linearize: flow, widths: [8]}
  infinite: {limit: steps, model: {zero_output: subtract}, widths: [128]}
claims:
  - {id: C-1, kind: bound, set: before, says: Wide networks are near linear,
     source: me, metric: linear_gap, min_width: 128, variant: descent, at_most: 0.5}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    one = study.parse(TEXT, "entropy.yaml")
    return one, run_study(one, tmp_path_factory.mktemp("entropy"))


def arrays(made, product, variant, width=0):
    return artifacts.load(made[1][product, variant, width]).data


def test_networks_descend_the_cross_entropy(made):
    one, _ = made
    data = arrays(made, "dataset", "descent")
    network = arrays(made, "network", "descent", 8)
    x, y = data["x_train"], data["y_train"] + 1 / 3
    assert set(np.unique(y.round(12))) == {0, 1}
    model = one.variants["descent"].model
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(0), 8), 1)
    params = model.init_params(key, 8, 64, 3)

    @jax.jit
    @jax.value_and_grad
    def loss_of(w):
        return -(y * jax.nn.log_softmax(model.apply(w, x))).sum() / len(x)

    for step in range(41):
        loss, slope = loss_of(params)
        if step in network["step"]:
            at = network["step"].tolist().index(step)
            np.testing.assert_allclose(network["loss"][1, at], loss, rtol=1e-9)
        params = jax.tree.map(lambda w, g: w - g, params, slope)
    assert network["loss"][1, -1] < 0.5 * network["loss"][1, 0]


@pytest.mark.parametrize("variant", ["descent", "flow"])
def test_the_linearised_model_is_that_of_the_weights(made, variant):
    one, _ = made
    data = arrays(made, "dataset", "descent")
    model = one.variants[variant].model
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(0), 8), 1)
    w0 = model.init_params(key, 8, 64, 3)
    f_lin, fine = linear.linearize(model.apply, w0), 1 if variant == "descent" else 500
    x, y = data["x_train"], data["y_train"]

    @jax.jit
    def trained(w):
        def step(_, w):
            slope = jax.grad(lambda w: CrossEntropy().value(f_lin(w, x), y))(w)
            return jax.tree.map(lambda w, g: w - g / fine, w, slope)

        return jax.lax.fori_loop(0, 40 * fine, step, w)

    w = trained(w0)
    found = arrays(made, "linearized", variant, 8)
    rtol = 1e-9 if variant == "descent" else 2e-3  # the flow is that of small steps
    for part in ("train", "test"):
        ours, theirs = found[f"f_{part}"][1, -1], f_lin(w, data[f"x_{part}"])
        np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=rtol)
    if variant == "descent":
        network = arrays(made, "network", variant, 8)
        gap = jax.tree.map(lambda a, b: ((a - b) ** 2).sum(), w, w0)
        moved = np.sqrt(sum(jax.tree.leaves(gap)))
        np.testing.assert_allclose(found["weight_change"][1, -1], moved, rtol=1e-9)
        assert 0 < network["weight_gap"][1, -1] < moved
        assert network["weight_gap"][1, 1] < 1e-12  # the first steps are the same


def test_networks_that_begin_at_zero_have_a_limit(made):
    """f moves by −(η/N) Θ∞ (softmax(f) − p), from f = 0."""
    data = arrays(made, "dataset", "descent")
    limit = arrays(made, "limit", "infinite")
    theta, across = limit["ntk_train_train"], limit["ntk_test_train"]
    p, f, f_test = data["y_train"] + 1 / 3, np.zeros((12, 3)), np.zeros((5, 3))
    for _ in range(40):
        slope = scipy.special.softmax(f, axis=1) - p
        f, f_test = f - theta @ slope / 12, f_test - across @ slope / 12
    np.testing.assert_allclose(limit["mean_train"][-1], f, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(limit["mean_test"][-1], f_test, rtol=1e-10, atol=1e-12)
    assert not limit["sd_test"].any() and not limit["cov_test"].any()
    network = arrays(made, "network", "infinite", 128)
    rows = pd.read_csv(made[1]["measurements", "", 0])
    gap = rows[rows["metric"] == "limit_gap"]["value"]
    expected = np.sqrt(((network["f_train"] - limit["mean_train"]) ** 2).mean((2, 3)))
    np.testing.assert_allclose(gap, expected.max(1), rtol=1e-9)
    assert gap.max() < 0.5 * np.sqrt((f**2).mean())


def test_measurements_have_what_holds_for_any_loss(made):
    rows = pd.read_csv(made[1]["measurements", "", 0])
    metrics = set(rows["metric"])
    assert {"loss", "linear_gap", "linear_gap_test", "ntk_change"} <= metrics
    assert {"linear_weight_gap", "ntk_alignment", "learning_rate_relative"} <= metrics
    assert not {"loss_rate", "linear_loss_error", "mode_rate/1"} & metrics
    gap = rows[(rows["metric"] == "linear_gap") & (rows["variant"] == "descent")]
    narrow, wide = (gap[gap["width"] == n]["value"].mean() for n in (8, 128))
    assert 0 < wide < 0.5 * narrow
    network = arrays(made, "network", "descent", 8)
    theta = network["ntk"][:, 0].reshape(2, 36, 36) / 12
    relative = rows[rows["metric"] == "learning_rate_relative"]
    relative = relative.query("width == 8 and step == 0 and variant == 'descent'")
    np.testing.assert_allclose(
        relative["value"], 0.5 * np.linalg.eigvalsh(theta)[:, -1] / 2, rtol=1e-9
    )
    (verdict,) = pd.read_csv(made[1]["claims", "", 0])["verdict"]
    assert verdict == "supported"
