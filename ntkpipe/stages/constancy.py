"""The metrics of all networks: changes of kernel, weights and outputs."""

from __future__ import annotations

from functools import partial

from ntkpipe import cost, measurements
from ntkpipe.lazy import Lazy
from ntkpipe.stages.dataset import DATASET
from ntkpipe.stages.job import Job
from ntkpipe.stages.limit import LIMIT
from ntkpipe.stages.linearize import LINEARIZE
from ntkpipe.stages.stage import Stage, keys
from ntkpipe.stages.train import TRAIN

pd = Lazy("pandas")


def run(job: Job) -> None:
    """Compute the metrics of all networks of a variant, and write constancy.csv."""
    e, variant = job.experiment, job.at.variant
    tables = [
        measurements.of_width(e, variant, width, partial(job.read, width=width))
        for width in e.widths
    ]
    job.write_table(pd.concat(tables, ignore_index=True))


CONSTANCY = Stage(
    name="constancy",
    help="compute the metrics of all networks of a variant (constancy.csv)",
    per="variant",
    makes="constancy.csv",
    run=run,
    reads=(DATASET, TRAIN, LINEARIZE, LIMIT),
    settings=keys("model", "training", "widths", "limit", "measure"),
    memory_mb=lambda at: cost.constancy_mb(at.experiment),
    flop=lambda at: cost.all_widths(cost.eigh_flop)(at.experiment),
)
