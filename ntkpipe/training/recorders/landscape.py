"""The first network and its linearisation on the line from w₀ to the final weights."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from ntkpipe.lazy import Lazy
from ntkpipe.section import section
from ntkpipe.training.recorders.base import Now, Record, Recorder

jax, jnp = Lazy("jax"), Lazy("jax.numpy")


@section
class Landscape:
    """The line through w₀ and the final weights on which the network is evaluated."""

    reach: Annotated[float, Field(gt=0)] = 1.0
    """Largest distance ‖w − w₀‖ from w₀ on both sides."""
    zoom: Annotated[float, Field(gt=0)] = 2.0
    """Largest distance in units of ‖w(T) − w₀‖, for a second set of points."""
    points: Annotated[int, Field(ge=2, le=10_000)] = 201
    """Number of points in each of the two sets."""


@section
class Keys:
    """The recorder's key."""

    landscape: Landscape | None = None
    """Keep outputs of the first network and its linearisation on a line of weights."""


class OnALine(Recorder):
    """f(w₀ + r v) and f(w₀) + r v·∇f, v the unit vector from w₀ to the final w."""

    keys = Keys
    optional: ClassVar = {
        "landscape_at": "g",  # signed distances r from w₀
        "landscape_f": "g n k",
        "landscape_linear": "g n k",
    }
    first_only = True

    def end(self, run, now: Now) -> Record:
        """Both functions at all distances r."""
        kept, x, w0 = run.training.landscape, now.points.x, now.start.params
        line = jax.tree.map(jnp.subtract, now.params, w0)
        length = jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(line)))
        # a network that did not move has no direction: its landscape is flat
        size = jnp.where(length > 0, length, jnp.inf)
        line = jax.tree.map(lambda leaf: leaf / size, line)
        unit = jnp.linspace(-1, 1, kept.points, dtype=x.dtype)
        at = jnp.sort(jnp.concatenate([kept.reach * unit, kept.zoom * length * unit]))

        def f(w):
            return run.outputs(w, x, now.start.f0[: len(x)])

        f0, slope = jax.jvp(f, (w0,), (line,))
        along = jax.lax.map(
            lambda r: f(jax.tree.map(lambda w, v: w + r * v, w0, line)), at
        )
        return {
            "landscape_at": at,
            "landscape_f": along,
            "landscape_linear": f0[None] + at[:, None, None] * slope[None],
        }
