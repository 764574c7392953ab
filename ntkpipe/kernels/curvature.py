"""The norm of the Hessian of an output, and κ = ‖∇²f‖/‖∇f‖².

If κ → 0 as the width grows, the network stays linear in its weights during training
(Chizat, Oyallon & Bach 2019; Liu, Zhu & Belkin 2020, 2010.01092: the
norm of the Hessian is O(1/√n), that of the gradient O(1)).

For a dense layer z = s·h W + t·β the gradient of f at one input is s·h δᵀ, so that
∇²f in any direction is s·(ḣ δᵀ + h δ̇ᵀ). It is an element of {a δᵀ + h bᵀ}, which has
n_in + n_out coordinates instead of n_in·n_out. For h ⊥ a, with δ and h normalised,
(a, b) ↦ W is an isometry E, and Eᵀ∇²f E has all non-zero eigenvalues of ∇²f. Lanczos
runs on the coordinates (a, b). One product with Eᵀ∇²f E takes two products with each W,
and no further n × n array is formed. The layers are those of `kernels.uses`.

Derivatives are with respect to u = w/√η, η the relative learning rates, a tree of
numbers like the parameters. In u, gradient descent has one learning rate and
Θ(x, x) = ‖∇_u f‖². If all relative rates are 1, their default, u are the weights.
"""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from ntkpipe.kernels import jaxprs, uses
from ntkpipe.kernels.signals import Signals, learning_rates, signals
from ntkpipe.kernels.uses import Apply
from ntkpipe.models.activations import ACTIVATIONS
from ntkpipe.models.base import ModelKind
from ntkpipe.models.dense import dense

Array = jax.Array


class Curvature(NamedTuple):
    """At each point, for each output; ‖∇²f‖ is the largest |eigenvalue|."""

    hessian_norm: Array  # (n k) ‖∇²f‖
    gradient_norm: Array  # (n k) ‖∇f‖
    kappa: Array  # (n k) ‖∇²f‖/‖∇f‖²
    error: Array  # (n k) some eigenvalue of ∇²f is ± the norm within this error


class Joint(NamedTuple):
    """At each point, for all outputs together: max over unit c of ‖∇²(c·f)‖."""

    hessian_norm: Array  # (n,)
    direction: Array  # (n k) the unit vector c
    error: Array  # (n,)


def curvature(
    apply: Apply,
    params,
    x: Array,
    *,
    iterations: int = 32,
    key: Array | None = None,
    rates=None,
) -> Curvature:
    """‖∇²f_i(x)‖, ‖∇f_i(x)‖ and κ of every output i at every point, by Lanczos.

    About 20 iterations give six digits; `error` is the accuracy reached.

    Args:
        apply: network `apply(params, x)`; every parameter is read by exactly one layer.
        params: its parameters.
        x: points (n d), all computed at the same time.
        iterations: number of Lanczos steps, each one product with the Hessian.
        key: random key of the start vector; default key 0.
        rates: relative learning rates, a tree of numbers like `params`; default 1.

    Raises:
        ValueError: a parameter is not read by exactly one layer.
    """
    key = jax.random.key(0) if key is None else key
    return of_points(apply, params, x, key, iterations, learning_rates(params, rates))


@partial(jax.jit, static_argnames=("apply", "iterations", "rates"))
@jax.default_matmul_precision("highest")
def of_points(apply, params, x, key, iterations, rates) -> Curvature:
    """`curvature`, compiled."""
    y = jax.eval_shape(apply, params, x)
    units = jnp.eye(y.shape[1], dtype=y.dtype)

    def at(point, unit):
        norm, error, _, gradient = _norm(
            apply, params, point, unit, iterations, key, rates
        )
        return norm, gradient, error

    over_outputs = jax.vmap(at, (None, 0))
    norm, gradient, error = jax.vmap(over_outputs, (0, None))(x, units)
    return Curvature(norm, gradient, norm / gradient**2, error)


