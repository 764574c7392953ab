"""The base class of recorders, which measure networks during training."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from ntkpipe.lazy import Lazy
from ntkpipe.metric import Inputs, Metric, Values

if TYPE_CHECKING:
    import jax

jnp = Lazy("jax.numpy")

Record = dict[str, Any]


class Points(NamedTuple):
    """Training points (n d) and targets (n k), and test points (m d)."""

    x: jax.Array
    y: jax.Array
    x_test: jax.Array

    def all(self) -> jax.Array:
        """Training points followed by test points."""
        return jnp.concatenate([self.x, self.x_test])


class Start(NamedTuple):
    """A network at initialisation, and the arrays that recorders keep of it."""

    params: tuple
    f0: jax.Array  # (n+m k) h₀ at training and test points, or (1 1) zero
    kept: Record


class Now(NamedTuple):
    """A network when a recorder is called."""

    points: Points
    params: tuple
    start: Any = None
    f: Any = None
    """(n+m k) outputs; before the first step, h₀. None at snapshots."""
    signals: Any = None
    """Signals of the parameters at training points; before the first step, at all
    points. None at recorded steps."""
    index: Any = None
    """Index of the recorded step."""


class Recorder:
    """Records nothing; a recorder overrides the methods at which it records.

    The methods `begin` to `end` take one network and are traced by JAX. They return
    arrays by name. The names in `arrays` and `optional` are recorded, with an axis of
    time if there are several records. Arrays of `begin` with other names are not
    recorded; later methods find them in `now.start.kept`.

    `run` is the `Run` of the training (`training.loop`) with its model, training, width
    and loss. `e` is an `Experiment`. `training` is the section `Training`.
    """

    keys: ClassVar[type | None] = None
    """The section with the recorder's key in `training:`."""
    arrays: ClassVar[dict[str, str]] = {}
    """Arrays that are always recorded, and their axes, one letter for each length."""
    optional: ClassVar[dict[str, str]] = {}
    """Arrays that are recorded only for some trainings or models, and their axes."""
    first_only: ClassVar[bool] = False
    """Whether only the first network is recorded, without an axis of seeds."""
    metrics: ClassVar[tuple[Metric, ...]] = ()
    """What `measure` computes from the arrays."""

    def wanted(self, training) -> bool:
        """Whether a training uses this recorder: it has no key, or its key is set."""
        keys = dataclasses.fields(self.keys) if self.keys else ()
        return not keys or any(getattr(training, key.name) for key in keys)

    def begin(self, run, now: Now) -> Record:
        """Before the first step."""
        return {}

    def observe(self, run, now: Now) -> Record:
        """At each recorded step."""
        return {}

    def snapshot(self, run, now: Now) -> Record:
        """At each snapshot."""
        return {}

    def ends(self, run, now: Now) -> Record:
        """Before the first step and after the last; compiled separately."""
        return {}

    def end(self, run, now: Now) -> Record:
        """After the last step."""
        return {}

    def of_seeds(self, run, points: Points, key, seeds: int, progress) -> Record:
        """After all trainings: arrays (s …) of networks other than the trained ones."""
        return {}

    def measure(self, inputs: Inputs) -> Values:
        """The values of the metrics: metric → (steps, values (s steps))."""
        return {}

    def numbers(self, e) -> int:
        """Approximate count of the numbers stored for each network."""
        return 0
