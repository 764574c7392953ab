"""An experiment: data, model and training at several widths, each with many seeds.

It lies below the study files: figures and claims ask an experiment what it has.
"""

from typing import Annotated, Literal

from pydantic import Field

from ntkpipe.datasets import Dataset
from ntkpipe.models import Model
from ntkpipe.protocol import Training
from ntkpipe.section import section

Width = Annotated[int, Field(ge=1, le=10**7)]
Seeds = Annotated[int, Field(ge=1, le=10**6)]
MOST_JOBS = 5000  # trainings; a second or two to plan


@section
class Measure:
    """What is measured beyond the metrics that every experiment has."""

    modes: Annotated[int, Field(ge=0, le=1000)] = 0
    """Number of eigenvectors of H(w₀) whose decay rate is fitted."""
    limit_points: Annotated[int, Field(ge=0, le=1000)] = 0
    """Number of test points at which networks are held against the Gaussian limit."""
    kernel_at: tuple[Annotated[int, Field(ge=0, le=10**6)], ...] = ()
    """Θ(x₀, x_i) for these test points, x₀ the first (with training.test_kernel)."""
    frequencies: tuple[Annotated[int, Field(ge=1, le=10**6)], ...] = ()
    """Frequencies k of the circle at which the time to fit cos kγ is measured."""
    fit_level: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """A frequency is fitted when this share of its residual is left."""
    loss_error: bool = False
    """Hold the loss against its predictions, while it is above 1e-3 of its start."""
    straight: bool = False
    """How far f leaves the straight line from 0 to y (with limit and zero_output)."""


@section
class Experiment:
    """One data set, model and training at several widths, each with many seeds."""

    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of the data and of all networks."""
    dtype: Literal["float64", "float32"] = "float64"
    """Precision of weights, outputs and kernels."""
    dataset: Dataset
    """Training and test points."""
    model: Model
    """Architecture, parametrisation and initialisation."""
    training: Training
    """Optimiser, steps and what is recorded."""
    widths: Annotated[tuple[Width, ...], Field(min_length=1)]
    """Hidden widths n."""
    seeds: Seeds | dict[Width, Seeds] = 10
    """Number of networks at each width, or a number for each width."""
    linearize: Literal["none", "steps", "flow"] = "steps"
    """The linearised model in closed form: of the optimiser's steps, or their flow."""
    limit: Literal["none", "steps", "flow"] = "none"
    """Infinite width: kernels, mean and covariance of the trained ensemble."""
    measure: Measure = Measure()
    """What is measured beyond the usual."""

    def __post_init__(self):
        """Refuse what can't go together."""
        if len(self.widths) > MOST_JOBS:
            raise ValueError(f"widths: {len(self.widths)} of them, at most {MOST_JOBS}")
        if isinstance(self.seeds, dict):
            missing = sorted(set(self.widths) - set(self.seeds))
            if missing:
                raise ValueError(f"seeds: no number for the widths {missing}")
        if len(set(self.widths)) < len(self.widths):
            raise ValueError("widths: a width is given twice")
        if self.measure.kernel_at and not self.training.test_kernel:
            raise ValueError("measure.kernel_at: needs training.test_kernel: true")
        if self.measure.limit_points and self.limit == "none":
            raise ValueError("measure.limit_points: needs limit")
        if self.dataset.kind != "npz":  # whose points are counted when it is read
            points = self.dataset.sizes.test
            if self.measure.limit_points > points:
                raise ValueError(
                    f"measure.limit_points: {self.measure.limit_points}, and there are "
                    f"{points} test points"
                )
            if points <= max(self.measure.kernel_at, default=0):
                raise ValueError(
                    f"measure.kernel_at: no test point {max(self.measure.kernel_at)}: "
                    f"there are {points}, the first is 0"
                )
        if self.measure.frequencies:
            d = self.dataset
            if d.kind != "circle" or d.angles is not None:
                raise ValueError(
                    "measure.frequencies: needs equal angles, dataset.kind: circle "
                    "without `angles`"
                )
            if 2 * max(self.measure.frequencies) >= d.points:
                raise ValueError(
                    f"measure.frequencies: {max(self.measure.frequencies)} is not "
                    f"below half of dataset.points: {d.points}"
                )
        if self.measure.straight and (
            self.limit == "none" or self.model.zero_output == "none"
        ):
            raise ValueError(
                "measure.straight: needs limit, and zero_output: subtract or double"
            )
        if self.measure.loss_error and self.limit == self.linearize == "none":
            raise ValueError("measure.loss_error: needs limit or linearize")
        if self.linearize != "none" and self.training.optimizer == "adam":
            raise ValueError("linearize: adam has no closed form; say linearize: none")
        if self.training.linear_weights and self.training.optimizer == "adam":
            raise ValueError("training.linear_weights: adam has no closed form")
        model = self.model
        kept = self.training.keep_matrix
        if kept is not None and kept.layer > model.depth + 1:
            raise ValueError(
                f"training.keep_matrix: no layer {kept.layer}: there are "
                f"{model.depth + 1}, hidden ones and the last"
            )
        if self.limit != "none":
            if model.kind != "mlp":
                raise ValueError("limit: needs model.kind: mlp")
            if model.parameterization != "ntk" or model.init != "normal":
                raise ValueError(
                    "limit: needs model.parameterization: ntk and model.init: normal"
                )
            if model.alpha != 1 and model.zero_output == "none":
                raise ValueError("limit: needs alpha: 1, or zero_output")
            if model.input_decay or model.output_decay:
                raise ValueError("limit: needs no input_decay and no output_decay")
            if self.training.optimizer != "gd":
                raise ValueError("limit: needs training.optimizer: gd")
        if self.training.ensemble is not None:
            if model.kind != "mlp" or model.zero_output != "none":
                raise ValueError(
                    "training.ensemble: needs model.kind: mlp and zero_output: none"
                )
        if self.linearize == "flow" and self.training.optimizer == "momentum":
            raise ValueError("linearize: the flow has no momentum; say steps")
        if model.kind == "one_parameter" and self.dataset.kind != "npz":
            _, _, d, k = self.dataset.sizes
            if (d, k) != (1, 1):
                raise ValueError(
                    "model.kind: one_parameter takes one input and one output, and "
                    f"the points have {d} and {k}"
                )

    def seeds_at(self, width: int) -> int:
        """Number of networks of a width."""
        return self.seeds[width] if isinstance(self.seeds, dict) else self.seeds
