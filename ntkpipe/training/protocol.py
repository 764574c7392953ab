"""The section `Training`: optimiser, steps and recordings.

Separate from `training.loop`, because reading a study file must not import JAX.
"""

from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from ntkpipe.section import Fault, section
from ntkpipe.training.losses import SQUARED, Loss
from ntkpipe.training.recorders import RECORDERS


@section
class Protocol:
    """Loss, optimiser and steps, without the keys of the recorders."""

    loss: Loss = SQUARED
    """What is minimised; a word is short for `kind:`."""
    optimizer: Literal["gd", "momentum", "adam", "sign"] = "gd"
    """`gd`: gradient descent; `momentum`: heavy ball; `adam`: Adam; `sign`: descent by
    the sign of the gradient."""
    learning_rate: Annotated[float, Field(gt=0)]
    """Learning rate η."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Momentum β of the heavy ball."""
    batch: Annotated[int, Field(ge=1)] | None = None
    """Number of points in a step, drawn anew at each step; by default all."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """λ of the penalty ½λ‖w − w_*‖², which is minimised with the loss."""
    decay_to: Literal["zero", "w0"] = "zero"
    """w_*: zero, or the initial weights w₀."""
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

    @property
    def heavy_ball(self) -> float:
        """β of v ← βv + ∇L, w ← w − ηv; 0 without momentum."""
        return self.momentum if self.optimizer == "momentum" else 0.0

    @property
    def linear_updates(self) -> bool:
        """Whether a step is linear in the gradient.

        The linearised model then lives in function space.
        """
        return self.optimizer in ("gd", "momentum")

    @property
    def is_plain(self) -> bool:
        """Whether it is gradient descent on all points, without weight decay."""
        return self.optimizer == "gd" and not (self.batch or self.weight_decay)

    @property
    def decays_to_zero(self) -> bool:
        """Whether weights decay, and to zero."""
        return self.weight_decay > 0 and self.decay_to == "zero"

    @property
    def closed_form(self) -> bool:
        """Whether the linearised model has a closed form."""
        simple = self.loss.closed_form and self.linear_updates
        return simple and self.batch is None and not self.decays_to_zero

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
    """Training and its recordings."""

    def unmet(self, e) -> Iterator[Fault]:
        """Keys that an `Experiment` cannot meet, and why."""
        layers = e.model.weight_layers
        if self.keep_matrix is not None and self.keep_matrix.layer > layers:
            yield Fault(
                ("training", "keep_matrix", "layer"),
                f"no layer {self.keep_matrix.layer}: the network has {layers} weight "
                "layers",
            )
        yield from (fault.within("training") for fault in self._unmet(e))

    def _unmet(self, e) -> Iterator[Fault]:
        if self.linear_weights and not self.linear_updates:
            text = f"{self.optimizer} has no closed form: use gd or momentum"
            yield Fault(("linear_weights",), text)
        for key, name in (("batch", "batches"), ("weight_decay", "weight decay")):
            if self.linear_weights and getattr(self, key):
                text = f"is not computed with {name}: leave out training.{key}"
                yield Fault(("linear_weights",), text)
        if self.batch is not None and self.stop_at_loss is not None:
            text = "is the loss of all points, which a step of a batch does not compute"
            yield Fault(("stop_at_loss",), f"{text}: leave out training.batch")
        if (sizes := e.dataset.stated_sizes) and (self.batch or 0) > sizes.train:
            text = f"{self.batch} is more than the {sizes.train} training points"
            yield Fault(("batch",), text)
