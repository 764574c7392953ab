"""The files that a run makes, and their cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
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


PAGE = Cost(1, 0.0, cost.JOB / 2, cost.JOB / 2)
"""The cost of a job that takes no time but that of starting Python."""
NONE = Cost(0, 0.0, 0.0, 0.0)
RULES = {"animation": "figure"}
"""Stages of the rules that are not called as their stage."""


def of_study(study: Study) -> Cost:
    """The cost of all jobs of a study, if no training stops early."""
    return total(of_job(stage.name, at) for stage, at in products(study))


def of_job(rule: str, at: Place | None) -> Cost:
    """The cost of a job of a rule; of a rule for all studies, `at` is None."""
    stage = STAGES.get(RULES.get(rule, rule))
    if stage is None or at is None:
        return PAGE
    flop = stage.flop(at)
    cores, gpu = (stage.seconds or (lambda at: cost.seconds(flop)))(at)
    return Cost(1, float(flop), cores + cost.JOB / 2, min(cores, gpu) + cost.JOB / 2)


def place(studies: Mapping[str, Study], wildcards: Mapping[str, str]) -> Place | None:
    """The place of a job with these wildcards; None if it is of all studies."""
    study = studies.get(wildcards.get("study", ""))
    if study is None:
        return None
    width = int(wildcards.get("width", 0))
    return Place(
        study, wildcards.get("variant", ""), width, wildcards.get("figure", "")
    )


def total(costs: Iterable[Cost]) -> Cost:
    """The sum of costs."""
    return Cost(*map(sum, zip(NONE, *costs, strict=True)))


def table(
    studies: Iterable[Study], to_run: Iterable[tuple[str, Place | None]] | None = None
) -> str:
    """The cost of each study, as a table for the terminal.

    Args:
        studies: the studies of a run.
        to_run: rule and place of the jobs that would run, if they are known. The times
            are then of these jobs, else of all jobs.
    """
    whole = {study.name: of_study(study) for study in studies}
    whole["the page"] = PAGE
    left = whole
    if to_run is not None:
        parts: dict[str, list[Cost]] = {name: [] for name in whole}
        for rule, at in to_run:
            if rule != "all":
                name = at.study.name if at else "the page"
                parts[name].append(of_job(rule, at))
        left = {name: total(costs) for name, costs in parts.items()}
    rows = [*((name, whole[name], left[name]) for name in whole)]
    rows.append(("in all", total(whole.values()), total(left.values())))
    wide = max(len(name) for name in [*whole, "study"])
    lines = [f"{'study':{wide}}   jobs  to run   operations   two cores   and one GPU"]
    for name, every, rest in rows:
        times = f"{duration(rest.cores_s, True):>9}   {duration(rest.gpu_s, True):>11}"
        jobs = f"{every.jobs:5,d}  {rest.jobs:6,d}"
        lines.append(f"{name:{wide}}  {jobs}   {rest.flop:10.1e}   {times}")
    return "\n".join(lines)
