"""Mean and covariance of trained, infinitely wide networks (Lee et al. 2019)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from ntkpipe.kernels.infinite import Kernels
from ntkpipe.kernels.linear import gain


class Ensemble(NamedTuple):
    """Mean (t, m, k) and covariance (t, m, m) over initialisations."""

    mean: jax.Array
    cov: jax.Array


@jax.jit
def ensemble(
    train: Kernels,
    test_train: Kernels,
    test: Kernels,
    y_train: ArrayLike,
    t: ArrayLike | None = None,
    *,
    steps: ArrayLike | None = None,
    learning_rate: float | None = None,
) -> Ensemble:
    """Mean and covariance of infinitely wide networks trained on (x, y) to times t.

    With L = 1/(2N) Σ‖f(x_i) − y_i‖², A = Θ_*X Θ⁻¹(I − e^{−Θt/N}) and K the NNGP:

        mean = A y,  cov = K_** + A K_XX Aᵀ − A K_X* − (A K_X*)ᵀ

    computed from the eigenvectors of Θ, without an inverse (`linear.gain`). If only the
    last layer is trained, pass the NNGP also as the NTK.

    Args:
        train: kernels (n, n).
        test_train: kernels (m, n).
        test: kernels (m, m).
        y_train: (n, k).
        t: (t,) times of gradient flow; inf for the end of training.
        steps: (t,) instead of t: numbers of steps of gradient descent.
        learning_rate: η, with `steps`.

    Returns:
        Ensemble of mean (t, m, k) and cov (t, m, m), the same for every output.

    Source: Lee et al. 2019 (1902.06720), equations 14–16.
    """
    if (t is None) == (steps is None) or (steps is None) != (learning_rate is None):
        raise ValueError("give `t` alone, or `steps` together with `learning_rate`")
    y_train = jnp.asarray(y_train, float)
    n = len(y_train)
    eigenvalues, vectors = jnp.linalg.eigh(jnp.asarray(train.ntk, float) / n)
    if t is not None:
        steps, learning_rate = t, 1.0
    _, displacement = gain(
        eigenvalues, jnp.ravel(jnp.asarray(steps)), learning_rate, flow=t is not None
    )
    # A = D Uᵀ with one D for each time t; all other factors are multiplied by U once
    rows = test_train.ntk @ vectors / n
    labels = vectors.T @ y_train
    prior = vectors.T @ train.nngp @ vectors
    shared = vectors.T @ test_train.nngp.T

    def at(g):
        d = rows * g[None]
        cross = d @ shared
        return d @ labels, test.nngp + d @ prior @ d.T - cross - cross.T

    return Ensemble(*jax.vmap(at)(displacement))
