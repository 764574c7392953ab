"""What a training is: its optimiser, its steps and what is recorded of it.

`training.train` follows it. Nothing here imports JAX, as whoever reads a study file
reads this section.
"""

from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from ntkpipe.section import Fault, section
from ntkpipe.training.recorders import RECORDERS


@section
class Protocol:
    """Optimiser and steps, without the keys of the recorders."""

    optimizer: Literal["gd", "momentum", "adam"] = "gd"
    """Gradient descent, heavy ball, or Adam."""
    learning_rate: Annotated[float, Field(gt=0)]
    """Learning rate η."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Momentum β of the heavy ball."""
    steps: Annotated[int, Field(ge=0, le=10**9)]
    """Number of steps at most."""
    stop_at_loss: Annotated[float, Field(gt=0)] | None = None
    """Stop a network as soon as its training loss is below this."""
    record: Annotated[int, Field(ge=2, le=10_000)] = 50
    """Number of steps, 0 and the last included, at which outputs are recorded."""
    spacing: Literal["log", "linear"] = "log"
    """How recorded steps are spaced."""
    snapshots: Annotated[int, Field(ge=1, le=1000)] = 2
    """Number of recorded steps, 0 and the last included, with kernels."""
    kernel: Literal["full", "trace"] = "full"
    """All k × k outputs of the kernel, or its trace over them divided by k."""

    @property
    def heavy_ball(self) -> float:
        """β of v ← βv + ∇L, w ← w − ηv; 0 without momentum."""
        return self.momentum if self.optimizer == "momentum" else 0.0

    def recorded(self) -> np.ndarray:
        """Steps at which outputs are recorded, ascending, 0 and `steps` included."""
        if self.spacing == "linear":
            steps = np.linspace(0, self.steps, self.record)
        else:
            steps = np.geomspace(1, max(self.steps, 1), self.record - 1)
        steps = np.minimum(np.round(steps).astype(int), self.steps)
        return np.unique([0, *steps, self.steps])

    def snapshot_indices(self) -> np.ndarray:
        """Which of the recorded steps have kernels."""
        last = len(self.recorded()) - 1
        if self.snapshots == 1:
            return np.array([0])
        return np.unique(np.round(np.linspace(0, last, self.snapshots)).astype(int))


# the fields of the last base come first
@section
class Training(
    *(r.keys for r in reversed(RECORDERS) if r.keys),  # type: ignore[misc]  # computed
    Protocol,
):
    """Full-batch training and what is recorded of it."""

    def unmet(self, e) -> Iterator[Fault]:
        """What can't be recorded of an `Experiment`."""
        layers = e.model.weight_layers
        if self.keep_matrix is not None and self.keep_matrix.layer > layers:
            yield Fault(
                ("training", "keep_matrix", "layer"),
                f"no layer {self.keep_matrix.layer}: there are {layers}, hidden ones "
                "and the last",
            )
        if self.linear_weights and self.optimizer == "adam":
            yield Fault(("training", "linear_weights"), "adam has no closed form")
