"""Outputs, loss and the distance of each layer's weights from initialisation."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ntkpipe.lazy import Lazy
from ntkpipe.training.recorders.base import Now, Record, Recorder

jnp = Lazy("jax.numpy")
if TYPE_CHECKING:
    import jax
else:
    jax = Lazy("jax")


class Outputs(Recorder):
    """Recorded in every training."""

    arrays: ClassVar = {
        "loss": "s t",
        "f_train": "s t n k",
        "f_test": "s t m k",
        "weight_change": "s t l",  # ‖w_l(t) − w_l(0)‖
    }
    optional: ClassVar = {"weight_norm": "s l"}  # ‖w_l(0)‖

    def begin(self, run, now: Now) -> Record:
        """‖w_l(0)‖ of each layer."""
        return {"weight_norm": layer_norms(now.params)}

    def observe(self, run, now: Now) -> Record:
        """f, L in units of y, and ‖w_l − w_l(0)‖."""
        n = len(now.points.x)
        moved = jax.tree.map(jnp.subtract, now.params, now.start.params)
        return {
            "loss": run.loss.value(now.f[:n], now.points.y),
            "f_train": now.f[:n],
            "f_test": now.f[n:],
            "weight_change": layer_norms(moved),
        }

    def numbers(self, e) -> int:
        """Outputs at recorded steps."""
        n, m, _, k = e.dataset.sizes
        return e.training.record * (n + m) * k


def layer_names(params) -> list[str]:
    """W1, b1, W2, … of the layers; of a user's network, the paths of its parameters."""
    if isinstance(params, dict):
        return sorted(params)
    return [
        f"{'W' if name == 'w' else 'b'}{index + 1}"
        for index, layer in enumerate(params[0])
        for name in sorted(layer, reverse=True)
    ]


def layer_norms(params) -> jax.Array:
    """Norms of W1, b1, W2, …; for twins, each over both networks."""
    if isinstance(params, dict):
        squares = [jnp.sum(params[name] ** 2) for name in layer_names(params)]
        return jnp.sqrt(jnp.stack(squares))
    squares = [
        sum(jnp.sum(layers[index][name] ** 2) for layers in params)
        for index, layer in enumerate(params[0])
        for name in sorted(layer, reverse=True)
    ]
    return jnp.sqrt(jnp.stack(squares))
