"""The section `Training`: optimiser, steps and recordings.

Separate from `training.loop`, because reading a study file must not import JAX.
"""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from ntkpipe.section import Fault, section
from ntkpipe.training.loss import SQUARED, Loss
from ntkpipe.training.recorders import RECORDERS


@section
class Protocol:
    """Optimiser and steps, without the keys of the recorders."""

    optimizer: Literal["gd", "momentum", "adam"] = "gd"
    """`gd`: gradient descent; `momentum`: heavy ball; `adam`: Adam."""
    learning_rate: Annotated[float, Field(gt=0)]
    """Learning rate η."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Momentum β of the heavy ball."""
    steps: Annotated[int, Field(ge=0, le=10**9)]
    """Largest number of steps."""
    stop_at_loss: Annotated[float, Field(gt=0)] | None = None
    """A network stops training when its loss is below this value."""
    record: Annotated[int, Field(ge=2, le=10_000)] = 50
    """Number of steps at which outputs are recorded, the first and last included."""
    spacing: Literal["log", "linear"] = "log"
    """Spacing of the recorded steps."""
    snapshots: Annotated[int, Field(ge=1, le=1000)] = 2
    """Number of recorded steps with kernels, including the first and last."""
    kernel: Literal["full", "trace"] = "full"
    """`full`: all k × k pairs of outputs; `trace`: trace over outputs divided by k."""

    # becomes a key of study files with the second kind of loss (see CONTRIBUTING.md)
    loss: ClassVar[Loss] = SQUARED

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
        """Indices of the recorded steps with kernels."""
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
    """Full-batch training and its recordings."""

    def unmet(self, e) -> Iterator[Fault]:
        """Keys that an `Experiment` cannot meet, and why."""
        layers = e.model.weight_layers
        if self.keep_matrix is not None and self.keep_matrix.layer > layers:
            yield Fault(
                ("training", "keep_matrix", "layer"),
                f"no layer {self.keep_matrix.layer}: the network has {layers} weight "
                "layers",
            )
        if self.linear_weights and self.optimizer == "adam":
            yield Fault(
                ("training", "linear_weights"),
                "adam has no closed form: use gd or momentum",
            )
        if self.linear_weights and not self.loss.closed_form:
            text = "the loss has no closed form"
            yield Fault(("training", "linear_weights"), text)
