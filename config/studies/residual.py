"""A residual network in plain JAX, in the NTK or the mean-field parametrisation."""

import jax
import jax.numpy as jnp


def build(width, key, x, depth=3, mean_field=False):
    """h₀ = Ux/√d, h_l = h_{l−1} + tanh(W_l h_{l−1}/√n)/√L, f = v·h_L/√n.

    In the mean-field parametrisation f = v·h_L/n, and all learning rates are n times as
    large.
    """
    first, last, *inner = jax.random.split(key, depth + 2)
    d = x.shape[1]
    params = {
        "first": jax.random.normal(first, (d, width), x.dtype),
        "blocks": [jax.random.normal(k, (width, width), x.dtype) for k in inner],
        "last": jax.random.normal(last, (width, 1), x.dtype),
    }
    output_scale = 1 / width if mean_field else width**-0.5
    rates = jax.tree.map(lambda _: float(width) if mean_field else 1.0, params)

    def apply(params, x):
        h = x @ params["first"] / d**0.5
        for w in params["blocks"]:
            h = h + jnp.tanh(h @ w / width**0.5) / depth**0.5
        return h @ params["last"] * output_scale

    return apply, params, rates
