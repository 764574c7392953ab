"""The linearised model f_lin(w) = f(w₀) + J(w₀)(w − w₀), trained in closed form.

Under L = 1/(2N) Σ‖f(x_i) − y_i‖² (mean over points, sum over outputs) every
eigendirection of Θ/N, with eigenvalue λ, evolves independently of the others. Two
functions of λ, which `gain` computes, thus determine the training:

    residual      f_t − y = U r_t(λ) Uᵀ (f₀ − y)
    displacement  w_t − w₀ = −(1/N) Jᵀ U g_t(λ) Uᵀ (f₀ − y),   g_t = (1 − r_t)/λ

Source: Lee et al. 2019 (1902.06720), equations 8–11; momentum as in optax.sgd.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from ntkpipe.training.losses.squared import SQUARED

STEP_BITS = 31
"""The closed form of the heavy ball takes fewer than 2**STEP_BITS steps."""


class Linearized(NamedTuple):
    """The linearised model at given steps, which are the leading axis."""

    f_train: jax.Array
    f_test: jax.Array | None
    loss: jax.Array
    weight_change: jax.Array


@partial(jax.jit, static_argnames=("momentum", "flow"))
def gain(
    eigenvalues: ArrayLike,
    step: ArrayLike,
    learning_rate: ArrayLike,
    momentum: float = 0.0,
    flow: bool = False,
) -> tuple[jax.Array, jax.Array]:
    """Residual factor r_t(λ) and displacement g_t(λ) = (1 − r_t)/λ.

    Gradient descent has r = (1 − ηλ)ᵗ and gradient flow r = e^{−ηtλ}. The heavy ball
    takes the t-th power of its step matrix. For λ → 0, g is its limit, which is ηt
    without momentum.

    Args:
        eigenvalues: (n,) of Θ/N.
        step: () or (t,) number of steps. inf gives the pseudo-inverse: directions of
            zero eigenvalue do not move.
        learning_rate: η; the time of the flow is η · step.
        momentum: β of v ← βv + ∇L, w ← w − ηv.
        flow: gradient flow instead of descent.

    Returns:
        r and g, (n,) or (t, n).
    """
    if momentum and flow:
        raise ValueError(
            "gradient flow has no momentum: leave out `momentum`, or leave out `flow`"
        )
    eigenvalues = jnp.asarray(eigenvalues, float)
    step = jnp.asarray(step, float)[..., None]
    rows = jnp.expand_dims(eigenvalues, range(step.ndim - 1))  # (1 … n)
    if momentum:
        residual, displacement = _heavy_ball(eigenvalues, step, learning_rate, momentum)
    elif flow:
        residual, displacement = _flow(rows, step, learning_rate)
    else:
        residual, displacement = _descent(rows, step, learning_rate)
    endless = jnp.isinf(step)
    moves = eigenvalues > _rounding(eigenvalues)
    limit = 1 / jnp.where(moves, eigenvalues, jnp.inf)
    return (
        jnp.where(endless, jnp.where(moves, 0, 1), residual),
        jnp.where(endless, limit, displacement),
    )


def _rounding(eigenvalues: jax.Array) -> jax.Array:
    """The size below which an eigenvalue of a symmetric matrix is rounding."""
    eps = jnp.finfo(eigenvalues.dtype).eps
    return eigenvalues.shape[-1] * eps * jnp.abs(eigenvalues).max(-1, keepdims=True)


def _flow(eigenvalues, step, learning_rate):
    """r = e^{−λt} and g; expm1 keeps the digits of 1 − r where λt is small."""
    time = learning_rate * jnp.where(jnp.isinf(step), 0, step)
    zero = eigenvalues == 0
    rate = jnp.where(zero, jnp.inf, eigenvalues)
    displacement = -jnp.expm1(-eigenvalues * time) / rate
    return jnp.exp(-eigenvalues * time), jnp.where(zero, time, displacement)


def _descent(eigenvalues, step, learning_rate):
    """r = (1 − ηλ)ᵗ = ±exp(t log|1 − ηλ|); the sign is (−1)ᵗ for ηλ > 1."""
    step = jnp.where(jnp.isinf(step), 0, step)
    x = learning_rate * eigenvalues
    # |1 − x| is 1 − x or 1 − (2 − x): log1p is exact where it is close to 1
    shift = jnp.where(x > 1, 2 - x, x)
    # at ηλ = 1 the first step removes the residual; at step 0, −inf · 0 would be NaN
    exponent = jnp.where(step == 0, 0, step * jnp.log1p(-shift))
    odd = (x > 1) & (step % 2 == 1)
    size = jnp.exp(exponent)
    zero = eigenvalues == 0
    displacement = jnp.where(odd, 1 + size, -jnp.expm1(exponent))
    displacement = displacement / jnp.where(zero, jnp.inf, eigenvalues)
    return (
        jnp.where(odd, -size, size),
        jnp.where(zero, learning_rate * step, displacement),
    )


def _heavy_ball(eigenvalues, step, learning_rate, momentum):
    """First column of the t-th power of the step matrix on (r, u, g).

    u' = βu + r, r' = r − ηλu', g' = g + ηu'. The power is computed by repeated squaring
    and not by eigenvectors, which do not exist at critical damping. With g in the state
    there is no division by λ.
    """
    eta, beta = learning_rate, momentum
    x = eta * eigenvalues
    one, zero = jnp.ones_like(x), jnp.zeros_like(x)
    matrix = jnp.array(
        [
            [1 - x, -beta * x, zero],
            [one, beta * one, zero],
            [eta * one, eta * beta * one, one],
        ]
    )
    count = jnp.where(jnp.isinf(step), 0, step).astype(int)
    start = jnp.zeros((3, *jnp.broadcast_shapes(count.shape, x.shape)), x.dtype)

    def advance(bit, carry):
        power, state = carry
        # powers commute, so the bits of the step may be applied in any order
        moved = jnp.einsum("ijn,j...n->i...n", power, state)
        state = jnp.where((count >> bit) & 1, moved, state)
        return jnp.einsum("ijn,jkn->ikn", power, power), state

    _, state = jax.lax.fori_loop(0, STEP_BITS, advance, (matrix, start.at[0].set(1)))
    return state[0], state[2]


def _eigh(ntk: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Eigenvalues and eigenvectors of Θ/N, Θ (n, k, n, k) as a matrix."""
    rows = ntk.shape[0] * ntk.shape[1]
    return jnp.linalg.eigh(ntk.reshape(rows, rows) / ntk.shape[0])


