"""Parametrisations, initialisations and the two ways to zero output."""

from itertools import pairwise

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest

from ntkpipe.data.base import Data
from ntkpipe.kernels import empirical
from ntkpipe.kernels.infinite import kernels
from ntkpipe.models.activations import ACTIVATIONS
from ntkpipe.models.mlp import MLP, Bottleneck
from ntkpipe.models.parameterizations import PARAMETERIZATIONS
from ntkpipe.training import train
from ntkpipe.training.protocol import Training

KEY = jax.random.key(3)


def data(d=3, k=1, n=6):
    x = np.asarray(jax.random.normal(jax.random.key(8), (n + 2, d)))
    y = np.sin(3 * x[:, :1]) * np.ones((1, k))
    return Data(x[:n], y[:n], x[n:], y[n:])


@pytest.mark.parametrize("theta", [0.5])
def test_mup_and_mean_field_are_one_parametrisation(theta):
    for role, (a, b, c) in PARAMETERIZATIONS["mup"].items():
        shift = theta
        assert PARAMETERIZATIONS["mean_field"][role] == (
            a + shift,
            b - shift,
            c - 2 * shift,
        )
    runs = [
        train(
            MLP(depth=2, activation="tanh", parameterization=name, b_std=0.2),
            Training(learning_rate=0.3, steps=30, record=5),
            data(),
            16,
            KEY,
            2,
        )
        for name in ("mup", "mean_field")
    ]
    np.testing.assert_allclose(
        runs[0]["f_test"], runs[1]["f_test"], rtol=1e-10, atol=1e-12
    )
    np.testing.assert_allclose(runs[0]["ntk"], runs[1]["ntk"], rtol=1e-10, atol=1e-12)


def test_standard_and_ntk_are_one_function_at_initialisation():
    x = data().x_train
    outputs = []
    for name in ("standard", "ntk"):
        model = MLP(depth=2, parameterization=name, init="torch", b_std=1)
        outputs.append(model.apply(model.init_params(KEY, 32, 3, 1), x))
    np.testing.assert_allclose(outputs[0], outputs[1], rtol=1e-12)


def test_standard_with_rate_over_width_is_ntk():
    # Sohl-Dickstein 2020: the kernel of standard/n is that of ntk, except for the part
    # of the input layer, which does not grow with the width
    x = jnp.asarray(data().x_train)
    from ntkpipe.kernels import blocks, signals

    parts = {}
    for name in ("standard", "ntk"):
        model = MLP(depth=2, parameterization=name)
        params = model.init_params(KEY, 32, 3, 1)
        _, found = signals.signals(model.apply, params, x)
        parts[name] = [blocks.part(s, s) for s in found.values()]
    for index in (1, 2):
        np.testing.assert_allclose(
            parts["standard"][index] / 32, parts["ntk"][index], rtol=1e-12
        )


def test_torch_initialisation_is_uniform_within_one_over_root_fan_in():
    model = MLP(depth=2, parameterization="standard", init="torch", b_std=1)
    first, hidden, last = model.init_params(KEY, 400, 4, 1)[0]
    for layer, fan_in in ((first, 4), (hidden, 400), (last, 400)):
        bound = fan_in**-0.5
        assert jnp.abs(layer["w"]).max() <= bound
        assert jnp.abs(layer["b"]).max() <= bound
    # variance of U(−a, a) is a²/3
    np.testing.assert_allclose(hidden["w"].var(), 1 / 1200, rtol=0.02)
    assert jnp.abs(hidden["w"]).max() > 0.99 * 400**-0.5


@pytest.mark.parametrize("parameterization", ["ntk", "standard", "mup", "mean_field"])
def test_width_changes_neither_hidden_layers_nor_kernel_in_size(parameterization):
    from ntkpipe.kernels.signals import signals

    x = jnp.asarray(data().x_train)
    model = MLP(depth=2, activation="tanh", parameterization=parameterization)
    size = []
    for width in (64, 4096 if parameterization != "standard" else 1024):
        params = model.init_params(KEY, width, 3, 1)
        _, found = signals(model.apply, params, x)
        hidden = found["[0][1]['w']"].h
        scale = model.multipliers(1, params[0][1])[0]
        z = scale * hidden @ params[0][1]["w"]
        size.append(float(jnp.sqrt(jnp.mean(z**2))))
    assert 0.5 < size[0] / size[1] < 2


@pytest.mark.parametrize("zero_output", ["subtract", "double", "alike"])
def test_zero_output_starts_at_zero(zero_output):
    run = train(
        MLP(depth=2, zero_output=zero_output, alpha=3.0),
        Training(learning_rate=0.1, steps=5, record=3),
        data(),
        16,
        KEY,
        2,
    )
    # to rounding: h and h₀ are compiled apart
    assert np.abs(run["f_train"][:, 0]).max() < 1e-14
    assert np.abs(run["f_test"][:, 0]).max() < 1e-14
    assert np.abs(run["f_train"][:, -1]).max() > 1e-3


