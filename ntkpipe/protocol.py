"""What a training is: its optimiser, its steps and what is recorded of it.

`training.train` follows it. It is apart, as whoever reads a study needs it, and only
the trainings need JAX.
"""

from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from ntkpipe.ensemble import Ensemble
from ntkpipe.section import Fault, section


@section
class KeepMatrix:
    """The corner of a weight matrix that is kept at each recorded step."""

    layer: Annotated[int, Field(ge=1)] = 2
    """Which matrix: 1 reads the input, 2 the first hidden layer, …"""
    size: Annotated[int, Field(ge=1, le=100)] = 50
    """How many of its rows and columns."""


@section
class Landscape:
    """The line through w₀ and the last w, on which a network is evaluated."""

    reach: Annotated[float, Field(gt=0)] = 1.0
    """How far from w₀ to both sides, in ‖w − w₀‖."""
    zoom: Annotated[float, Field(gt=0)] = 2.0
    """The same in units of ‖w(T) − w₀‖, with as many points again."""
    points: Annotated[int, Field(ge=2, le=10_000)] = 201
    """Number of points."""


@section
class Training:
    """Full-batch training and what is recorded of it."""

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
    test_kernel: bool = False
    """Keep the kernel among the test points too, before and after training."""
    keep_matrix: KeepMatrix | None = None
    """Keep the corner of a weight matrix of the first network at recorded steps."""
    curvature: bool = False
    """Measure ‖∇f‖ and ‖∇²f‖ of the first output at the first training point."""
    units: bool = False
    """Measure how far hidden units move and how many of their activations flip."""
    linear_weights: bool = False
    """Measure how far the weights are from those of the linearised model."""
    landscape: Landscape | None = None
    """Keep the first network, and its linearisation, on a line through its weights."""
    ensemble: Ensemble | None = None
    """Keep moments of many more networks at initialisation, a group for each seed."""

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
