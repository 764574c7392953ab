"""A residual network in plain JAX, in the NTK parametrisation."""

import jax
import jax.numpy as jnp


def build(width, key, x, depth=3):
    """h₀ = Ux/√d, h_l = h_{l−1} + tanh(W_l h_{l−1}/√n)/√L, f = v·h_L/√n."""
    first, last, *inner = jax.random.split(key, depth + 2)
    d = x.shape[1]
    params = {
        "first": jax.random.normal(first, (d, width), x.dtype),
        "blocks": [jax.random.normal(k, (width, width), x.dtype) for k in inner],
        "last": jax.random.normal(last, (width, 1), x.dtype),
    }

    def apply(params, x):
        h = x @ params["first"] / d**0.5
        for w in params["blocks"]:
            h = h + jnp.tanh(h @ w / width**0.5) / depth**0.5
        return h @ params["last"] / width**0.5

    return apply, params
