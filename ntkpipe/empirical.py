"""The empirical NTK, layer by layer in closed form.

For a dense layer z = s·h W + t·β the gradient of output i at input x with respect to
W is s·h(x) δ_i(x)ᵀ with δ_i = ∂f_i/∂z, hence

    Θ(x, x')_ij = Σ_l (η_l s_l² h_l(x)·h_l(x') + η'_l t_l²) (δ_li(x)·δ_lj(x')),

where η_l, η'_l are the layer's relative learning rates (1 unless the parametrisation
says otherwise), so that Θ is the kernel that gradient descent follows. One forward
and one backward pass give h and δ; no Jacobian is ever formed
(Novak, Sohl-Dickstein & Schoenholz 2022, "structured derivatives").

A kernel of n × m points and k outputs is an array (n k m k), also for k = 1; traced
over outputs it is (n 1 m 1) and means tr_k(Θ)/k.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from ntkpipe.models import Scale, dense

Array = jax.Array
Apply = Callable[..., Array]


class Signals(NamedTuple):
    """What one dense layer saw: inputs h (n p) and backward signals δ (k n q)."""

    h: Array
    delta: Array
    scale: Scale


jax.tree_util.register_pytree_node(
    Signals,
    lambda s: ((s.h, s.delta), s.scale),
    lambda scale, arrays: Signals(*arrays, scale),
)


def signals(apply: Apply, params, x: Array) -> tuple[Array, dict[str, Signals]]:
    """Outputs (n k) and the signals of each dense layer, in the order of the layers.

    A zero is added to each pre-activation; the derivative with respect to it is δ.
    """
    shapes, scales = {}, {}

    def look(name, h, layer, scale):
        if name in shapes:
            raise ValueError(f"two layers are called {name!r}: give each its own name")
        z = dense(name, h, layer, scale)
        shapes[name], scales[name] = z, scale
        return z

    jax.eval_shape(lambda params, x: apply(params, x, look), params, x)
    zeros = {name: jnp.zeros(z.shape, z.dtype) for name, z in shapes.items()}

    def tapped(taps):
        inputs = {}

        def listen(name, h, layer, scale):
            inputs[name] = h
            return dense(name, h, layer, scale) + taps[name]

        return apply(params, x, listen), inputs

    y, pullback, inputs = jax.vjp(tapped, zeros, has_aux=True)
    basis = jnp.broadcast_to(
        jnp.eye(y.shape[1], dtype=y.dtype)[:, None], (y.shape[1], *y.shape)
    )
    (deltas,) = jax.vmap(pullback)(basis)
    return y, {n: Signals(inputs[n], deltas[n], scales[n]) for n in shapes}


def layer_block(s1: Signals, s2: Signals, outputs: str = "full") -> Array:
    """One layer's part of Θ between two sets of points, (n k m k) or (n 1 m 1)."""
    scale = s1.scale
    inner = scale.lr_w * scale.w**2 * _dot("np,mp->nm", s1.h, s2.h)
    inner = inner + scale.lr_b * scale.b**2
    if outputs == "trace":
        outer = _dot("knq,kmq->nm", s1.delta, s2.delta) / s1.delta.shape[0]
        return (inner * outer)[:, None, :, None]
    outer = _dot("inq,jmq->injm", s1.delta, s2.delta)
    return jnp.einsum("nm,injm->nimj", inner, outer)


def block(sites1, sites2, outputs: str = "full") -> Array:
    """Θ between two sets of points from their signals: the sum over layers."""
    return sum(layer_block(sites1[n], sites2[n], outputs) for n in sites1)


@partial(jax.jit, static_argnames=("apply", "outputs"))
def ntk(
    apply: Apply,
    params,
    x1: Array,
    x2: Array | None = None,
    outputs: Literal["full", "trace"] = "full",
) -> Array:
    """The empirical NTK Θ(x1, x2), (n k m k), or (n 1 m 1) with `outputs="trace"`.

    Args:
        apply: network `apply(params, x, site)` written in `models.dense`.
        params: its parameters.
        x1: points (n d).
        x2: points (m d); default x1.
        outputs: `full`, or `trace` over outputs divided by k.
    """
    _, sites1 = signals(apply, params, x1)
    sites2 = sites1 if x2 is None else signals(apply, params, x2)[1]
    return block(sites1, sites2, outputs)


def last_layer(sites: dict[str, Signals]) -> Array:
    """The last layer's part of Θ, traced: s² h·h' + t², the empirical NNGP, (n n).

    It is the "Σ part" of Θ, the same for each output; the rest holds derivatives of
    the activation, the "Σ̇ part". Sites are named `layer.copy`.
    """
    depth = max(int(name.split(".")[0]) for name in sites)
    last = [s for name, s in sites.items() if name.split(".")[0] == str(depth)]
    return sum(layer_block(s, s, "trace") for s in last)[:, 0, :, 0]


def ntk_vector_product(apply: Apply, params, x: Array, v: Array, rates=None) -> Array:
    """Θ(x, x) v for v (n k), by one vjp and one jvp; works for any `apply`.

    `rates` are relative learning rates, a tree like `params` (default 1).
    """

    def f(params):
        return apply(params, x)

    _, pullback = jax.vjp(f, params)
    (g,) = pullback(v)
    if rates is not None:
        g = jax.tree.map(jnp.multiply, g, rates)
    return jax.jvp(f, (params,), (g,))[1]


def matrix(kernel):
    """The kernel (n k m j) as the matrix (nk mj)."""
    n, k, m, j = kernel.shape[-4:]
    return kernel.reshape(*kernel.shape[:-4], n * k, m * j)


_dot = partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)