@pytest.mark.parametrize("zero_output", ["double", "alike"])
def test_twins_keep_the_kernel(zero_output):
    x = jnp.asarray(data().x_train)
    from ntkpipe.kernels.empirical import ntk

    plain, twins = (MLP(depth=2, zero_output=z) for z in ("none", zero_output))
    theta = ntk(plain.apply, plain.init_params(KEY, 16, 3, 1), x)
    twice = ntk(twins.apply, twins.init_params(KEY, 16, 3, 1), x)
    np.testing.assert_allclose(theta, twice, rtol=1e-12)


def test_only_opposite_twins_cancel_the_second_order():
    def gap(zero_output):
        run = train(
            MLP(depth=1, activation="tanh", alpha=1e3, zero_output=zero_output),
            Training(learning_rate=0.1, steps=50, record=3),
            data(),
            64,
            KEY,
            2,
        )
        theta, y = run["ntk"][:, 0, :, 0, :, 0], data().y_train
        left = np.linalg.matrix_power(np.eye(6) - 0.1 * theta / 6, 50) @ -y
        return np.abs(run["f_train"][:, -1] - y - left).max()

    # f differs from the linearised model by 1/α; by 1/α² if the second order cancels
    assert gap("double") < 1e-2 * gap("alike")
    assert 0.1 < gap("alike") / gap("subtract") < 10


def test_heavy_tailed_output_weights_have_variance_1_and_the_tail_of_their_formula():
    model = MLP(depth=1, output_weights="heavy")
    params = model.init_params(KEY, 200_000, 3, 1)
    v = np.abs(np.ravel(params[0][-1]["w"]))
    # P(|v| > a) = (√5 a)^−5/2 for a > 5^−½: at three sizes, within 4 standard errors
    for a in (0.5, 1.0, 4.0):
        share = (5**0.5 * a) ** -2.5
        error = np.sqrt(share * (1 - share) / len(v))
        assert abs(np.mean(v > a) - share) < 4 * error
    assert v.min() >= 5**-0.5
    # ∫ v² dP = 1 − u₀^⅕ over v < 4, u₀ = P(|v| > 4): all of it is 1
    kept = v**2 * (v < 4)
    error = kept.std() / len(v) ** 0.5
    assert abs(kept.mean() - (1 - share**0.2)) < 4 * error
    assert "b2" not in model.layer_names and model.learned_output
    assert model.has_infinite_limit


def test_alpha_moves_weights_less_and_outputs_alike():
    runs = {
        alpha: train(
            MLP(depth=1, activation="tanh", alpha=alpha, zero_output="subtract"),
            Training(learning_rate=0.1, steps=50, record=3),
            data(),
            256,
            KEY,
            2,
        )
        for alpha in (1e3, 1e4)
    }
    distance = [
        np.linalg.norm(r["weight_change"][:, -1], axis=-1) for r in runs.values()
    ]
    np.testing.assert_allclose(distance[0] / distance[1], 10, rtol=1e-2)
    np.testing.assert_allclose(runs[1e3]["loss"], runs[1e4]["loss"], rtol=1e-2)


def test_infinite_kernels_are_those_of_the_architecture():
    x = data().x_train
    model = MLP(depth=2, activation="erf", W_std=1.3, b_std=0.1)
    expected = kernels(x, depth=2, activation="erf", W_std=1.3, b_std=0.1)
    np.testing.assert_array_equal(model.infinite(x).ntk, expected.ntk)
    with pytest.raises(ValueError, match=r"parameterization: .* not mup"):
        MLP(parameterization="mup").infinite(x)


def test_signs_are_fixed_and_the_kernel_leaves_them_out():
    x = jnp.asarray(data().x_train)
    from ntkpipe.kernels.empirical import ntk

    model = MLP(depth=2, output_weights="signs", b_std=0.3, activation="tanh")
    params = model.init_params(KEY, 16, 3, 1)
    assert set(params[0][-1]) == {"w"}
    assert sorted(set(np.ravel(params[0][-1]["w"]).tolist())) == [-1, 1]
    # by brute force: the Jacobian with respect to all weights but the last
    jacobian = jax.jacrev(lambda first: model.apply(((*first, params[0][-1]),), x))(
        params[0][:-1]
    )
    rows = np.concatenate(
        [np.reshape(j, (len(x), -1)) for j in jax.tree.leaves(jacobian)], axis=1
    )
    rates = model.learning_rates(params)
    theta = ntk(model.apply, params, x, rates=rates)[:, 0, :, 0]
    np.testing.assert_allclose(theta, rows @ rows.T, rtol=1e-10)