def joint(
    apply: Apply,
    params,
    x: Array,
    *,
    iterations: int = 32,
    rounds: int = 24,
    key: Array | None = None,
    rates=None,
) -> Joint:
    """The norm of the (P P k) array ∇²f(x): max ∇²f(u, u)·c over unit u and c.

    Alternate two steps: u is the eigenvector of ∇²(c·f) with the largest |eigenvalue|,
    then c ∝ (uᵀ∇²f_i u)_i. The value never decreases. The alternation starts once from
    each output, and the largest value is kept. It is a lower bound of the maximum.

    Args:
        apply: network `apply(params, x)`, see `curvature`.
        params: its parameters.
        x: points (n d).
        iterations: Lanczos steps in each round.
        rounds: number of alternations, each reducing the error by a constant factor.
        key: random key of the start vector; default key 0.
        rates: relative learning rates, a tree of numbers like `params`; default 1.

    Source: higher-order power method, De Lathauwer, De Moor & Vandewalle 2000.
    """
    key = jax.random.key(0) if key is None else key
    rates = learning_rates(params, rates)
    return _joint(apply, params, x, key, iterations, rounds, rates)


@partial(jax.jit, static_argnames=("apply", "iterations", "rounds", "rates"))
@jax.default_matmul_precision("highest")
def _joint(apply, params, x, key, iterations, rounds, rates) -> Joint:
    y = jax.eval_shape(apply, params, x)
    units = jnp.eye(y.shape[1], dtype=y.dtype)

    def climb(point, unit):
        def step(_, carry):
            unit = carry[0]
            norm, error, along, _ = _norm(
                apply, params, point, unit, iterations, key, rates
            )
            size = jnp.linalg.norm(along)
            after = jnp.where(size > 0, along / size, unit)
            return after, unit, norm, error

        zero = jnp.zeros((), unit.dtype)
        _, unit, norm, error = jax.lax.fori_loop(
            0, rounds, step, (unit, unit, zero, zero)
        )
        return norm, unit, error

    def at(point):
        norm, unit, error = jax.vmap(climb, (None, 0))(point, units)
        best = jnp.argmax(norm)
        return Joint(norm[best], unit[best], error[best])

    return jax.vmap(at)(x)


class _Frame(NamedTuple):
    """E of one layer: (a, b, c) ↦ weights (1 − ĥĥᵀ) a δ̂ᵀ + ĥ bᵀ and biases c."""

    h: Array  # ĥ (p,)
    delta: Array  # δ̂ (q,)
    weight: float  # s √η
    bias: float  # the same of the biases

    def coordinates(self) -> dict[str, Array]:
        names = {"a": self.h, "b": self.delta}
        if self.bias:
            names["c"] = self.delta
        return jax.tree.map(jnp.zeros_like, names)

    def shift(self, move: dict[str, Array], h: Array) -> Array:
        """The change (q,) of the pre-activations of an input h (p,) under the move."""
        a = move["a"] - self.h * (self.h @ move["a"])
        z = self.weight * ((h @ a) * self.delta + (h @ self.h) * move["b"])
        return z + self.bias * move["c"] if "c" in move else z


def _frame(layer: Signals, unit: Array) -> _Frame:
    weight, bias = layer.scale * math.sqrt(layer.rate), math.sqrt(layer.bias)
    h, delta = _direction(layer.h[0]), _direction(unit @ layer.delta[0])
    return _Frame(h, delta, weight, bias)


def _direction(v: Array) -> Array:
    """v/‖v‖, or 0."""
    norm = jnp.linalg.norm(v)
    return v / jnp.where(norm > 0, norm, jnp.inf)


