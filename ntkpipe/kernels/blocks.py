"""Θ between two sets of points from their signals.

    Θ(x, x')_ij = Σ_l η_l ∂f_i/∂w_l · ∂f'_j/∂w_l

over all parameters w_l, where η_l are their relative learning rates, 1 by default.
Because of them Θ is the kernel of gradient descent in every parametrisation. The part
of a layer is (η s² h·h' + t²)(δ_i·δ'_j), see `signals`.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp

from ntkpipe.kernels.signals import Array, Cost, Layers, Outputs, Signals

LEAF = 256
"""Diagonal blocks of at most this many rows N·k are computed whole, not by halves."""
FEW = 1024
"""Jacobians of at most this many columns are joined.

Joining large Jacobians takes longer than their products: 574 ms instead of 238 for an
attention network of 256 points.
"""


def block(signals1, signals2, outputs: Outputs = "full", layers: Layers = "sum"):
    """Θ between two sets of points, (n k m k) or (n 1 m 1), the sum of all parts.

    With `layers="each"`, the result is a dict of the parameters' parts.
    """
    if layers == "each":
        return {name: part(s, signals2[name], outputs) for name, s in signals1.items()}
    learned = [name for name, s in signals1.items() if s.rate or s.bias]
    # if all parameters are fixed, Θ is zero
    names = learned or list(signals1)[:1]
    return sum(part(signals1[name], signals2[name], outputs) for name in names)


def part(s1: Signals, s2: Signals, outputs: Outputs = "full") -> Array:
    """One parameter's part of Θ between two sets of points, (n k m k) or (n 1 m 1)."""
    weight = s1.rate * s1.scale**2
    if s1.form == "jacobian":
        return weight * _outer(s1.delta, s2.delta, outputs)
    if s1.form == "layer":
        inner = weight * _dot(s1.h, s2.h) + s1.bias
        return inner[:, None, :, None] * _outer(s1.delta, s2.delta, outputs)
    return weight * _over_positions(s1, s2, outputs)


def _outer(d1: Array, d2: Array, outputs: Outputs) -> Array:
    """δ_i·δ'_j (n k m k), or its mean over i = j (n 1 m 1)."""
    (n, k, q), m = d1.shape, len(d2)
    if outputs == "trace":
        outer = _dot(d1.reshape(n, -1), d2.reshape(m, -1)) / k
        return outer[:, None, :, None]
    # a matrix product: for an einsum of δ, XLA would transpose factors and product
    return _dot(d1.reshape(-1, q), d2.reshape(-1, q)).reshape(n, k, m, k)


def _over_positions(s1: Signals, s2: Signals, outputs: Outputs) -> Array:
    """Σ_tsg (h_tg·h'_sg)(δ_tg·δ'_sg); for rows, over the pairs t, s of equal rows."""
    k = s1.delta.shape[1]
    if s1.form == "rows":
        same = s1.h[:, :, None, None] == s2.h[None, None]
        inner = same.astype(s1.delta.dtype)[..., None]  # (n t m s g)
        d1, d2 = (s.delta[:, :, :, None] for s in (s1, s2))
    else:
        inner = _einsum("ntga,msga->ntmsg", s1.h, s2.h)
        d1, d2 = s1.delta, s2.delta
    if outputs == "trace":
        outer = _einsum("nktgb,mksgb->ntmsg", d1, d2) / k
        return jnp.sum(inner * outer, (1, 3, 4))[:, None, :, None]
    outer = _einsum("nktgb,mjsgb->nktmjsg", d1, d2)
    return jnp.sum(inner[:, None, :, :, None] * outer, (2, 5, 6))


def is_few(s: Signals) -> bool:
    """Whether a Jacobian is joined with others."""
    return s.form == "jacobian" and s.delta.shape[-1] <= FEW


def joined(signals: dict[str, Signals]) -> dict[str, Signals]:
    """Signals of the same Θ, in which the Jacobians of few columns are joined."""
    few = {name: s for name, s in signals.items() if is_few(s)}
    if len(few) < 2:
        return signals
    first = next(iter(few.values()))
    columns = [
        s.delta if (w := math.sqrt(s.rate) * s.scale) == 1 else w * s.delta
        for s in few.values()
    ]
    cost = Cost(*map(sum, zip(*(s.cost for s in few.values()), strict=True)))
    whole = first._replace(
        delta=jnp.concatenate(columns, -1), scale=1.0, rate=1.0, cost=cost
    )
    rest = {name: s for name, s in signals.items() if name not in few}
    return rest | {" ".join(few): whole}


def last_layer(signals: dict[str, Signals]) -> Array:
    """The empirical NNGP s² h·h' + t², the last layer's part of Θ traced, (n n).

    The last layer's part of Θ is its "Σ part", which is the same for each output. The
    other layers' parts contain derivatives of the activation; their sum is the "Σ̇
    part". If the last layer is not learned, Θ has no Σ part, and the NNGP is computed
    as if the layer were learned. Without layers the result is empty, (0 0).
    """
    layers = [s for s in signals.values() if s.form == "layer"]
    if not layers:
        return jnp.zeros((0, 0))
    depth = max(s.depth for s in signals.values())
    last = [s if s.rate else s._replace(rate=1.0) for s in layers if s.depth == depth]
    if not last:
        return jnp.zeros((0, 0))
    return sum(part(s, s, "trace") for s in last).squeeze((1, 3))  # type: ignore[union-attr]


_dot = partial(jnp.einsum, "ap,bp->ab", precision=jax.lax.Precision.HIGHEST)
_einsum = partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)
