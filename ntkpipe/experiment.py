"""An experiment: data, model and training at several widths, each with many seeds.

Figures and claims read from an experiment what it records. This module is separate from
the study, so that figures and claims can import it.
"""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from ntkpipe.data import Dataset
from ntkpipe.metric import SQUARES
from ntkpipe.models import Model
from ntkpipe.models.base import Width
from ntkpipe.section import Fault, section
from ntkpipe.training.protocol import Training

Seeds = Annotated[int, Field(ge=1, le=10**6)]
MOST_JOBS = 5000  # this number of trainings is planned within a second or two


@section
class Measure:
    """Measurements in addition to the metrics that every experiment has."""

    modes: Annotated[int, Field(ge=0, le=1000)] = 0
    """Number of eigenvectors of H(w₀) along which decay rates are fitted."""
    limit_points: Annotated[int, Field(ge=0, le=1000)] = 0
    """Number of test points at which outputs are compared with the Gaussian limit."""
    limit_draws: Annotated[int, Field(ge=1, le=1000)] = 1
    """Number of draws of the data for which the limit's eigenvalues are measured."""
    kernel_at: tuple[Annotated[int, Field(ge=0, le=10**6)], ...] = ()
    """Test points i for which Θ(x₀, x_i) is measured; the first of them is x₀.
    Needs `training.test_kernel`."""
    frequencies: tuple[Annotated[int, Field(ge=1, le=10**6)], ...] = ()
    """Frequencies k on the circle for which the time to fit cos kγ is measured."""
    fit_level: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """A frequency is fitted when this share of its initial residual is left."""
    loss_error: bool = False
    """Compare the loss with its predictions, down to 1e-3 of the initial loss."""
    straightness: bool = False
    """Measure the deviation of f(t) from the line segment 0 → y.
    Needs `limit` and `zero_output`."""

    def unmet(self, e: "Experiment") -> Iterator[Fault]:
        """Measurements for which an experiment lacks the recordings or the data."""
        for fault in self._unmet(e):
            yield fault.within("measure")

    def _unmet(self, e: "Experiment") -> Iterator[Fault]:
        data, sizes = e.dataset, e.dataset.stated_sizes
        if self.kernel_at and not e.training.test_kernel:
            yield Fault(("kernel_at",), "needs training.test_kernel: true")
        if sizes and sizes.test <= (last := max(self.kernel_at, default=0)):
            text = f"no test point {last}: the {sizes.test} points are counted from 0"
            yield Fault(("kernel_at",), text)
        asked = {
            "limit_points": self.limit_points > 0,
            "limit_draws": self.limit_draws > 1,
            "straightness": self.straightness,
        }
        for key in (key for key, value in asked.items() if value):
            if not e.has_limit:
                yield Fault((key,), "needs limit: steps or flow")
        if self.modes and e.training.optimizer != "gd":
            text = f"needs training.optimizer: gd, not {e.training.optimizer}"
            yield Fault(("modes",), text)
        elif self.modes and not e.training.is_plain:
            text = "needs training without batch and weight_decay"
            yield Fault(("modes",), text)
        if self.limit_draws > 1 and (data.user_file or not data.is_random):
            text = "needs data that are drawn at random, and not from a file"
            yield Fault(("limit_draws",), text)
        if sizes and self.limit_points > sizes.test:
            text = f"{self.limit_points} is more than the {sizes.test} test points"
            yield Fault(("limit_points",), text)
        if self.frequencies and not data.equal_angles:
            text = "needs equal angles: dataset.kind: circle without `angles`"
            yield Fault(("frequencies",), text)
        elif sizes and 2 * (most := max(self.frequencies, default=0)) >= sizes.train:
            text = f"{most} must be below half of dataset.points: {sizes.train}"
            yield Fault(("frequencies",), text)
        if not SQUARES.met(e):
            residual = (
                "modes",
                "frequencies",
                "loss_error",
                "straightness",
                "limit_points",
            )
            for key in (key for key in residual if getattr(self, key)):
                yield Fault((key,), f"needs {SQUARES.words}")
        if self.loss_error and not (e.has_limit or e.has_linearized):
            yield Fault(("loss_error",), "needs limit or linearize")


