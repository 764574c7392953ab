"""What jobs took, which failed, and which were started again."""

import os

import pytest

from ntkpipe.stages import jobs
from ntkpipe.study import parse

STUDY = """
title: A
question: B?
dataset: {kind: circle, points: 4, target: {kind: product}}
model: {depth: 1}
training: {learning_rate: 1, steps: 10}
widths: [8, 16, 9000]
"""
SNAKEMAKE = """\
[Sat Nov 28 05:06:30 2026]
Job 2: x: training base at width 8
[Sat Nov 28 05:06:31 2026]
Error in rule train:
    message: x: training base at width 8
    jobid: 2
Trying to restart job 2.
Job 2: x: training base at width 8
Trying to restart job 2.
Trying to restart job 7.
Finished jobid: 2 (Rule: train)
"""


@pytest.fixture
def one():
    return parse(STUDY, "x.yaml")


def write(path, text, when=1000):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (when, when))


def test_run_time_counts_only_jobs_of_the_study(one, tmp_path):
    for width in (8, 16, 32, 9000):  # the study no longer has 32
        table = tmp_path / "x" / "base" / f"width{width}" / "train.tsv"
        write(table, f"s\th:m:s\n{width}\t0\n")
    assert jobs.run_time(one, tmp_path) == 9024
    assert jobs.run_time(one, None) is jobs.run_time(one, tmp_path / "none") is None


def test_a_job_failed_if_its_log_is_newer_than_its_benchmark(one, tmp_path):
    logs, tables = tmp_path / "logs", tmp_path / "logs" / "benchmarks"
    for width, log, table in (
        (8, 1000, 1001),  # finished
        (16, 5000, 1001),  # run again, and failed
        (32, 1000, None),  # not of the study
        (9000, 1000, None),  # never finished
    ):
        name = f"x/base/width{width}/train"
        write(logs / f"{name}.log", f"step 1\nno memory at {width}\n\n", log)
        if table:
            write(tables / f"{name}.tsv", "s\n1\n", table)
    found = {failed.says for failed in jobs.failed(one, logs, tables)}
    assert found == {"no memory at 16", "no memory at 9000"}
    assert jobs.failed(one, None, tables) == jobs.failed(one, logs, None) == []


def test_jobs_that_were_started_again_are_counted_in_the_last_run(tmp_path):
    folder = tmp_path / "log"
    write(folder / "2026-11-27.snakemake.log", "Trying to restart job 1.\n")
    write(folder / "2026-11-28.snakemake.log", SNAKEMAKE)
    found = {"x: training base at width 8": 2, "job 7": 1}
    assert jobs.repeated(folder) == found
    assert jobs.repeated(None) == jobs.repeated(tmp_path / "none") == {}
