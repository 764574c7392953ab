"""What a recorder is: one thing that a training measures of its networks on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

if TYPE_CHECKING:
    import jax

    from ntkpipe.experiment import Experiment
    from ntkpipe.training.loop import Points, Run
    from ntkpipe.training.protocol import Training

Record = dict[str, Any]


class Start(NamedTuple):
    """A network before the first step, and what recorders keep of it."""

    params: tuple
    f0: jax.Array  # (n+m k) h₀ at training and test points, or (1 1) zero
    kept: Record


class Now(NamedTuple):
    """One network at the moment at which it is recorded."""

    points: Points
    params: tuple
    start: Any = None
    """The `Start` of the network; not before the first step."""
    f: Any = None
    """(n+m k) outputs; h₀ before the first step. Not at snapshots."""
    sites: Any = None
    """What the layers read and their signals, at training points; before the first
    step, at all points. Not at records."""
    index: Any = None
    """Which record it is."""


class Recorder:
    """Records nothing. A kind writes the methods of the moments at which it records.

    Each method is of one network and is traced by JAX; what it returns under the name
    of an array is recorded, with an axis of time where there are several records, and
    what `begin` returns under other names is kept for later moments.
    """

    keys: ClassVar[type | None] = None
    """The section that holds the recorder's key in `training:`."""
    arrays: ClassVar[dict[str, str]] = {}
    """Arrays that it always records, and their axes; one letter is one length."""
    optional: ClassVar[dict[str, str]] = {}
    """Arrays that it records where the training asks for them or the model has them."""
    first_only: ClassVar[bool] = False
    """Its arrays are those of the first network and have no axis of seeds."""
    metrics: ClassVar[tuple[str, ...]] = ()
    """Metrics that are computed from its arrays."""

    def wanted(self, training: Training) -> bool:
        """Whether a training records it."""
        return True

    def begin(self, run: Run, now: Now) -> Record:
        """Before the first step."""
        return {}

    def observe(self, run: Run, now: Now) -> Record:
        """At each recorded step."""
        return {}

    def snapshot(self, run: Run, now: Now) -> Record:
        """At each snapshot."""
        return {}

    def ends(self, run: Run, now: Now) -> Record:
        """Before the first step and after the last, apart from all else."""
        return {}

    def end(self, run: Run, now: Now) -> Record:
        """After the last step."""
        return {}

    def of_seeds(self, run: Run, points: Points, key, seeds: int, progress) -> Record:
        """Once for each seed, of other networks than those that are trained."""
        return {}

    def numbers(self, e: Experiment) -> int:
        """About how many numbers of a network it keeps."""
        return 0
