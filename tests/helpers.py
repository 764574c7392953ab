"""Functions that several test files use: run a stage, or all stages of a study."""

from pathlib import Path

from ntkpipe.stages import STAGES, Place
from ntkpipe.stages.job import Job


def run_stage(
    name, study, variant="", width=0, inputs=(), output="", *, figure="", **options
):
    """Run a stage as its command does; `output` is one path or a list of paths."""
    outputs = (output,) if isinstance(output, (str, Path)) else output
    at = Place(study, variant, width, figure)
    job = Job(
        STAGES[name],
        at,
        tuple(map(str, inputs)),
        tuple(map(str, outputs)),
        (study,),
        options,
    )
    STAGES[name].run(job)
    return str(output) if isinstance(output, (str, Path)) else list(map(str, output))


def run_study(study, folder):
    """Run a study up to its claims; return paths by (product, variant, width)."""
    made = {}
    for name, stage in STAGES.items():
        if name in ("figure", "report"):
            continue
        for at in stage.places(study):
            inputs = [
                made[source.product, place.variant, place.width]
                for source, place in stage.inputs(at)
            ]
            path = Path(folder, stage.path(at))
            made[stage.product, at.variant, at.width] = run_stage(
                name, study, at.variant, at.width, inputs, path
            )
    return made
