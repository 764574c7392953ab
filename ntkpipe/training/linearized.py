"""Linearised models that are trained in their weights, for any optimiser."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from ntkpipe.data.base import Data
from ntkpipe.models.mlp import MLP
from ntkpipe.training import loop
from ntkpipe.training.protocol import Training


def train(
    model: MLP,
    training: Training,
    data: Data,
    width: int,
    key: jax.Array,
    seeds: int,
    dtype: str = "float64",
) -> dict[str, np.ndarray]:
    """The linearised models of the same networks, trained in their weights.

    This takes any optimiser. Those whose steps are linear in the gradient do not need
    it (`kernels.descent`). Arguments are those of `loop.train`.

    Returns:
        f_train (s t n k), f_test (s t m k), loss (s t) and weight_change (s t), at the
        recorded steps. They do not stop at `stop_at_loss`.
    """
    model, points, one = loop.ready(model, data, width, key, seeds, dtype)
    redrawn, n = points is not one, len(one.x)
    own = 0 if redrawn else None
    run = loop.Run(model, replace(training, stop_at_loss=None), width, linear=True)
    size = sum(leaf.size for leaf in jax.tree.leaves(run.shapes(one, key)))

    @jax.jit
    @partial(jax.vmap, in_axes=(own, None, 0))
    def begin(points, key, drawn):
        state = run.state(points, key, *drawn)
        return state, run.zero(model.apply(state.params, points.all()))

    @jax.jit
    @partial(jax.vmap, in_axes=(own, 0, 0))
    def observe(points, state, f0):
        f = run.outputs(state.params, points.all(), f0, state.w0)
        moved = jax.tree.map(jnp.subtract, state.params, state.w0)
        square = sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(moved))
        return {
            "f_train": f[:n],
            "f_test": f[n:],
            "loss": run.loss.value(f[:n], points.y),
            "weight_change": jnp.sqrt(square),
        }

    advance = jax.jit(jax.vmap(run.advance, (own, 0, 0, None)), donate_argnums=1)
    steps, at_once = training.recorded(), seeds if size <= loop.SIDE_BY_SIDE else 1
    networks = []
    for first in range(0, seeds, at_once):
        replicates = np.arange(first, min(first + at_once, seeds))
        seen = loop.points_of(points, replicates, seeds) if redrawn else points
        state, f0 = begin(seen, key, run.drawn(seen, key, replicates))
        observed = []
        for count in np.diff(steps, prepend=0):
            state = advance(seen, state, f0, int(count))
            observed.append(loop.as_numpy(observe(seen, state, f0)))
        networks.append(jax.tree.map(lambda *a: np.stack(a, 1), *observed))
    return jax.tree.map(lambda *a: np.concatenate(a), *networks)
