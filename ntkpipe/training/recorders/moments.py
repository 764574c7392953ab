"""Moments over very many networks at initialisation, which are not stored themselves.

Effects of order 1/n need 10⁵ networks or more. With `ensemble`, each seed also draws a
group of additional networks at initialisation and stores only the means over the group.
Claims resample groups.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from pydantic import Field

from ntkpipe.lazy import Lazy
from ntkpipe.metric import LIMIT, Arrays, Index, Inputs, Metric, Values, given
from ntkpipe.models.mlp import MLP
from ntkpipe.section import section
from ntkpipe.training.recorders.base import Record, Recorder

jnp = Lazy("jax.numpy")
if TYPE_CHECKING:
    import jax
else:
    jax = Lazy("jax")

# Total number of weights of the networks that are computed at the same time. 10⁵ fit
# into the cache of a CPU. 10⁶ take 1.6 times as long (docs/performance.md, "Seeds").
TOGETHER = {"cpu": 100_000}
TOGETHER_ELSEWHERE = 10_000_000
NAMES = ("f2", "f4", "theta", "theta2", "theta_w", "theta_w2", "bend", "o3_2")
"""The averaged quantities, see `of_network`; Θ(x₀, x_i), i > 0, follow."""


@section
class Ensemble:
    """Additional networks at initialisation; only their moments are stored."""

    networks: Annotated[int, Field(ge=2, le=10**7)]
    """Number of networks in a group; there is one group for each seed."""


@section
class Keys:
    """The recorder's key."""

    ensemble: Ensemble | None = None
    """Store moments of additional initial networks, one group for each seed."""


def _other_points(e) -> range | None:
    """All training points but the first."""
    sizes = e.dataset.stated_sizes
    return sizes and range(1, sizes.train)


ENSEMBLE = given("training.ensemble")
_group = partial(Metric, at="groups", when=(ENSEMBLE,))


class Moments(Recorder):
    """Means over groups of networks, one group for each seed."""

    keys = Keys
    optional: ClassVar = {"moments": "s o"}  # means of NAMES, then of Θ(x₀, x_i)
    metrics = (
        _group("output_kurtosis", "excess kurtosis of the output", "E f⁴/(E f²)² − 3"),
        _group("output_kurtosis_n", "excess kurtosis of the output times the width"),
        _group("ntk_mean", "mean of the kernel", "E Θ(x₀, x₀)"),
        _group(
            "ntk_mean_per_layer",
            "mean of the kernel over depth + 1, the number of weight layers",
        ),
        _group("ntk_variance", "variance of the kernel", "Var Θ(x₀, x₀)"),
        _group(
            "ntk_moment_ratio",
            "second moment of the kernel over the square of its first",
            "E Θ²/(E Θ)²",
        ),
        _group("ntk_moment_log", "logarithm of `ntk_moment_ratio`"),
        _group("ntk_moment_rate", "logarithm of `ntk_moment_ratio` over depth/width"),
        _group(
            "ntk_moment_rate_weights",
            "`ntk_moment_rate` of the part of Θ from weights, without biases",
        ),
        _group(
            "hessian_correlation",
            "size of the correlation that moves Θ at the first step",
            "|E[Σ_ij ∂_i f ∂_i ∂_j f ∂_j f · f]|",
        ),
        _group(
            "o3",
            "root mean square of O₃, which is ∂Θ/∂t for a residual of −1",
            "O₃ = 2 Σ_ij ∂_i f ∂_i ∂_j f ∂_j f",
        ),
        _group(
            "ntk_bias",
            "relative distance of the mean kernel from that of infinite width",
            "E Θ(x₀, x₀)/Θ∞(x₀, x₀) − 1",
            when=(ENSEMBLE, LIMIT),
        ),
        _group(
            "ntk_bias_off",
            "relative distance of the mean of Θ(x₀, x_i), x_i another training point, "
            "from that of infinite width",
            index=Index("i", _other_points),
            when=(ENSEMBLE, LIMIT),
        ),
    )

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

    def measure(self, inputs: Inputs) -> Values:
        """Ratios of the means of each group."""
        depth = inputs.e.model.depth
        return ensembles(inputs.network, depth, inputs.width, inputs.limit)


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
    from weights, without biases. With v = R∇f(x₀), where R is the diagonal matrix of
    the layers' relative learning rates,

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


@np.errstate(divide="ignore", invalid="ignore")
def ensembles(network: Arrays, depth: int, width: int, limit: Arrays | None) -> Values:
    """Moments over many networks at initialisation: metric → (step 0, (s 1)).

    Each value belongs to a group. A ratio is the ratio of two means over the group.

    Args:
        network: the arrays of a trajectory.
        depth: number of hidden layers.
        width: hidden width n.
        limit: infinite-width kernels, if computed.
    """
    count = len(NAMES)
    mean = dict(zip(NAMES, network["moments"].T[:count], strict=True))
    kurtosis = mean["f4"] / mean["f2"] ** 2 - 3
    ratio = mean["theta2"] / mean["theta"] ** 2
    ratio_w = mean["theta_w2"] / mean["theta_w"] ** 2
    metrics = {
        "output_kurtosis": kurtosis,
        "output_kurtosis_n": width * kurtosis,
        "ntk_mean": mean["theta"],
        "ntk_mean_per_layer": mean["theta"] / (depth + 1),
        "ntk_variance": mean["theta2"] - mean["theta"] ** 2,
        "ntk_moment_ratio": ratio,
        "ntk_moment_log": np.log(ratio),
        "ntk_moment_rate": np.log(ratio) * width / depth,
        "ntk_moment_rate_weights": np.log(ratio_w) * width / depth,
        "hessian_correlation": np.abs(mean["bend"]),
        "o3": np.sqrt(mean["o3_2"]),
    }
    if limit is not None:
        theta = limit["ntk_train_train"][0]
        metrics["ntk_bias"] = mean["theta"] / theta[0] - 1
        for i, off in enumerate(network["moments"].T[count:], 1):
            metrics[f"ntk_bias_off/{i}"] = off / theta[i] - 1
    return {name: (np.array([0]), value[:, None]) for name, value in metrics.items()}
