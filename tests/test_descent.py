"""Linearised models in function space against brute force in weights."""

from pathlib import Path

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest

from ntkpipe.kernels import descent, linear
from ntkpipe.training.losses import SQUARED
from ntkpipe.training.losses.cross_entropy import CrossEntropy
from ntkpipe.training.losses.huber import Huber
from ntkpipe.training.losses.logistic import Logistic

DATA = Path(__file__).parent / "data" / "any_network"
N, M, K, ALPHA = 6, 4, 3, 2.0
LABELS = np.eye(K)[np.arange(N) % K]
TARGETS = {
    "squared": (SQUARED, 3 * LABELS),
    "cross_entropy": (CrossEntropy(), LABELS - 1 / K),
    "logistic": (Logistic(), 2 * LABELS - 1),
    "huber": (Huber(delta=0.3), 3 * LABELS),
}


@pytest.fixture(scope="module")
def net():
    """A random linear model: f₀ = αh₀, α J (n k p), R (p,), w₀ and Θ."""
    rng = np.random.default_rng(0)
    w0, rates = rng.standard_normal(20), rng.uniform(0.5, 2, 20)
    rates[:3] = 0  # not learned
    h0, slope = rng.standard_normal((N + M, K)), rng.standard_normal((N + M, K, 20))
    theta = np.einsum("nip,p,mjp->nimj", slope, rates, slope[:N]) / 20
    return ALPHA * h0, slope / np.sqrt(20), rates, w0, theta


def brute_force(net, loss, y, steps, eta, beta, decay, to_zero, batches):
    """f_lin of all points and ‖R^−½(w − w₀)‖ at each step, by descent in weights."""
    f0, slope, rates, w0, _ = net
    learned = rates > 0
    inverse = np.where(learned, 1 / np.where(learned, rates, 1), 0)

    def f_lin(w):
        return f0 + ALPHA * slope @ (w - w0)

    def of_weights(w, p):
        away = w - (0 if to_zero else w0)
        penalty = decay / 2 * jnp.sum(inverse * away**2)
        return jnp.sum(p * loss.of_outputs(f_lin(w)[:N], y).sum(1)) / ALPHA**2 + penalty

    gradient = jax.jit(jax.grad(of_weights))
    w, v, found = w0, 0 * w0, []
    for t in range(steps + 1):
        moved = np.sqrt(np.sum(inverse * (w - w0) ** 2))
        found.append((f_lin(w), moved))
        v = beta * v + np.asarray(gradient(w, batches[t]))
        w = w - eta * rates * v
    return map(np.array, zip(*found, strict=True))


