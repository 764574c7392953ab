"""Θ between two sets of points from the signals of the layers.

    Θ(x, x')_ij = Σ_l (η_l s_l² h_l(x)·h_l(x') + η'_l t_l²) (δ_li(x)·δ_lj(x')),

where η_l, η'_l are the layer's relative learning rates, 1 in most parametrisations.
Because of them Θ is the kernel of gradient descent in every parametrisation.
"""

from functools import partial

import jax
import jax.numpy as jnp

from ntkpipe.kernels.taps import Array, Layers, Outputs, Signals

LEAF = 256
"""Diagonal blocks of at most this many rows N·k are computed whole, not by halves."""


def layer_block(s1: Signals, s2: Signals, outputs: Outputs = "full") -> Array:
    """One layer's part of Θ between two sets of points, (n k m k) or (n 1 m 1)."""
    scale = s1.scale
    inner = scale.lr_w * scale.w**2 * _dot(s1.h, s2.h)
    inner = (inner + scale.lr_b * scale.b**2)[:, None, :, None]
    (n, k, _), (m, _, q) = s1.delta.shape, s2.delta.shape
    if outputs == "trace":
        outer = _dot(s1.delta.reshape(n, -1), s2.delta.reshape(m, -1)) / k
        return inner * outer[:, None, :, None]
    # a matrix product: for an einsum of δ, XLA would transpose factors and product
    outer = _dot(s1.delta.reshape(-1, q), s2.delta.reshape(-1, q))
    return inner * outer.reshape(n, k, m, k)


def block(sites1, sites2, outputs: Outputs = "full", layers: Layers = "sum"):
    """Θ between two sets of points, the sum over layers of `layer_block`.

    With `layers="each"`, the result is a dict of the layers' parts.
    """
    parts = {name: layer_block(sites1[name], sites2[name], outputs) for name in sites1}
    return sum(parts.values()) if layers == "sum" else parts


def last_layer(sites: dict[str, Signals]) -> Array:
    """The empirical NNGP s² h·h' + t², the last layer's part of Θ traced, (n n).

    The last layer's part of Θ is its "Σ part", which is the same for each output. The
    other layers' parts contain derivatives of the activation; their sum is the "Σ̇
    part". If the last layer is not learned, Θ has no Σ part, and the NNGP is computed
    as if the layer were learned. Sites are named `layer.copy`. Without dense layers the
    result is empty, (0 0).
    """
    layer = {name: name.split(".")[0] for name in sites}
    depth = max((int(n) for n in layer.values() if n.isdigit()), default=None)
    if depth is None:
        return jnp.zeros((0, 0))
    last = [s for name, s in sites.items() if layer[name] == str(depth)]
    last = [
        s if s.scale.lr_w else s._replace(scale=s.scale._replace(lr_w=1.0))
        for s in last
    ]
    whole = sum(layer_block(s, s, "trace") for s in last)
    return whole.squeeze((1, 3))  # type: ignore[union-attr]  # there is a last layer


_dot = partial(jnp.einsum, "ap,bp->ab", precision=jax.lax.Precision.HIGHEST)
