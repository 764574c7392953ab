"""The files that a run makes, and their cost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ntkpipe import artifacts, cost
from ntkpipe.artifacts import Product, ProductError
from ntkpipe.stages import STAGES
from ntkpipe.stages.figure import endings
from ntkpipe.stages.job import check_settings
from ntkpipe.stages.stage import Place, Stage
from ntkpipe.study import Study, StudyError
from ntkpipe.text import duration


def products(study: Study) -> Iterator[tuple[Stage, Place]]:
    """All products of a study: each stage at all of its places."""
    for stage in STAGES.values():
        for at in stage.places(study):
            yield stage, at


def files(study: Study) -> Iterator[str]:
    """Paths of all files of a study, relative to the folder of results."""
    for stage, at in products(study):
        if at.figure:
            for ending in endings(study.figure(at.figure)):
                yield stage.path(at, f"{at.figure}.{ending}")
        else:
            yield stage.path(at)
            if stage.makes.endswith(".csv"):
                yield artifacts.record_of(stage.path(at)).as_posix()


def is_of(study: Study, path: str) -> bool:
    """Whether the metadata of a product match the study's settings and data."""
    try:
        product = Product(artifacts.load_meta(path), None)
        check_settings(study, path, product, *STAGES.values())
    except (ProductError, StudyError):
        return False
    return product.meta["study"] == study.name


class Cost(NamedTuple):
    """Jobs, operations, seconds on two cores, and seconds on two cores and a GPU."""

    jobs: int
    flop: float
    cores_s: float
    gpu_s: float


def of_study(study: Study) -> Cost:
    """The cost of all jobs of a study, if no training stops early."""
    page = Cost(1, 0.0, cost.JOB / 2, cost.JOB / 2)
    return _sum([page, *(_of_job(stage, at) for stage, at in products(study))])


def _of_job(stage: Stage, at: Place) -> Cost:
    flop = stage.flop(at)
    cores, gpu = (stage.seconds or (lambda at: cost.seconds(flop)))(at)
    return Cost(1, float(flop), cores + cost.JOB / 2, min(cores, gpu) + cost.JOB / 2)


def _sum(costs: list[Cost]) -> Cost:
    return Cost(*map(sum, zip(*costs, strict=True)))


def table(studies: list[Study]) -> str:
    """The cost of each study, as a table for the terminal."""
    costs = [of_study(study) for study in studies]
    names = [*(study.name for study in studies), "in all"]
    rows = [*zip(names, [*costs, _sum(costs)], strict=True)]
    wide = max(len(name) for name, _ in rows)
    lines = [f"{'study':{wide}}   jobs   operations   two cores   and one GPU"]
    for name, (jobs, flop, cores, gpu) in rows:
        times = f"{duration(cores, True):>9}   {duration(gpu, True):>11}"
        lines.append(f"{name:{wide}}  {jobs:5,d}   {flop:8.1e}     {times}")
    return "\n".join(lines)
