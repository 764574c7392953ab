"""The sharpness is the largest eigenvalue of the dense Hessian of the training loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from ntkpipe import cost
from ntkpipe.data.base import Data
from ntkpipe.kernels import empirical
from ntkpipe.kernels import sharpness as kernel
from ntkpipe.kernels.sharpness import sharpness
from ntkpipe.models.mlp import MLP
from ntkpipe.training import train
from ntkpipe.training.protocol import Training

KEY = jax.random.key(0)
X = np.asarray(jax.random.normal(jax.random.key(1), (7, 3)))
Y = np.sin(2 * X[:5, :2])
DATA = Data(X[:5], Y, X[5:], np.zeros((2, 2)))


def dense(loss, params, rates):
    """The largest eigenvalue of √r ∇²L √r, from the P × P Hessian."""
    flat, unravel = ravel_pytree(params)
    each = jax.tree.map(lambda w, r: r + 0 * w, params, rates)
    root = np.sqrt(np.asarray(ravel_pytree(each)[0]))
    hessian = np.asarray(jax.hessian(lambda flat: loss(unravel(flat)))(flat))
    return np.linalg.eigvalsh(root[:, None] * hessian * root).max()


def initial(model, width, replicate=0):
    key = jax.random.fold_in(jax.random.fold_in(KEY, width), replicate)
    return model.init_params(key, width, 3, 2)


@pytest.mark.parametrize(
    "options",
    [
        {"parameterization": "mup"},
        {"output_weights": "signs", "depth": 1},  # weights that are not learned
        {"zero_output": "subtract", "alpha": 3.0, "b_std": 0.0},
    ],
    ids=str,
)
def test_a_training_records_the_largest_eigenvalue_of_its_loss(options):
    model = MLP(**{"depth": 2, "activation": "tanh", "b_std": 0.3, **options})
    if options.get("output_weights") == "signs":
        data = DATA._replace(y_train=Y[:, :1], y_test=np.zeros((2, 1)))
    else:
        data = DATA
    k = data.y_train.shape[1]
    settings = Training(
        learning_rate=0.1, steps=6, record=3, snapshots=2, sharpness=True
    )
    found = train(model, settings, data, 6, KEY, 2)["sharpness"]
    assert found.shape == (2, 2)

    key = jax.random.fold_in(jax.random.fold_in(KEY, 6), 1)
    start = params = model.init_params(key, 6, 3, k)
    rates = model.learning_rates(params)

    def outputs(params):
        h = model.apply(params, data.x_train)
        if model.zero_output == "subtract":
            h = h - model.apply(start, data.x_train)
        return model.alpha * h

    def loss(params):
        residual = outputs(params) - data.y_train
        return (residual**2).sum() / (2 * len(data.x_train)) / model.alpha**2

    expected = [dense(loss, params, rates)]
    for _ in range(6):
        gradient = jax.grad(loss)(params)
        params = jax.tree.map(lambda w, g, r: w - 0.1 * r * g, params, gradient, rates)
    expected.append(dense(loss, params, rates))
    np.testing.assert_allclose(found[1], expected, rtol=1e-8)


def test_without_residual_it_is_the_largest_eigenvalue_of_the_kernel():
    model = MLP(depth=2, activation="tanh")
    params = initial(model, 8)
    y = model.apply(params, X)

    def loss(params):
        return ((model.apply(params, X) - y) ** 2).sum() / (2 * len(X))

    theta = empirical.ntk(model.apply, params, X).reshape(len(X) * 2, -1)
    expected = np.linalg.eigvalsh(np.asarray(theta)).max() / len(X)
    np.testing.assert_allclose(sharpness(loss, params), expected, rtol=1e-10)


def test_the_largest_eigenvalue_is_not_the_one_of_largest_size():
    eigenvalues = jnp.array([-5.0, 1.0, 2.0])
    found = sharpness(lambda w: (eigenvalues * w**2).sum() / 2, jnp.ones(3))
    np.testing.assert_allclose(found, 2.0, rtol=1e-12)


def test_the_cost_model_counts_the_products():
    assert cost.LANCZOS == kernel.ITERATIONS
