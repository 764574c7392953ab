"""Moments over very many networks at initialisation, none of which is kept.

Effects of order 1/n need 10⁵ networks or more. With `ensemble`, each seed also draws a
group of further networks at initialisation and keeps only the means over the group.
Claims resample groups.
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

# Number of weights of the networks that are computed at the same time. 10⁵ weights fit
# into the cache of a CPU: 10⁶ take 1.6 times as long (docs/performance.md, "Seeds").
TOGETHER = {"cpu": 100_000}
TOGETHER_ELSEWHERE = 10_000_000
NAMES = ("f2", "f4", "theta", "theta2", "theta_w", "theta_w2", "bend", "o3_2")
"""The averaged quantities, see `of_network`; Θ(x₀, x_i), i > 0, follow."""


@section
class Ensemble:
    """Further networks at initialisation, of which only moments are kept."""

    networks: Annotated[int, Field(ge=2, le=10**7)]
    """Number of networks in a group; there is one group for each seed."""


@section
class Keys:
    """The recorder's key."""

    ensemble: Ensemble | None = None
    """Keep moments of further networks at initialisation, a group for each seed."""


class Moments(Recorder):
    """Means over groups of networks, one group for each seed."""

    keys = Keys
    optional: ClassVar = {"moments": "s o"}  # of NAMES, and of the other points
    metrics = (
        *("output_kurtosis", "output_kurtosis_n", "ntk_mean", "ntk_mean_per_layer"),
        *("ntk_variance", "ntk_moment_ratio", "ntk_moment_log", "ntk_moment_rate"),
        *("ntk_moment_rate_weights", "hessian_correlation", "o3", "ntk_bias"),
        "ntk_bias_off/*",
    )

    def wanted(self, training) -> bool:
        """Whether a training uses this recorder."""
        return training.ensemble is not None

    def of_seeds(self, run, points, key, seeds, progress) -> Record:
        """The means of each group, (s o)."""
        networks, outputs = run.training.ensemble.networks, points.y.shape[1]
        group = moments(run.model, networks, run.width, outputs)
        key = jax.random.fold_in(key, run.width)
        groups = []
        for replicate in range(seeds):
            means = group(points.x, jax.random.fold_in(key, replicate))
            groups.append(np.asarray(means))
            progress(f"width {run.width}, groups", replicate + 1, seeds)
        return {"moments": np.stack(groups)}


def moments(model: MLP, networks: int, width: int, outputs: int) -> Callable:
    """A compiled function (points, key) ↦ means over a group of networks.

    Points are (m d), means (8 + m − 1,). Network i has the key fold_in(key, i).

    Args:
        model: architecture, parametrisation and initialisation.
        networks: number of networks in the group.
        width: hidden width n.
        outputs: number of outputs; only the first is used.
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
            values = jax.vmap(lambda i: of_network(model, draw(i), points))(i)
            # the last chunk may have more networks than are left
            return jnp.sum(jnp.where(i[:, None] < networks, values, 0), 0, dtype=float)

        return jax.lax.map(of_chunk, jnp.arange(chunks)).sum(0) / networks

    return of_group


def of_network(model: MLP, params, points) -> jax.Array:
    """f², f⁴, Θ, Θ², Θ_W, Θ_W², ∂f ∂²f ∂f f and O₃² of one network, then Θ(x₀, x_i).

    f is the first output, at x₀ unless stated, and Θ = Θ(x₀, x₀). Θ_W is the part of Θ
    from weights, without biases. With v = R∇f the direction in which gradient descent
    moves f(x₀), R the layers' relative learning rates,

        Θ(x₀, x) = v·∇f(x),   ∂f ∂²f ∂f = vᵀ∇²f v,   O₃ = v·∇Θ(x₀, x₀) = 2 vᵀ∇²f v.

    Source: Dyer & Gur-Ari 2020 (1909.11304).
    """

    def f(params):
        return model.apply(params, points)[:, 0]

    f0, pullback = jax.vjp(f, params)
    (gradient,) = pullback(jnp.eye(1, len(points), dtype=points.dtype)[0])
    v = jax.tree.map(jnp.multiply, gradient, model.learning_rates(params))
    parts = jax.tree.map(lambda g, v: jnp.sum(g * v), gradient, v)
    theta_w = sum(layer["w"] for layers in parts for layer in layers)

    def slope(params):
        return jax.jvp(f, (params,), (v,))[1]

    row, bends = jax.jvp(slope, (params,), (v,))
    value, theta, bend = f0[0], row[0], bends[0]
    kernel = [theta, theta**2, theta_w, theta_w**2]
    values = [value**2, value**4, *kernel, bend * value, 4 * bend**2]
    return jnp.concatenate([jnp.stack(values), row[1:]])