@partial(jax.jit, static_argnames=("momentum", "flow", "weight_decay"))
def predict(
    ntk: ArrayLike,
    f0: ArrayLike,
    y: ArrayLike,
    step: ArrayLike,
    learning_rate: ArrayLike,
    *,
    momentum: float = 0.0,
    flow: bool = False,
    weight_decay: float = 0.0,
    ntk_test: ArrayLike | None = None,
    f0_test: ArrayLike | None = None,
    alpha: ArrayLike = 1.0,
) -> Linearized:
    """Outputs, loss and weight change of the linearised model.

    f(t) = y + U r_t Uᵀ(f₀ − y), f*(t) = f*₀ − (1/N) Θ_* U g_t Uᵀ(f₀ − y),
    ‖w_t − w₀‖² = (1/N) Σ λ g_t² c² with c = Uᵀ(f₀ − y) and Θ/N = UΛUᵀ. Weight decay
    λ' towards w₀ adds λ' to the eigenvalues of g and makes r = 1 − λg.

    Args:
        ntk: (n, k, n, k); or (n, 1, n, 1), traced, which stands for Θ ⊗ I_k.
        f0: (n, k) outputs at the initial parameters w₀.
        y: (n, k) labels.
        step: (t,) numbers of steps; inf for the fixed point.
        learning_rate: η; the time of the flow is η · step.
        momentum: β of v ← βv + ∇L, w ← w − ηv.
        flow: gradient flow instead of descent.
        weight_decay: λ' of the penalty ½λ'‖w − w₀‖².
        ntk_test: (m, k, n, k) or (m, 1, n, 1), with f0_test.
        f0_test: (m, k), with ntk_test.
        alpha: output scale α, with f = αh, `ntk` the kernel of h, and the loss divided
            by α². The outputs obey the same equation for every α; the weight change
            is proportional to 1/α.

    Returns:
        f_train (t, n, k), f_test (t, m, k) or None, loss (t,), weight_change (t,).
    """
    if (ntk_test is None) != (f0_test is None):
        raise ValueError("give both `ntk_test` and `f0_test`, or neither")
    ntk, f0, y = (jnp.asarray(a, float) for a in (ntk, f0, y))
    points, outputs = f0.shape
    check_shape(ntk, (points, outputs, points, outputs), "ntk")
    eigenvalues, vectors = _eigh(ntk)
    # (n·k, 1) for the full kernel, (n, k) for a traced one
    start = vectors.T @ (f0 - y).reshape(len(eigenvalues), -1)
    residual, displacement = gain(
        eigenvalues + weight_decay if weight_decay else eigenvalues,
        jnp.asarray(step, float).ravel(),
        learning_rate,
        momentum,
        flow,
    )
    if weight_decay:
        residual = 1 - eigenvalues[None] * displacement
    left = residual[..., None] * start[None]
    moved = displacement[..., None] * start[None]
    f_test = None
    if ntk_test is not None:
        f_test = _test_outputs(ntk_test, f0_test, vectors, moved, y.shape)
    # rounding may leave an eigenvalue of zero slightly negative
    travelled = (jnp.maximum(eigenvalues, 0)[None, :, None] * moved**2).sum((1, 2))
    return Linearized(
        f_train=y[None] + (vectors @ left).reshape(-1, *y.shape),
        f_test=f_test,
        loss=SQUARED.of_residual(left, points),
        weight_change=jnp.sqrt(travelled / points) / alpha,
    )