def _norm(apply, params, point, unit, iterations, key, rates):
    """‖∇²(c·f)‖, its error, (uᵀ∇²f_i u)_i of the eigenvector u, and ‖∇(c·f)‖."""
    x = point[None]
    network = uses.trace(apply, params, x)
    _, found = signals(apply, params, x, rates)
    if others := [name for name, s in found.items() if s.form != "layer"]:
        raise ValueError(
            f"the Hessian with respect to {', '.join(others)} has no compact form: "
            "every parameter must be read by one dense layer, and by one only"
        )
    frames = {
        path: _frame(found[network.names[use.leaf]], unit)
        for path, use in network.uses.items()
    }
    zeros, unravel = ravel_pytree(
        {path: frame.coordinates() for path, frame in frames.items()}
    )
    leaves, jaxpr = jax.tree.leaves(params), network.jaxpr

    def shifted(path, move, operands, z):
        use = network.uses[path]
        h = use.layout.inputs(operands[1 - use.operand])
        return z + frames[path].shift(move, h[0, 0]).reshape(z.shape), ()

    def f(flat):
        moves = unravel(flat)
        arguments = [*leaves, point]
        out, _ = jaxprs.run(jaxpr.jaxpr, jaxpr.consts, arguments, moves, shifted)
        return out[0][0]

    gradient, product = jax.linearize(jax.grad(lambda flat: f(flat) @ unit), zeros)
    start = jax.random.normal(key, zeros.shape, zeros.dtype)
    value, error, vector = lanczos(product, start, iterations)

    def slope(flat):
        return jax.jvp(f, (flat,), (vector,))[1]

    along = jax.jvp(slope, (zeros,), (vector,))[1]
    return jnp.abs(value), error, along, jnp.linalg.norm(gradient)


def lanczos(
    product, start: Array, iterations: int, order=jnp.abs
) -> tuple[Array, Array, Array]:
    """The eigenvalue that is last in `order`, its residual norm, and its eigenvector.

    By default the eigenvalue of largest size.

    Every vector is reorthogonalised twice, which is enough (Kahan and Parlett). If the
    Krylov space is exhausted, the remaining basis vectors are zero and add eigenvalues
    of zero.
    """
    steps = min(iterations, start.size)
    tiny = 100 * jnp.finfo(start.dtype).eps

    def step(i, carry):
        basis, alpha, beta, scale = carry
        w = product(basis[i])
        along = w @ basis[i]
        scale = jnp.maximum(scale, jnp.linalg.norm(w))
        for _ in range(2):
            w = w - (basis @ w) @ basis
        size = jnp.linalg.norm(w)
        size = jnp.where(size > tiny * scale, size, 0)
        after = w / jnp.where(size > 0, size, jnp.inf)
        return (
            basis.at[i + 1].set(after),
            alpha.at[i].set(along),
            beta.at[i].set(size),
            scale,
        )

    zeros = jnp.zeros(steps, start.dtype)
    basis = jnp.zeros((steps + 1, start.size), start.dtype)
    basis = basis.at[0].set(start / jnp.linalg.norm(start))
    carry = (basis, zeros, zeros, jnp.zeros((), start.dtype))
    basis, alpha, beta, _ = jax.lax.fori_loop(0, steps, step, carry)
    matrix = jnp.diag(alpha) + jnp.diag(beta[:-1], 1) + jnp.diag(beta[:-1], -1)
    values, vectors = jnp.linalg.eigh(matrix)
    best = jnp.argmax(order(values))
    error = jnp.abs(beta[-1] * vectors[-1, best])
    return values[best], error, vectors[:, best] @ basis[:-1]


def whole(apply: Apply, params, x: Array, rates=None) -> Curvature:
    """`curvature` of any model with few weights P, from its P × P Hessians."""
    flat, unravel = ravel_pytree(params)
    # the coordinates u = w/√η of the module's docstring
    leaves, tree = jax.tree.flatten(params)
    each = map(jnp.full_like, leaves, learning_rates(params, rates))
    root = jnp.sqrt(ravel_pytree(jax.tree.unflatten(tree, [*each]))[0])[None, None]

    def f(flat, point):
        return apply(unravel(flat), point[None]).squeeze(0)

    hessian = jax.vmap(jax.hessian(f), (None, 0))(flat, x)  # (n k P P)
    scaled = root[..., None] * hessian * root[..., None, :]
    norm = jnp.abs(jnp.linalg.eigvalsh(scaled)).max(-1)
    jacobian = jax.vmap(jax.jacrev(f), (None, 0))(flat, x)
    gradient = jnp.linalg.norm(root * jacobian, axis=-1)
    return Curvature(norm, gradient, norm / gradient**2, jnp.zeros_like(norm))


