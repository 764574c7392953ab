"""The linearised model under any loss, trained exactly in function space.

    L(w) = Σ_i p_i ℓ(f(x_i), y_i)/α² + ½λ (w − w_*)ᵀ R⁻¹ (w − w_*),   w_* = w₀ or 0

With R the relative learning rates, J the Jacobian of h at w₀, f = αh and Θ = J R Jᵀ,
the weights of the linearised model stay

    w − w₀ = (c − 1) w₀ − R Jᵀ a/(Nα),   f = f₀ + (c − 1) α J w₀ − Θ a/N,

so that a (n k) and the number c are all that training changes. Weights never appear.
With g_i = N p_i ∂ℓ/∂f(x_i), a step of the heavy ball is a product with Θ, 2 N² k² FLOP
(2 N² k if Θ is traced):

    v ← βv + g − λa,  a ← a + ηv;   u ← βu + λc,  c ← c − ηu  (c = 1 for w_* = w₀).

Gradient flow has ȧ = g − λa and c = e^{−λt}. The squared loss has a closed form in
`linear`. Adam and sign descent act on single weights and have no such state.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from ntkpipe.kernels.linear import Linearized, check_shape
from ntkpipe.training.losses.base import BaseLoss

RTOL, ATOL = 1e-10, 1e-12
"""Errors of a step of the flow, relative to a and absolute."""

Weights = Callable[[jax.Array], jax.Array]
"""Step ↦ p (n,), the weights of the points in that step, such as 1/B on a batch."""


class Origin(NamedTuple):
    """What decay to w = 0 needs of w₀, of the weights that are learned."""

    train: Any
    """α J w₀ at training points, (n k)."""
    test: Any
    """The same at test points, (m k)."""
    square: Any
    """w₀ᵀ R⁻¹ w₀."""


class States(NamedTuple):
    """a (t n k) and c (t,) at the given steps."""

    a: jax.Array
    c: jax.Array


def train(
    ntk: ArrayLike,
    f0: ArrayLike,
    y: ArrayLike,
    step: ArrayLike,
    learning_rate: float,
    *,
    loss: BaseLoss,
    momentum: float = 0.0,
    flow: bool = False,
    weight_decay: float = 0.0,
    origin: Origin | None = None,
    weights: Weights | None = None,
    ntk_test: ArrayLike | None = None,
    f0_test: ArrayLike | None = None,
    alpha: float = 1.0,
) -> Linearized:
    """Outputs, loss and weight change of the linearised model under any loss.

    Args:
        ntk: (n, k, n, k); or (n, 1, n, 1), traced, which stands for Θ ⊗ I_k.
        f0: (n, k) outputs at the initial parameters w₀.
        y: (n, k) targets.
        step: (t,) numbers of steps, ascending and finite.
        learning_rate: η; the time of the flow is η · step.
        loss: what is minimised, without the penalty.
        momentum: β of v ← βv + ∇L, w ← w − ηv.
        flow: gradient flow instead of descent.
        weight_decay: λ, towards w₀, or towards 0 with `origin`.
        origin: what decay to 0 needs.
        weights: weights of the points in a step, by default 1/N.
        ntk_test: (m, k, n, k) or (m, 1, n, 1), with f0_test.
        f0_test: (m, k), with ntk_test.
        alpha: output scale α, with f = αh and `ntk` the kernel of h.

    Returns:
        f_train (t, n, k), f_test (t, m, k) or None, loss (t,), and weight_change (t,),
        the norm ‖R^−½(w − w₀)‖.

    Raises:
        ValueError: shapes differ, a step is infinite, or the flow has momentum or
            weights.
    """
    if (ntk_test is None) != (f0_test is None):
        raise ValueError("give both `ntk_test` and `f0_test`, or neither")
    if flow and (momentum or weights):
        raise ValueError("gradient flow has neither `momentum` nor `weights`")
    if not np.isfinite(step).all():
        raise ValueError("`step` must be finite: only `linear` has fixed points")
    ntk, f0, y = (jnp.asarray(a, float) for a in (ntk, f0, y))
    check_shape(ntk, (*f0.shape, *f0.shape), "ntk")
    if flow:
        state = flow_states(ntk, f0, y, step, learning_rate, loss, weight_decay, origin)
    else:
        state = descent_states(
            *(ntk, f0, y, step, learning_rate, loss),
            momentum=momentum,
            weight_decay=weight_decay,
            origin=origin,
            weights=weights,
        )
    f_train = _outputs(ntk, f0, state, origin and origin.train)
    f_test = None
    if ntk_test is not None:
        ntk_test, f0_test = jnp.asarray(ntk_test, float), jnp.asarray(f0_test, float)
        check_shape(ntk_test, (*f0_test.shape, *f0.shape), "ntk_test")
        f_test = _outputs(ntk_test, f0_test, state, origin and origin.test)
    # aᵀΘa/N = a·(f₀ + (c − 1) αJw₀ − f)
    fallen = f0[None] - f_train
    moved = jnp.zeros(())
    if origin is not None:
        pull = jnp.einsum("t,nk->tnk", state.c - 1, jnp.asarray(origin.train, float))
        fallen = fallen + pull
        moved = (state.c - 1) ** 2 * origin.square
        moved -= 2 * (state.a * pull).sum((1, 2)) / (len(y) * alpha**2)
    square = (state.a * fallen).sum((1, 2)) / (len(y) * alpha**2) + moved
    # rounding may leave a square of zero slightly negative
    change = jnp.sqrt(jnp.maximum(square, 0))
    return Linearized(f_train, f_test, loss.value(f_train, y), change)


@partial(jax.jit, static_argnames=("loss", "weights"))
def descent_states(
    ntk: jax.Array,
    f0: jax.Array,
    y: jax.Array,
    step: ArrayLike,
    learning_rate: ArrayLike,
    loss: BaseLoss,
    *,
    momentum: ArrayLike = 0.0,
    weight_decay: ArrayLike = 0.0,
    origin: Origin | None = None,
    weights: Weights | None = None,
) -> States:
    """a and c of gradient descent, perhaps with momentum; arguments as of `train`."""

    def advance(index, carry):
        a, v, c, u = carry
        f = _output(ntk, f0, a, c, origin and origin.train)
        p = None if weights is None else weights(index)
        v = momentum * v + len(y) * loss.gradient(f, y, weights=p) - weight_decay * a
        u = momentum * u + weight_decay * c
        return a + learning_rate * v, v, c - learning_rate * u, u

    def until(carry, end):
        begin, state = carry
        state = jax.lax.fori_loop(begin, end, advance, state)
        return (end, state), (state[0], state[2])

    ends = jnp.asarray(step).astype(int)
    zero, one = jnp.zeros_like(f0), jnp.ones((), f0.dtype)
    start = jnp.zeros((), ends.dtype), (zero, zero, one, 0 * one)
    return States(*jax.lax.scan(until, start, ends)[1])


def flow_states(
    ntk: jax.Array,
    f0: jax.Array,
    y: jax.Array,
    step: ArrayLike,
    learning_rate: float,
    loss: BaseLoss,
    weight_decay: float = 0.0,
    origin: Origin | None = None,
) -> States:
    """a and c of gradient flow by Dormand and Prince's method of order 8.

    The method is explicit. Its number of steps grows like that of gradient descent at
    the largest stable learning rate.
    """
    from scipy.integrate import solve_ivp

    times = learning_rate * np.asarray(step, float)
    c = np.exp(-weight_decay * times)
    if not times.any():
        return States(jnp.zeros((len(times), *f0.shape), f0.dtype), jnp.asarray(c))
    train = None if origin is None else origin.train

    def slope(time, a):
        a = a.reshape(f0.shape)
        return np.ravel(_flow_slope(ntk, f0, y, train, weight_decay, time, a, loss))

    solved = solve_ivp(
        slope,
        (0.0, times[-1]),
        np.zeros(f0.size),
        method="DOP853",
        t_eval=times,
        rtol=RTOL,
        atol=ATOL,
    )
    if not solved.success:
        raise ArithmeticError(f"gradient flow: {solved.message}")
    return States(jnp.asarray(solved.y.T.reshape(-1, *f0.shape)), jnp.asarray(c))


@partial(jax.jit, static_argnames="loss")
def _flow_slope(ntk, f0, y, train, weight_decay, time, a, loss):
    """ȧ = g − λa."""
    f = _output(ntk, f0, a, jnp.exp(-weight_decay * time), train)
    return len(y) * loss.gradient(f, y) - weight_decay * a


def _output(ntk, f0, a, c, push):
    """f₀ + (c − 1) αJw₀ − Θa/N of the kernel (p k n k) or (p 1 n 1) and a (n k)."""
    points, outputs = len(a), ntk.shape[1]
    rows = ntk.reshape(len(ntk) * outputs, points * outputs)
    f = f0 - (rows @ a.reshape(points * outputs, -1)).reshape(f0.shape) / points
    return f if push is None else f + (c - 1) * push


@jax.jit
def _outputs(ntk, f0, states, push):
    """`_output` at all steps."""
    return jax.lax.map(lambda at: _output(ntk, f0, at.a, at.c, push), states)
