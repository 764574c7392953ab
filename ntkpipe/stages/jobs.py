"""What the jobs of a study took, and which of them failed or were repeated."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ntkpipe.study import Study

LATER_S = 60  # seconds; copied files may be in any order within a minute
LONGEST = 200  # characters of the last line of a log


class Failed(NamedTuple):
    """A job that failed or was interrupted."""

    log: str
    says: str
    """The last line of its log."""


def run_time(study: Study, benchmarks: str | Path | None) -> float | None:
    """Seconds that all jobs of a study took; None if they were not measured."""
    if benchmarks is None:
        return None
    tables = [*_of_study(study, Path(benchmarks), "tsv")]
    if not tables:
        return None
    try:
        return sum(map(_seconds, sorted(tables)))
    except (ValueError, KeyError, TypeError):
        return None  # a killed run leaves incomplete tables


def failed(
    study: Study, logs: str | Path | None, benchmarks: str | Path | None
) -> list[Failed]:
    """The jobs whose log has no benchmark, or is newer than it.

    Snakemake writes the benchmark of a job when the job has succeeded. Failed jobs can
    have a page, because their products may be from an earlier run.
    """
    if logs is None or benchmarks is None:
        return []
    found = []
    for log in sorted(_of_study(study, Path(logs), "log")):
        table = Path(benchmarks, log.relative_to(logs)).with_suffix(".tsv")
        ended = table.stat().st_mtime if table.exists() else -LATER_S
        if log.stat().st_mtime > ended + LATER_S:
            found.append(Failed(log.as_posix(), _last_line(log)))
    return found


def repeated(folder: str | Path | None) -> dict[str, int]:
    """How often the last run of Snakemake started a job again, by the job's message.

    Args:
        folder: the folder of Snakemake's logs, `.snakemake/log`.
    """
    logs = sorted(Path(folder).glob("*.snakemake.log")) if folder else []
    if not logs:
        return {}
    text = logs[-1].read_text(encoding="utf-8", errors="replace")
    messages = dict(re.findall(r"^Job (\d+): (.+)$", text, re.M))
    again = re.findall(r"^ *Trying to restart job (\d+)\.", text, re.M)
    return dict(Counter(messages.get(job, f"job {job}") for job in again))


def _of_study(study: Study, folder: Path, ending: str) -> Iterator[Path]:
    """Files of the jobs of a study, without those of widths that it no longer has."""
    files = {*Path(folder, study.name).rglob(f"*.{ending}")}
    for variant, e in study.variants.items():
        own = Path(folder, study.name, variant)
        widths = {f"width{width}" for width in e.widths}
        files -= {
            file
            for file in own.glob(f"width*/*.{ending}")
            if file.parent.name not in widths
        }
    yield from files


def _seconds(benchmark: Path) -> float:
    """Seconds in the rows of a benchmark, one row for each repetition of the job."""
    with benchmark.open(encoding="utf-8", newline="") as file:
        return sum(float(row["s"]) for row in csv.DictReader(file, delimiter="\t"))


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    said = [line.strip() for line in lines if line.strip()]
    return said[-1][:LONGEST] if said else "the log is empty"