def _test_outputs(ntk_test, f0_test, vectors, moved, shape) -> jax.Array:
    ntk_test, f0_test = jnp.asarray(ntk_test, float), jnp.asarray(f0_test, float)
    points, outputs = shape
    check_shape(ntk_test, (len(f0_test), outputs, points, outputs), "ntk_test")
    rows = ntk_test.reshape(-1, len(vectors)) @ vectors / points
    return f0_test[None] - (rows @ moved).reshape(-1, *f0_test.shape)


def check_shape(ntk: jax.Array, full: tuple[int, ...], name: str) -> None:
    """Raise ValueError unless a kernel has the full or the traced shape."""
    traced = (full[0], 1, full[2], 1)
    if ntk.shape not in (full, traced):
        raise ValueError(
            f"`{name}` must be {full}, or {traced} if traced over outputs, to match "
            f"`f0`; its shape is {ntk.shape}"
        )


def max_learning_rate(
    ntk: ArrayLike,
    momentum: float = 0.0,
    curvature: float = 1.0,
    weight_decay: float = 0.0,
) -> float:
    """A stable learning rate of the linearised model, 2(1 + β)/(c·λ_max(Θ/N) + λ).

    The largest one if ∂²ℓ/∂f² = c at all outputs, as for the squared loss (c = 1).
    Other losses have a smaller second derivative at most outputs.

    Args:
        ntk: (n, k, n, k), or (n, 1, n, 1) traced.
        momentum: β of v ← βv + ∇L, w ← w − ηv.
        curvature: bound c on the eigenvalues of ∂²ℓ/∂f².
        weight_decay: λ of the penalty ½λ‖w‖² or ½λ‖w − w₀‖².
    """
    ntk = jnp.asarray(ntk, float)
    rows = ntk.shape[0] * ntk.shape[1]
    largest = jnp.linalg.eigvalsh(ntk.reshape(rows, rows) / ntk.shape[0])[-1]
    return float(2 * (1 + momentum) / (curvature * largest + weight_decay))


def linearize(apply: Callable, params: Any) -> Callable:
    """f_lin(w, x) = f(w₀, x) + J(w₀, x)(w − w₀), in weight space.

    Args:
        apply: f(params, x).
        params: w₀, a tree of arrays.
    """

    def f_lin(moved, x):
        change = jax.tree.map(jnp.subtract, moved, params)
        value, slope = jax.jvp(lambda p: apply(p, x), (params,), (change,))
        return value + slope

    return f_lin
