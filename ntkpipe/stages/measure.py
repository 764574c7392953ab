"""All measurements of a study in one table."""

from __future__ import annotations

from ntkpipe import measurements
from ntkpipe.lazy import Lazy
from ntkpipe.stages.constancy import CONSTANCY
from ntkpipe.stages.job import Job, log
from ntkpipe.stages.limit import LIMIT
from ntkpipe.stages.stage import Stage

pd = Lazy("pandas")


def run(job: Job) -> None:
    """Join all measurements of a study in one table, and write measurements.csv."""
    variants = job.study.variants
    tables = [job.read("constancy", variant) for variant in variants]
    for variant, e in variants.items():
        if e.has_limit:
            kernels = job.read("limit", variant)
            tables.append(measurements.of_limit(e, variant, kernels))
    table = pd.concat(tables, ignore_index=True)
    table.insert(0, "study", job.study.name)
    job.write_table(table)
    log.info("measure: %d values of %d metrics", len(table), table["metric"].nunique())


MEASURE = Stage(
    name="measure",
    help="all measurements of a study in one table",
    per="study",
    makes="measurements.csv",
    run=run,
    reads=(CONSTANCY, LIMIT),
)
