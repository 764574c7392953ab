"""Moments over very many networks at initialisation, none of which is kept.

What separates a network from the infinitely wide one is of order 1/n, and takes 10⁵
networks or more to see. They are drawn, measured and forgotten, in groups: one for
each seed, with the means over it as its values, so that claims resample groups.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from pydantic import Field

from ntkpipe.lazy import Lazy
from ntkpipe.models.mlp import MLP
from ntkpipe.section import section
from ntkpipe.training.recorders.base import Record, Recorder

jnp = Lazy("jax.numpy")
if TYPE_CHECKING:
    import jax
else:
    jax = Lazy("jax")

# Weights of the networks that are side by side: on a CPU they stay in the cache. Depth
# 3, width 20, float64, one core: 15 µs a network at 10⁵ weights, 24 at 10⁶; 13 to 16
# of them are the draw of the weights. In float32 it is a third of that.
TOGETHER = {"cpu": 100_000}
TOGETHER_ELSEWHERE = 10_000_000
NAMES = ("f2", "f4", "theta", "theta2", "theta_w", "theta_w2", "bend", "o3_2")
"""What is averaged, see `of_network`; Θ(x₀, x_i) of the other points follow."""


@section
class Ensemble:
    """Many more networks at initialisation, of which only moments are kept."""

    networks: Annotated[int, Field(ge=2, le=10**7)]
    """Number of networks in a group; there are as many groups as `seeds`."""


@section
class Keys:
    """The recorder's key."""

    ensemble: Ensemble | None = None
    """Keep moments of many more networks at initialisation, a group for each seed."""


class Moments(Recorder):
    """Means over a group of networks, a group for each seed."""

    keys = Keys
    optional: ClassVar = {"moments": "s o"}  # of NAMES, and of the other points
    metrics = (
        *("output_kurtosis", "output_kurtosis_n", "ntk_mean", "ntk_mean_per_layer"),
        *("ntk_variance", "ntk_moment_ratio", "ntk_moment_log", "ntk_moment_rate"),
        *("ntk_moment_rate_weights", "hessian_correlation", "o3", "ntk_bias"),
        "ntk_bias_off/*",
    )

    def wanted(self, training) -> bool:
        """Whether a training records it."""
        return training.ensemble is not None

    def of_seeds(self, run, points, key, seeds, progress) -> Record:
        """The means of each group, (s o)."""
        networks, outputs = run.training.ensemble.networks, points.y.shape[1]
        group = moments(run.model, networks, run.width, outputs)
        key = jax.random.fold_in(key, run.width)
        found = []
        for replicate in range(seeds):
            means = group(points.x, jax.random.fold_in(key, replicate))
            found.append(np.asarray(means))
            progress(f"width {run.width}, groups", replicate + 1, seeds)
        return {"moments": np.stack(found)}


def moments(model: MLP, networks: int, width: int, outputs: int) -> Callable:
    """A compiled function (points, key) ↦ means over a group of networks.

    Points are (m d), means (8 + m − 1,). Network i is drawn with fold_in(key, i).

    Args:
        model: architecture, parametrisation and initialisation.
        networks: number of networks in the group.
        width: hidden width n.
        outputs: number of outputs, of which the first is read.
    """

    @jax.jit
    def of_group(points, key):
        def draw(i):
            d, dtype = points.shape[1], points.dtype
            one = jax.random.fold_in(key, i)
            return model.init_params(one, width, d, outputs, dtype)

        size = sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(draw, 0)))
        together = TOGETHER.get(jax.default_backend(), TOGETHER_ELSEWHERE)
        chunks = math.ceil(networks / max(1, together // size))
        batch = math.ceil(networks / chunks)

        def of_chunk(chunk):
            i = chunk * batch + jnp.arange(batch)
            found = jax.vmap(lambda i: of_network(model, draw(i), points))(i)
            # the last chunk may be longer than what is left
            return jnp.sum(jnp.where(i[:, None] < networks, found, 0), 0, dtype=float)

        return jax.lax.map(of_chunk, jnp.arange(chunks)).sum(0) / networks

    return of_group


def of_network(model: MLP, params, points) -> jax.Array:
    """f², f⁴, Θ, Θ², Θ_W, Θ_W², ∂f ∂²f ∂f f and O₃² of one network, then Θ(x₀, x_i).

    All at x₀ where nothing is said, of the first output; Θ_W is what the weights, and
    not the biases, give to Θ. With v = R∇f, R the layers' relative learning rates, the
    direction in which gradient descent moves f(x₀),

        Θ(x₀, x) = v·∇f(x),   ∂f ∂²f ∂f = vᵀ∇²f v,   O₃ = v·∇Θ(x₀, x₀) = 2 vᵀ∇²f v.

    Source: Dyer & Gur-Ari 2020 (1909.11304).
    """

    def f(params):
        return model.apply(params, points)[:, 0]

    values, pullback = jax.vjp(f, params)
    (gradient,) = pullback(jnp.eye(1, len(points), dtype=points.dtype)[0])
    v = jax.tree.map(jnp.multiply, gradient, model.learning_rates(params))
    parts = jax.tree.map(lambda g, v: jnp.sum(g * v), gradient, v)
    theta_w = sum(layer["w"] for layers in parts for layer in layers)

    def slope(params):
        return jax.jvp(f, (params,), (v,))[1]

    row, bends = jax.jvp(slope, (params,), (v,))
    value, theta, bend = values[0], row[0], bends[0]
    kernel = [theta, theta**2, theta_w, theta_w**2]
    found = [value**2, value**4, *kernel, bend * value, 4 * bend**2]
    return jnp.concatenate([jnp.stack(found), row[1:]])
