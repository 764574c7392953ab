"""A verdict on each claim of a study."""

from __future__ import annotations

from ntkpipe.stages.job import Job, log
from ntkpipe.stages.measure import MEASURE
from ntkpipe.stages.stage import Stage


def run(job: Job) -> None:
    """Judge each claim of a study, and write claims.csv."""
    from ntkpipe import claims

    table = job.read("measurements")
    verdicts = [claim.evaluate(table) for claim in job.study.claims]
    result = claims.table(verdicts)
    result["study"] = job.study.name
    job.write_table(result)
    for verdict in verdicts:
        log.info("%s: %s", verdict.claim, verdict.verdict)


CLAIMS = Stage(
    name="claims",
    help="judge each claim of a study (claims.csv)",
    per="study",
    makes="claims.csv",
    run=run,
    reads=(MEASURE,),
    settings=lambda at: {"claims": at.study.claims},
    sections=lambda at: at.study.claims,
)