@pytest.mark.parametrize("optimizer", ["gd", "momentum", "adam"])
@pytest.mark.parametrize("zero_output", ["none", "double"])
def test_signs_stay_and_the_kernel_is_that_of_the_steps(optimizer, zero_output):
    model = MLP(
        depth=1,
        activation="tanh",
        output_weights="signs",
        zero_output=zero_output,
    )
    settings = Training(
        optimizer=optimizer,
        learning_rate=1e-3,
        steps=1,
        record=2,
        linear_weights=optimizer != "adam",
    )
    run = train(model, settings, data(), 64, KEY, 2)
    moved = dict(zip(run["layer"], run["weight_change"][0, -1], strict=True))
    assert moved["W2"] == 0 and moved["W1"] > 0
    if optimizer != "adam":
        residual = run["f_train"][:, 0] - data().y_train
        step = -1e-3 / 6 * np.einsum("snimj,smj->sni", run["ntk"][:, 0], residual)
        np.testing.assert_allclose(
            run["f_train"][:, 1] - run["f_train"][:, 0], step, rtol=2e-3, atol=1e-8
        )
        assert run["weight_gap"][:, -1].max() < 1e-12


def test_curvature_leaves_out_fixed_weights():
    from ntkpipe.kernels import curvature

    model = MLP(depth=1, activation="tanh", output_weights="signs", b_std=0.3)
    params = model.init_params(KEY, 5, 3, 1)
    x = jnp.asarray(data().x_train[:1])
    first, last = params[0]
    flat, unravel = jax.flatten_util.ravel_pytree(first)

    def f(flat):
        # in units in which all weights have the same learning rate
        return model.apply(((unravel(flat), last),), x)[0, 0]

    found = curvature.of_model(model, params, x)
    hessian = np.linalg.eigvalsh(jax.hessian(f)(flat))
    np.testing.assert_allclose(
        found.hessian_norm[0, 0], np.abs(hessian).max(), rtol=1e-6
    )
    gradient = np.linalg.norm(jax.grad(f)(flat))
    np.testing.assert_allclose(found.gradient_norm[0, 0], gradient, rtol=1e-8)


def test_biases_may_begin_at_zero_and_are_learned():
    model = MLP(depth=1, b_std=0.5, biases="zero")
    run = train(
        model, Training(learning_rate=0.1, steps=3, record=2), data(), 16, KEY, 2
    )
    norms = dict(zip(run["layer"], run["weight_norm"][0], strict=True))
    moved = dict(zip(run["layer"], run["weight_change"][0, -1], strict=True))
    assert norms["b1"] == norms["b2"] == 0
    assert moved["b1"] > 0 and moved["b2"] > 0


@pytest.mark.parametrize("output_activation", ["tanh", "square"])
def test_a_non_linear_output_multiplies_kernels_by_its_slopes(output_activation):
    x = jnp.asarray(data(k=2).x_train)
    how = {"depth": 2, "activation": "tanh", "b_std": 0.3}
    linear, bent = MLP(**how), MLP(**how, output_activation=output_activation)
    params = linear.init_params(KEY, 16, 3, 2)
    z, phi = linear.apply(params, x), ACTIVATIONS[output_activation]
    np.testing.assert_allclose(bent.apply(params, x), phi(z), rtol=1e-14)
    slope = jax.vmap(jax.vmap(jax.grad(phi)))(z)
    expected = np.einsum(
        "ni,nimj,mj->nimj", slope, empirical.ntk(linear.apply, params, x), slope
    )
    theta = empirical.ntk(bent.apply, params, x)
    np.testing.assert_allclose(theta, expected, rtol=1e-12, atol=1e-13)
    assert linear.learned_output and not bent.learned_output


@pytest.mark.parametrize("layer", [1, 2])
@pytest.mark.parametrize("parameterization", ["ntk", "standard"])
def test_a_bottleneck_is_a_layer_of_its_own_width(parameterization, layer):
    x = jnp.asarray(data().x_train)
    model = MLP(
        depth=2,
        activation="tanh",
        parameterization=parameterization,
        bottleneck=Bottleneck(layer=layer, width=3),
    )
    ((first, second, last),) = params = model.init_params(KEY, 64, 3, 1)
    sizes = [3, 64, 64, 1]
    sizes[layer] = 3
    weights = [first["w"], second["w"], last["w"]]
    assert [w.shape for w in weights] == [*pairwise(sizes)]
    assert model.weights(64, 3, 1) == sum(w.size for w in weights)
    h, raw = x, parameterization == "ntk"
    for w, fan_in in zip(weights, sizes, strict=False):
        h = jnp.tanh(h) if h is not x else h
        h = h @ w / (fan_in**0.5 if raw else 1)
    np.testing.assert_allclose(model.apply(params, x), h, rtol=1e-13)
    spread = [
        float(w.std()) * (1 if raw else n**0.5)
        for w, n in zip(weights, sizes, strict=False)
    ]
    np.testing.assert_allclose(spread, 1, atol=0.45)


def test_faults_of_a_bottleneck_and_of_a_limit_are_named():
    said = "bottleneck.layer: no hidden layer 2: there are 1; bottleneck: needs"
    with pytest.raises(ValueError, match=said):
        MLP(bottleneck=Bottleneck(layer=2, width=1), parameterization="mup")
    for model in (
        MLP(output_activation="tanh"),
        MLP(bottleneck=Bottleneck(layer=1, width=1)),
    ):
        assert not model.has_infinite_limit
        assert len([*model.without_limit()]) == 1