@section
class Experiment:
    """A data set, a model and a training at several widths, each with many seeds."""

    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of the data and of all networks."""
    dtype: Literal["float64", "float32"] = "float64"
    """Precision of weights, outputs and kernels."""
    dataset: Dataset
    """Training and test points."""
    data: Literal["once", "redraw"] = "once"
    """Whether all networks see one draw of the data, or each seed a draw of its own."""
    model: Model
    """Architecture, parametrisation and initialisation."""
    training: Training
    """Optimiser, steps and recordings."""
    widths: Annotated[tuple[Width, ...], Field(min_length=1)]
    """Hidden widths n."""
    seeds: Seeds | dict[Width, Seeds] = 10
    """Networks per width: one number for all widths, or {width: number}."""
    linearize: Literal["none", "steps", "flow"] = "steps"
    """Linearised model, trained by the optimiser's steps or by gradient flow."""
    limit: Literal["none", "steps", "flow"] = "none"
    """Infinite width: kernels, and mean and covariance of trained networks."""
    measure: Measure = Measure()
    """Additional measurements."""

    @property
    def has_limit(self) -> bool:
        """Whether the infinitely wide network is computed."""
        return self.limit != "none"

    @property
    def has_networks(self) -> bool:
        """Whether there are networks, and not kernels from a file in their place."""
        return not hasattr(self.model, "kernel_file")

    @property
    def has_linearized(self) -> bool:
        """Whether the linearised models are computed: of networks, not of kernels."""
        return self.linearize != "none" and self.has_networks

    def faults(self) -> Iterator[Fault]:
        """Faults that concern several keys."""
        if len(self.widths) > MOST_JOBS:
            text = f"{len(self.widths)} of them, at most {MOST_JOBS}"
            yield Fault(("widths",), text)
        if len(set(self.widths)) < len(self.widths):
            yield Fault(("widths",), "a width is given twice")
        if isinstance(self.seeds, dict):
            if missing := sorted(set(self.widths) - set(self.seeds)):
                yield Fault(("seeds",), f"no number for the widths {missing}")
        if self.data == "redraw":
            yield from (Fault(("data",), text) for text in self._not_redrawn())
        yield from self.measure.unmet(self)
        yield from self.training.loss.unmet(self)
        yield from self.training.unmet(self)
        yield from self.model.unmet(self)
        of_squares = self.training.loss.closed_form or self.model.starts_at_zero
        if self.has_limit and not of_squares:
            text = "needs training.loss: squared, or model.zero_output: with "
            text += f"{self.training.loss.kind} the mean of networks that begin "
            text += "differently has no equation of its own"
            yield Fault(("limit",), text)
        optimizer, batch = self.training.optimizer, self.training.batch
        if self.linearize == "flow" and optimizer != "gd":
            text = f"gradient flow has no {optimizer}: use linearize: steps"
            yield Fault(("linearize",), text)
        if self.linearize == "flow" and batch is not None:
            text = "gradient flow has no batches: use linearize: steps"
            yield Fault(("linearize",), text)
        if self.has_limit and optimizer != "gd":
            text = f"needs training.optimizer: gd, not {optimizer}"
            yield Fault(("limit",), text)
        if self.has_limit and batch is not None:
            text = "is of all points in each step: leave out training.batch"
            yield Fault(("limit",), text)
        if self.has_limit and self.training.weight_decay:
            text = "has no weight decay: leave out training.weight_decay"
            yield Fault(("limit",), text)

    def _not_redrawn(self) -> Iterator[str]:
        """Why the data can't be drawn anew for each seed."""
        if not self.dataset.is_random:
            yield "redraw needs data that are drawn at random"
        if self.has_limit:
            yield "redraw needs limit: none, as each draw has another limit kernel"
        if self.training.ensemble is not None:
            yield "redraw and training.ensemble exclude each other"

    @property
    def draws(self) -> int:
        """Number of data sets: one, or one for each seed."""
        if self.data == "once":
            return 1
        return max(self.seeds_at(width) for width in self.widths)

    @property
    def data_seed(self) -> int | None:
        """The seed of the data; None if they do not depend on it."""
        return self.seed if self.dataset.is_random else None

    @property
    def network_seed(self) -> int | None:
        """The seed of the networks; None if they do not depend on it."""
        return self.seed if self.model.is_random else None

    def seeds_at(self, width: int) -> int:
        """Number of networks of a width."""
        return self.seeds[width] if isinstance(self.seeds, dict) else self.seeds
