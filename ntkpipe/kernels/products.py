"""Products Θv without Θ: eigenvalues and norms of kernels that are never formed.

A product Θv = J(Jᵀv) costs one backward and one forward pass of all points. `lanczos`
calls these products from the host and computes in float64 even without 64-bit JAX.
`curvature` has a Lanczos method of its own, a compiled loop: a Python loop would take
23 s to compile instead of 3 s.

`apply` is a network `apply(params, x)`, x are points (n …), `rates` are relative
learning rates, a tree of numbers like `params`, by default 1, and `key` is a random
key, by default key 0.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ntkpipe.kernels import empirical, tiles
from ntkpipe.kernels.signals import Outputs, learning_rates
from ntkpipe.kernels.uses import Apply

TOLERANCE = {"float64": 1e-9, "float32": 1e-3}
"""Largest relative difference of Θv and J(Jᵀv) that counts as rounding."""


def vector_product(
    apply: Apply, params, x, v, *, chunk: int = 1024, rates=None
) -> np.ndarray:
    """Θ(x, x) v = J(Jᵀv) for v (n k), with `chunk` of the points x (n …) at a time.

    Jᵀv is summed over all chunks before J is applied.

    Raises:
        ValueError: v has another shape.
    """
    y, rates = tiles.output(apply, params, x), learning_rates(params, rates)
    v = np.asarray(v, y.dtype)
    if v.shape != (shape := (len(x), y.shape[1])):
        raise ValueError(f"v has the shape {v.shape}, not {shape}")
    chunk = min(chunk, len(x))
    chunks = tiles.chunks(x, chunk)
    pulled = None
    for rows, points in chunks:
        padded = np.zeros((chunk, v.shape[1]), v.dtype)
        padded[: rows.stop - rows.start] = v[rows]
        part = pull(apply, params, points, padded)
        pulled = part if pulled is None else _add(pulled, part)
    parts = [
        np.asarray(push(apply, params, points, pulled, rates))[: rows.stop - rows.start]
        for rows, points in chunks
    ]
    return np.concatenate(parts)


@partial(jax.jit, static_argnames="apply")
@jax.default_matmul_precision("highest")
def pull(apply, params, x, v):
    """Jᵀv, a tree like `params`."""
    return jax.vjp(lambda p: apply(p, x), params)[1](v)[0]


@partial(jax.jit, static_argnames=("apply", "rates"))
@jax.default_matmul_precision("highest")
def push(apply, params, x, pulled, rates):
    """J C Jᵀv (n k), C the learning rates."""
    scales = jax.tree.unflatten(jax.tree.structure(params), rates)
    direction = jax.tree.map(lambda g, rate: g * rate, pulled, scales)
    return jax.jvp(lambda p: apply(p, x), (params,), (direction,))[1]


_add = partial(jax.jit, donate_argnums=0)(partial(jax.tree.map, jnp.add))


def self_check(
    apply: Apply, params, x, outputs: Outputs = "full", key=None, rates=None
) -> float:
    """‖Θv − J(Jᵀv)‖/‖J(Jᵀv)‖ for one random v: compare `ntk` with autodiff.

    A few dozen points are cheap and enough. The check finds networks in which an output
    depends on several samples, as with batch normalisation: Θ is then wrong.

    Raises:
        ArithmeticError: the difference is more than rounding.
    """
    theta = empirical.ntk(apply, params, x, outputs=outputs, rates=rates)
    theta = np.asarray(theta, float)
    key = jax.random.key(0) if key is None else key
    v = np.asarray(jax.random.normal(key, theta.shape[:2]), float)
    product = np.einsum("nimj,mj->ni", theta, v)
    return checked(apply, params, x, v, product, outputs, rates)


def checked(apply, params, x, v, product, outputs, rates=None) -> float:
    """Relative difference of Θv, given as `product`, from J(Jᵀv) by autodiff.

    Raises:
        ArithmeticError: the difference is more than rounding.
    """
    y = tiles.output(apply, params, x)
    k, act = y.shape[1], partial(vector_product, apply, params, x, rates=rates)
    if outputs == "trace":
        units = [np.where(np.arange(k) == i, v, 0.0) for i in range(k)]
        columns = [act(unit) for unit in units]
        expected = sum(c[:, [i]].astype(float) for i, c in enumerate(columns)) / k
    else:
        expected = act(v).astype(float)
    size = np.linalg.norm(expected) or 1.0  # a kernel of zeros
    error = float(np.linalg.norm(product - expected) / size)
    if not error < TOLERANCE[y.dtype.name]:
        raise ArithmeticError(
            f"Θv differs by {error:.1e} from J(Jᵀv): Θ is wrong for a network in "
            "which an output depends on several samples, as with batch normalisation"
        )
    return error


class Extremes(NamedTuple):
    """Smallest and largest Ritz value; errors bound the distance to an eigenvalue."""

    low: float
    high: float
    low_error: float
    high_error: float
    products: int


def lanczos(product: Callable, start: np.ndarray, iterations: int) -> Extremes:
    """Extreme eigenvalues of a symmetric operator, with full reorthogonalisation.

    `product` is v ↦ A v for arrays v of the shape of the random vector `start`, and
    `iterations` the largest number of products. The errors are the residual norms
    |β_m s_m| of the Ritz vectors: some eigenvalue lies within this distance. The
    largest eigenvalue of an NTK takes about 10 products. The smallest eigenvalue is
    overestimated by an unknown amount; only the kernel itself gives a precise value.

    Raises:
        ValueError: `iterations` is below 1, or `start` is zero.

    Source: Golub & Van Loan, Matrix Computations, §10.1.
    """
    if iterations < 1 or not np.any(start):
        raise ValueError("`iterations` must be at least 1, and `start` must not be 0")
    basis = [np.ravel(start).astype(float) / np.linalg.norm(start)]
    alpha, beta = [], []
    for _ in range(min(iterations, start.size)):
        w = np.ravel(product(basis[-1].reshape(start.shape))).astype(float)
        alpha.append(w @ basis[-1])
        q = np.array(basis)
        for _ in range(2):  # twice is enough (Kahan and Parlett)
            w -= q.T @ (q @ w)
        beta.append(np.linalg.norm(w))
        if beta[-1] <= 1e-14 * np.abs(alpha).max() * math.sqrt(start.size):
            break
        basis.append(w / beta[-1])
    tridiagonal = np.diag(alpha) + np.diag(beta[:-1], 1) + np.diag(beta[:-1], -1)
    values, vectors = np.linalg.eigh(tridiagonal)
    errors = np.abs(beta[-1] * vectors[-1])
    lowest, highest = float(values[0]), float(values[-1])
    return Extremes(lowest, highest, float(errors[0]), float(errors[-1]), len(alpha))


def extreme_eigenvalues(
    apply: Apply,
    params,
    x,
    *,
    iterations: int = 30,
    key=None,
    chunk: int = 1024,
    rates=None,
) -> Extremes:
    """Extreme eigenvalues of Θ(x, x)/n by `lanczos`; the kernel is never formed."""
    y = tiles.output(apply, params, x)
    key = jax.random.key(0) if key is None else key
    start = np.asarray(jax.random.normal(key, (len(x), y.shape[1])))

    def product(v):
        return vector_product(apply, params, x, v, chunk=chunk, rates=rates) / len(x)

    return lanczos(product, start, iterations)


def frobenius(
    product: Callable, shape: tuple[int, ...], probes: int, key
) -> tuple[float, float]:
    """Estimate of ‖A‖_F of a symmetric operator, and its standard error.

    ‖A‖² = ‖AQ‖² + ‖A(1 − QQᵀ)‖². A quarter of the products finds the range Q of the few
    large eigenvalues. A quarter computes ‖AQ‖² exactly. Half of the products estimate
    the second term without bias as E‖A(1 − QQᵀ)g‖² with normal g (Hutch++,
    Meyer, Musco, Musco & Woodruff 2021, 2010.09649, for A²).

    `product` is v ↦ A v for arrays v of `shape`; `probes` is the number of products, at
    least 8.
    """
    if probes < 8:
        raise ValueError(f"`probes` must be at least 8, it is {probes}")
    size, sketch = math.prod(shape), probes // 4

    def act(columns):
        return np.stack(
            [np.ravel(product(v.reshape(shape))).astype(float) for v in columns.T], 1
        )

    normal = np.asarray(jax.random.normal(key, (size, probes - sketch)), float)
    q, _ = np.linalg.qr(act(normal[:, :sketch]))
    rest = normal[:, sketch:]
    rest = rest - q @ (q.T @ rest)
    squares = np.sum(act(rest) ** 2, 0)
    total = np.sum(act(q) ** 2) + squares.mean()
    if not total:
        return 0.0, 0.0
    spread = squares.std(ddof=1) / math.sqrt(len(squares))
    return math.sqrt(total), float(spread / (2 * math.sqrt(total)))
