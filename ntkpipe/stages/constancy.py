"""How far kernel, weights and outputs went: the metrics of all networks."""

from __future__ import annotations

from ntkpipe import cost, measurements
from ntkpipe.lazy import Lazy
from ntkpipe.stages.dataset import DATASET
from ntkpipe.stages.job import Job
from ntkpipe.stages.limit import LIMIT
from ntkpipe.stages.linearize import LINEARIZE
from ntkpipe.stages.stage import Place, Stage
from ntkpipe.stages.train import TRAIN

pd = Lazy("pandas")


def run(job: Job) -> None:
    """How far kernel, weights and outputs went, at all widths: constancy.csv."""
    tables = [_at_width(job, width) for width in job.experiment.widths]
    job.write_table(pd.concat(tables, ignore_index=True))


def _at_width(job: Job, width: int) -> pd.DataFrame:
    """All metrics of the networks of one width."""
    e, data = job.experiment, job.read("dataset")
    network = job.read("network", width=width)
    rate = e.training.learning_rate
    infinite = job.read("limit") if e.limit != "none" else None
    learned = e.model.output_weights == "learned"
    found = measurements.kernels(network, data, infinite, rate, learned)
    found |= measurements.trajectories(network)
    found |= measurements.faults(network)
    if e.linearize != "none":
        linearized = job.read("linearized", width=width)
        found |= measurements.gaps(network, linearized, "linear")
        found |= measurements.linear_growth(linearized)
        if e.measure.loss_error:
            found |= measurements.loss_error(network, linearized["loss"], "linear")
    if infinite is not None:
        dynamics = measurements.limit_dynamics(
            network, data, infinite, rate, e.limit == "flow"
        )
        found |= measurements.gaps(network, dynamics, "limit")
        if e.measure.loss_error:
            predicted = measurements.loss_of(dynamics["f_train"], data["y_train"])
            found |= measurements.loss_error(network, predicted, "limit")
        if e.measure.straight:
            found |= measurements.straight(
                network, data, infinite, rate, e.limit == "flow"
            )
        if e.measure.limit_points:
            found |= measurements.against_limit(
                network, infinite, e.measure.limit_points
            )
    if e.training.ensemble is not None:
        found |= measurements.ensembles(network, e.model.depth, width, infinite)
    if e.measure.kernel_at:
        found |= measurements.kernel_slice(network, e.measure.kernel_at)
    if e.measure.frequencies:
        found |= measurements.frequencies(
            network,
            data,
            infinite,
            rate,
            e.measure.frequencies,
            e.measure.fit_level,
            e.limit == "flow",
        )
    if e.measure.modes:
        found |= measurements.modes(network, data, rate, e.measure.modes)
    return measurements.tidy(
        found, network["seed"], network["diverged"], job.at.variant, width
    )


def settings(at: Place) -> dict:
    """What the metrics of the networks of a variant depend on."""
    e = at.experiment
    return {
        "model": e.model,
        "training": e.training,
        "widths": e.widths,
        "limit": e.limit,
        "measure": e.measure,
    }


CONSTANCY = Stage(
    name="constancy",
    help="how far kernel, weights and outputs went, at all widths",
    per="variant",
    makes="constancy.csv",
    run=run,
    reads=(DATASET, TRAIN, LINEARIZE, LIMIT),
    settings=settings,
    memory_mb=lambda at: cost.constancy_mb(at.experiment),
    flop=lambda at: cost.all_widths(cost.eigh_flop)(at.experiment),
)