def origin_of(net):
    _, slope, rates, w0, _ = net
    learned = np.where(rates > 0, w0, 0)
    push = ALPHA * slope @ learned
    square = np.sum(learned[rates > 0] ** 2 / rates[rates > 0])
    return descent.Origin(push[:N], push[N:], square)


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize(
    ("beta", "decay", "to_zero", "batch"),
    [(0, 0, 0, 0), (0.8, 0, 0, 0), (0, 0.3, 0, 0), (0.8, 0.3, 1, 1)],
    ids=["descent", "momentum", "decay to w0", "momentum, decay to 0 and batches"],
)
def test_function_space_is_weight_space(net, name, beta, decay, to_zero, batch):
    loss, y = TARGETS[name]
    f0, _, _, _, theta = net
    steps, eta = 60, 0.2
    batches = np.full((steps + 1, N), 1 / N)
    if batch:
        rng = np.random.default_rng(1)
        batches = np.stack([rng.permutation([0.5, 0.5, 0, 0, 0, 0]) for _ in batches])
    f, moved = brute_force(net, loss, y, steps, eta, beta, decay, to_zero, batches)
    at = np.array([0, 1, 2, 17, steps])
    table = jnp.asarray(batches)
    found = descent.train(
        *(theta[:N], f0[:N], y, at, eta),
        loss=loss,
        momentum=beta,
        weight_decay=decay,
        origin=origin_of(net) if to_zero else None,
        weights=(lambda step: table[step]) if batch else None,
        ntk_test=theta[N:],
        f0_test=f0[N:],
        alpha=ALPHA,
    )
    assert np.abs(f[-1] - f[0]).max() > 0.5  # the model has learned something
    np.testing.assert_allclose(found.f_train, f[at, :N], rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(found.f_test, f[at, N:], rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(found.weight_change, moved[at], rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(found.loss, loss.value(f[at, :N], y), rtol=1e-10)


@pytest.mark.parametrize("to_zero", [False, True])
@pytest.mark.parametrize("name", TARGETS)
def test_the_flow_is_the_limit_of_small_steps(net, name, to_zero):
    """Richardson's extrapolation of descent at η, η/2 and η/4 is of third order."""
    loss, y = TARGETS[name]
    f0, _, _, _, theta = net
    how = {"loss": loss, "weight_decay": 0.2, "alpha": ALPHA}
    how |= {"origin": origin_of(net) if to_zero else None}
    how |= {"ntk_test": theta[N:], "f0_test": f0[N:]}
    start = theta[:N], f0[:N], y
    steps = np.array([0, 1, 4, 10])
    flow = descent.train(*start, steps, 0.5, flow=True, **how)
    fine = [descent.train(*start, steps * n, 0.5 / n, **how) for n in (500, 1000, 2000)]
    for name in ("f_train", "f_test", "weight_change"):
        one, two, four = (np.asarray(getattr(model, name)) for model in fine)
        extrapolated = (one - 6 * two + 8 * four) / 3
        # Huber's slope has a kink, at which descent is of second order
        atol = 1e-5 if loss.kind == "huber" else 1e-7
        np.testing.assert_allclose(getattr(flow, name), extrapolated, atol=atol)


def test_the_squared_loss_is_that_of_its_closed_form(net):
    f0, _, _, _, theta = net
    at, y = [0, 1, 7, 200], TARGETS["squared"][1]
    start, test = (theta[:N], f0[:N], y, at, 0.2), {"ntk_test": theta[N:]}
    test |= {"f0_test": f0[N:], "alpha": ALPHA}
    cases = (0.0, 0.0, False), (0.5, 0.0, False), (0.5, 0.1, False), (0.0, 0.1, True)
    for momentum, decay, flow in cases:
        how = {"momentum": momentum, "weight_decay": decay, "flow": flow, **test}
        recursion = descent.train(*start, loss=SQUARED, **how)
        closed = linear.predict(*start, **how)
        for one, other in zip(recursion, closed, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-7, atol=1e-9)
    end = linear.predict(*start[:3], [np.inf], 0.2, weight_decay=0.1)
    h = np.asarray(theta[:N]).reshape(N * K, -1) / N
    ridge = h @ np.linalg.solve(h + 0.1 * np.eye(N * K), np.ravel(y - f0[:N]))
    np.testing.assert_allclose(end.f_train[0], f0[:N] + ridge.reshape(N, K), rtol=1e-9)


def test_cross_entropy_is_that_of_the_reference():
    data = np.load(DATA / "cross_entropy.npz")
    theta = data["theta"][:, None, :, None]
    n, f0 = len(data["y"]), data["f0"]
    start = theta[:n, :, :n], f0[:n], data["y"], data["steps"]
    for kind in ("descent", "flow"):
        found = descent.train(
            *(*start, float(data["learning_rate"])),
            loss=CrossEntropy(),
            flow=kind == "flow",
            ntk_test=theta[n:, :, :n],
            f0_test=f0[n:],
        )
        for part in ("train", "test"):
            ours, theirs = getattr(found, f"f_{part}"), data[f"{kind}_{part}"]
            atol = 1e-12 if kind == "descent" else 1e-9
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=atol)
            if kind == "flow":  # of neural-tangents, within the error of its solver
                theirs = data[f"neural_tangents_{part}"]
                np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)


def test_a_traced_kernel_is_identity_over_outputs(net):
    f0, _, _, _, theta = net
    scalar = np.einsum("nimi->nm", theta) / K
    loss, y = TARGETS["cross_entropy"]
    full = np.einsum("nm,ij->nimj", scalar, np.eye(K))
    traced = scalar[:, None, :, None]
    a, b = (
        descent.train(
            *(kernel[:N], f0[:N], y, [1, 20], 0.2),
            loss=loss,
            ntk_test=kernel[N:],
            f0_test=f0[N:],
        )
        for kernel in (full, traced)
    )
    for one, other in zip(a, b, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11)


@pytest.mark.parametrize("name", TARGETS)
def test_below_the_stable_rate_the_loss_falls(net, name):
    loss, y = TARGETS[name]
    f0, _, _, _, theta = net
    for decay in (0.0, 0.5):
        rate = linear.max_learning_rate(theta[:N], 0.0, loss.curvature, decay)
        found = descent.train(
            *(theta[:N], f0[:N], y, np.arange(40), 0.999 * rate),
            loss=loss,
            weight_decay=decay,
        )
        whole = np.asarray(found.loss + decay / 2 * found.weight_change**2)
        assert (np.diff(whole) <= 1e-14).all()


def test_nothing_moves_in_no_time(net):
    f0, _, _, _, theta = net
    loss, y = TARGETS["cross_entropy"]
    for flow in (False, True):
        still = descent.train(theta[:N], f0[:N], y, [0], 0.1, loss=loss, flow=flow)
        np.testing.assert_array_equal(still.f_train[0], f0[:N])
        assert still.weight_change[0] == 0 and still.f_test is None


def test_errors_tell_what_to_give(net):
    f0, _, _, _, theta = net
    loss, y = TARGETS["cross_entropy"]
    start = theta[:N], f0[:N], y, [1], 0.1
    with pytest.raises(ValueError, match="neither `momentum` nor `weights`"):
        descent.train(*start, loss=loss, momentum=0.5, flow=True)
    with pytest.raises(ValueError, match="both `ntk_test` and `f0_test`"):
        descent.train(*start, loss=loss, ntk_test=theta[N:])
    with pytest.raises(ValueError, match="`ntk` must be"):
        descent.train(theta, *start[1:], loss=loss)
    with pytest.raises(ValueError, match="finite"):
        descent.train(*start[:3], [np.inf], 0.1, loss=loss)
