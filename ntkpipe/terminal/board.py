"""The state of a run: which jobs wait, run and are done, and how much time is left.

Weights are core seconds: a job that occupies two cores for three seconds weighs six.
The plan predicts the weight of each job (`ntkpipe.cost`). Finished jobs correct the
predictions of the jobs of the same stage.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

PRIOR = 20.0
"""Core seconds of finished jobs that count as much as the prediction."""
MOST = 0.95
"""Largest share that a running job without a progress line is taken to have done."""
LEAST = 0.02
"""Smallest reported share from which the rest of a job is extrapolated."""


class Planned(NamedTuple):
    """A job that will run."""

    id: int
    stage: str
    """Name of the rule."""
    study: str = ""
    """Name of its study; empty for a job of all studies."""
    weight: float = 1.0
    """Predicted core seconds."""
    networks: int = 1
    """Number of networks that it trains."""
    retries: int = 0
    """How often it is tried again after a failure."""
    needs: tuple[int, ...] = ()
    """The jobs whose products it reads."""


class Started(NamedTuple):
    """A running job."""

    job: Planned
    what: str
    """The job in words, without the name of its study."""
    log: str
    threads: int
    at: float
    """When it started, in seconds of `Board.clock`."""


class Failure(NamedTuple):
    """An attempt of a job that failed."""

    job: Planned
    what: str
    reason: str
    log: str
    attempt: int

    @property
    def is_final(self) -> bool:
        """Whether the job is not tried again."""
        return self.attempt > self.job.retries


@dataclass
class Board:
    """Counts and times of all jobs of a run."""

    cores: int = 1
    remote_jobs: int = 0
    """How many jobs may run at once on a cluster; 0 if jobs run on this machine."""
    total: int = 0
    """Number of jobs, if there is no plan."""
    studies: tuple[str, ...] = ()
    """All studies of the run, also those whose files are all there."""
    clock: Callable[[], float] = time.monotonic
    share_of: Callable[[Started], float | None] = lambda started: None
    """The share of a running job that its log reports; None if it reports none."""
    planned: dict[int, Planned] = field(default_factory=dict)
    running: dict[int, Started] = field(default_factory=dict)
    done: set[int] = field(default_factory=set)
    lost: set[int] = field(default_factory=set)
    """Jobs that failed, and jobs that can't run because they need those."""
    failures: list[Failure] = field(default_factory=list)
    spent: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    """Seconds in which jobs of a study ran."""

    def __post_init__(self) -> None:
        self.began = self.clock()
        # weights of finished jobs by stage
        self._measured: defaultdict[str, float] = defaultdict(float)
        self._predicted: defaultdict[str, float] = defaultdict(float)

    # ------------------------------------------------------------ what happens

    def plan(self, jobs: Iterable[Planned]) -> None:
        """Take the jobs that will run."""
        self.planned = {job.id: job for job in jobs}
        self.total = len(self.planned)

    def start(
        self, id: int, stage: str, study: str, what: str, log: str, threads: int
    ) -> None:
        """A job has started."""
        job = self.planned.setdefault(id, Planned(id, stage, study))
        self.running[id] = Started(job, what, log, threads, self.clock())

    def finish(self, id: int) -> Planned | None:
        """A job has ended well; None if it is not known."""
        job = self.planned.get(id)
        if job is None:
            return None
        self.done.add(id)
        if id in self.running:
            self._measured[job.stage] += self._stop(id)
            self._predicted[job.stage] += job.weight
        return job

    def fail(self, id: int, stage: str, reason: str, log: str) -> Failure:
        """An attempt of a job has failed."""
        job = self.planned.setdefault(id, Planned(id, stage))
        started = self.running.get(id)
        if started:
            self._stop(id)
        attempt = 1 + sum(failure.job.id == id for failure in self.failures)
        failure = Failure(job, started.what if started else stage, reason, log, attempt)
        self.failures.append(failure)
        self._count_lost()
        return failure

    def cancel(self, id: int) -> None:
        """A job was stopped from outside."""
        if id in self.running:
            self._stop(id)

    def tried_again(self, id: int) -> None:
        """Snakemake starts a failed job again, which the plan did not state."""
        job = self.planned.get(id)
        attempts = sum(failure.job.id == id for failure in self.failures)
        if job and job.retries < attempts:
            self.planned[id] = more = job._replace(retries=attempts)
            self.failures = [
                f._replace(job=more) if f.job.id == id else f for f in self.failures
            ]
            self._count_lost()

    def _count_lost(self) -> None:
        self.lost = more = {failure.job.id for failure in self.failed}
        while more:
            more = {
                job.id
                for job in self.planned.values()
                if job.id not in self.lost and not self.lost.isdisjoint(job.needs)
            }
            self.lost = self.lost | more

    def _stop(self, id: int) -> float:
        started = self.running.pop(id)
        seconds = self.clock() - started.at
        self.spent[started.job.study] += seconds
        return seconds * started.threads

    # ------------------------------------------------------------ counts

    @property
    def failed(self) -> list[Failure]:
        """Jobs that failed and are not tried again."""
        return [failure for failure in self.failures if failure.is_final]

    @property
    def repeated(self) -> int:
        """Number of jobs that were tried again."""
        return len({f.job.id for f in self.failures if not f.is_final})

    @property
    def not_run(self) -> int:
        """Number of jobs that can't run, because they need those that failed."""
        return len(self.lost) - len({failure.job.id for failure in self.failed})

    def jobs_left(self) -> Counter[str]:
        """How many jobs of each study still have to run and can."""
        return Counter(
            job.study
            for job in self.planned.values()
            if job.id not in self.done and job.id not in self.lost
        )

    def jobs_of(self, study: str) -> int:
        """All jobs of a study in this run."""
        return sum(job.study == study for job in self.planned.values())

    def ended_studies(self) -> list[str]:
        """Studies of which no job is left."""
        left = self.jobs_left()
        return [study for study in self.studies if not left[study]]

    def failed_studies(self) -> set[str]:
        """Studies with a job that failed or can't run."""
        return {self.planned[id].study for id in self.lost}

    # ------------------------------------------------------------ times

    def elapsed(self) -> float:
        """Seconds since the start."""
        return self.clock() - self.began

    def rates(self) -> dict[str, float]:
        """Measured over predicted weight, for the jobs of each stage.

        With few finished jobs it is close to the rate of all stages, and that one is
        close to 1 while few jobs have finished.
        """
        measured, predicted = self._measured, self._predicted
        predicted_all = sum(predicted.values())
        overall = (sum(measured.values()) + PRIOR) / (predicted_all + PRIOR)
        return {
            stage: (measured[stage] + PRIOR * overall) / (predicted[stage] + PRIOR)
            for stage in {job.stage for job in self.planned.values()}
        }

    @property
    def has_plan(self) -> bool:
        """Whether all jobs of the run are known, with their weights."""
        return len(self.planned) >= self.total > 0

    def share(self) -> float:
        """The share of all work that is done."""
        if not self.has_plan:
            return len(self.done) / self.total if self.total else 0.0
        whole = sum(job.weight for job in self.planned.values())
        rest = sum(weight for _, weight in self._rest({}))
        rest += sum(self.planned[id].weight for id in self.lost)
        return 1 - rest / whole if whole else 1.0

    def seconds_left(self) -> float | None:
        """Estimated seconds until the last job ends; None if it is not known.

        The work left is divided by the cores, or by the jobs of a cluster. The end
        can't come before that of the longest job.
        """
        if not self.has_plan:
            share = self.share()
            return self.elapsed() * (1 - share) / share if share > LEAST else None
        rest = list(self._rest(self.rates()))
        if not rest:
            return 0.0
        at_once = min(self.remote_jobs, len(rest)) or self.cores
        longest = max(weight / threads for threads, weight in rest)
        return max(longest, sum(weight for _, weight in rest) / at_once)

    def _rest(self, rates: dict[str, float]) -> Iterator[tuple[int, float]]:
        """Threads and weight left of each job that is not done and can run.

        With rates, the weights are corrected by what was measured.
        """
        for id, job in self.planned.items():
            if id in self.done or id in self.lost:
                continue
            weight = job.weight * rates.get(job.stage, 1.0)
            started = self.running.get(id)
            if not started:
                yield 1, weight
                continue
            used = (self.clock() - started.at) * started.threads
            share = self.share_of(started)
            if share is None:
                share = min(MOST, used / weight) if weight else MOST
            elif rates and share > LEAST:
                weight = used / share
            yield started.threads, weight * (1 - share)