@partial(jax.jit, static_argnames="model")
def of_model(model: ModelKind, params, x: Array) -> Curvature:
    """`curvature` of the package's models, by the cheapest method."""
    return model.curvature(params, x)


def one_hidden_layer(model: Any, params, x: Array) -> Curvature:
    """`curvature` of a network with one hidden layer, in closed form; any width.

    f = s₂ Σ_j v_j φ(z_j) + …, and z_j depends only on the weights of unit j, along one
    direction. The Hessian thus has one block [[p, q], [q, 0]] for each unit, with
    p = s₂ v_j φ'' G, q = s₂ φ' √G and G = ‖∇z_j‖² = s₁²‖x‖² + t₁² (times the learning
    rates; t₁ = 0 without biases). Its eigenvalue of largest size is
    (|p| + √(p² + 4 q²))/2.

    Args:
        model: an `MLP` of depth 1.
        params: its parameters.
        x: points (n d).

    Returns:
        Curvature with `error` 0.
    """
    copies = [_units(model, layers, x) for layers in params]
    norm = jnp.stack([_largest(p, q[..., None]) for p, q, _ in copies]).max(0)
    square = sum(gradient for _, _, gradient in copies)
    if len(params) == 2:  # f = (f₁ − f₂)/√2
        norm, square = norm / math.sqrt(2), square / 2
    return Curvature(norm, jnp.sqrt(square), norm / square, jnp.zeros_like(norm))


@partial(jax.jit, static_argnames="model")
def one_hidden_layer_joint(model: Any, params, x: Array) -> Array:
    """Hessian norm of `joint`, (n,): the block of unit j is largest for c ∥ v_j."""
    copies = [_units(model, layers, x) for layers in params]
    norm = jnp.stack([_largest(jnp.linalg.norm(p, axis=-1), q) for p, q, _ in copies])
    return norm.max(0) / math.sqrt(len(params))


@jax.default_matmul_precision("highest")
def _units(model: Any, layers, x: Array) -> tuple[Array, Array, Array]:
    """Block entries p (n m k) and q (n m) of m units, and ‖∇f‖² (n k)."""
    if model.depth != 1:
        raise ValueError(
            f"the closed form needs depth: 1, the model has depth: {model.depth}; use "
            "`curvature`"
        )
    hidden, last = layers
    (w1, b1), (w2, b2) = model.multipliers(0, hidden), model.multipliers(1, last)
    (rates1, rates2), *_ = model.learning_rates((layers,))
    z = dense(x, hidden, w1, b1)
    phi = ACTIVATIONS[model.activation]
    one = jnp.ones_like(z)

    def slope(z):
        return jax.jvp(phi, (z,), (one,))[1]

    d1, d2 = jax.jvp(slope, (z,), (one,))
    bias1, bias2 = rates1.get("b", 0) * b1**2, rates2.get("b", 0) * b2**2
    g = rates1["w"] * w1**2 * jnp.sum(x**2, 1) + bias1
    reach = w2 * math.sqrt(rates2["w"])
    p = w2 * (g[:, None] * d2)[..., None] * last["w"][None]
    q = reach * jnp.sqrt(g)[:, None] * d1
    inner = g[:, None] * w2**2 * (d1**2 @ last["w"] ** 2)
    outer = reach**2 * jnp.sum(phi(z) ** 2, 1) + bias2
    return p, q, inner + outer[:, None]


def _largest(p: Array, q: Array) -> Array:
    """Largest |eigenvalue| of [[p, q], [q, 0]], over the second axis (units)."""
    return (jnp.abs(p) + jnp.sqrt(p**2 + 4 * q**2)).max(1) / 2
