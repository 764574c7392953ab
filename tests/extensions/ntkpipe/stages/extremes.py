"""The smallest and largest output of the networks of each width."""

from __future__ import annotations

from ntkpipe.lazy import Lazy
from ntkpipe.stages.job import Job
from ntkpipe.stages.stage import Stage
from ntkpipe.stages.train import TRAIN

pd = Lazy("pandas")


def run(job: Job) -> None:
    """Smallest and largest f(x_i) at the last step, at all widths: extremes.csv."""
    rows = []
    for width in job.experiment.widths:
        f = job.read("network", width=width)["f_train"][:, -1]
        rows.append({"width": width, "smallest": f.min(), "largest": f.max()})
    job.write_table(pd.DataFrame(rows))


EXTREMES = Stage(
    name="extremes",
    help="the smallest and largest output at each width",
    per="variant",
    makes="extremes.csv",
    run=run,
    reads=(TRAIN,),
    settings=lambda at: {"widths": at.experiment.widths},
)
