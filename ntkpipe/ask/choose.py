"""Measure a user's network until a study is chosen that fits into its minutes."""

from __future__ import annotations

import contextlib
import logging
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from ntkpipe.ask import plan
from ntkpipe.ask.plan import Machine, Size, Speed, TooFew
from ntkpipe.ask.probe import Pilot, Probe, exponent, pilot, probe, wanted_steps
from ntkpipe.ask.source import Source, scaled
from ntkpipe.data.base import Data
from ntkpipe.data.table import Csv
from ntkpipe.models.python import Python
from ntkpipe.stages.dataset import key_of_data
from ntkpipe.text import decimal, duration, many, number
from ntkpipe.training.protocol import Training
from ntkpipe.users.run import UsersError

SEED = 0
"""Of the study."""
PILOT_SHARE = 0.15
"""Share of the minutes that a pilot may take."""


class Chosen(NamedTuple):
    """A study, and what was measured for it."""

    table: Csv
    data: Data
    model: Python
    size: Size
    rate: float
    limit: float
    """The largest stable learning rate, of the least stable width."""
    exponent: float
    wanted: int
    """Steps after which the linearised model's loss is low."""
    pilot: Pilot
    speeds: dict[int, Speed]
    machine: Machine
    notes: tuple[str, ...]
    """What was left out, and why."""
    later: str
    """What a longer run would add."""

    @property
    def half(self) -> float:
        """Predicted half-width of the interval of the slope; NaN for one width."""
        if len(self.size.widths) < 2:
            return math.nan
        scatter = self.pilot.scatter
        return plan.half_width(scatter, self.size.widths, self.size.seeds)


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """A type that the jobs cast is told in their logs, too."""
    log = logging.getLogger("ntkpipe")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


@_without_warnings()
def choose(
    source: Source, table: Csv, whole: Data, minutes: float, began: float, cores: int
) -> Chosen:
    """Choose points, widths, learning rate, steps and seeds.

    Args:
        source: the network.
        table: the user's table, with all rows.
        whole: its points.
        minutes: for everything.
        began: the time at which they began, `time.monotonic`.
        cores: of the run.

    Raises:
        TooFew: the minutes are too few.
        UsersError: the network is refused.
    """
    machine = Machine(_start(), cores)
    end = began + minutes * plan.MINUTE
    first = _measured(source, table, whole, minutes, end, machine)
    size, speeds = first.size, first.speeds
    model = scaled(source, first.exponent)
    least = size.widths[0]
    found, training = _pilot(model, first, least, minutes)
    budget = plan.SPARE * (end - time.monotonic())
    size = plan.seeds(machine, speeds, size, found.scatter, budget)
    notes = (*first.notes, *_left_out(first, size, found))
    later = _later(source, first, size, found, machine, minutes)
    return Chosen(
        first.table,
        first.data,
        model,
        size,
        training.learning_rate,
        2 * first.rate,
        first.exponent,
        first.wanted,
        found,
        speeds,
        machine,
        notes,
        later,
    )


class Measured(NamedTuple):
    """Times and kernels on the points of the study, and what follows from them."""

    table: Csv
    data: Data
    speeds: dict[int, Speed]
    exponent: float
    rate: float
    wanted: int
    size: Size
    notes: tuple[str, ...]
    rows: int
    """All training rows of the table."""


def _start() -> float:
    """Seconds in which a job starts."""
    code = "import jax, ntkpipe.training, ntkpipe.study; jax.numpy.zeros(1)"
    begin = time.monotonic()
    subprocess.run([sys.executable, "-P", "-c", code], check=True, capture_output=True)
    return time.monotonic() - begin


def _measured(
    source: Source,
    table: Csv,
    whole: Data,
    minutes: float,
    end: float,
    machine: Machine,
) -> Measured:
    """Halve the points until all widths fit with enough steps; measured only once."""
    (n, k), tests = whole.y_train.shape, len(whole.y_test)
    most = max(plan.MOST_ROWS // k, 2)
    if tests > most:
        table = replace(table, test=most)
        n += tests - most
    points = min(n, most)
    data = _some(table, points, n).sample(key_of_data(SEED))
    probes, notes = _probes(source, data)
    p, own = exponent(probes), source.width
    limits = [2 / one.largest.max() / (own / one.speed.width) ** p for one in probes]
    rate = min(limits) / 2
    every = plan.widths(own, len(probes) > 1)
    budget = plan.SPARE * (end - time.monotonic() - PILOT_SHARE * 60 * minutes)
    for some in plan.halvings(points):
        kept = [one.of_points(some) for one in probes]
        wanted = max(wanted_steps(one, data.y_train[:some], rate) for one in kept)
        between = [one.speed for one in kept]
        speeds = {n: plan.between(between, n) for n in every}
        last = some == plan.halvings(points)[-1]
        try:
            size = plan.steps_and_widths(machine, speeds, own, wanted, budget, minutes)
        except TooFew:
            if last:
                raise
            continue
        enough = size.steps >= min(wanted, plan.GOOD_STEPS)
        if last or (enough and len(size.widths) == len(every)):
            break
    table = _some(table, some, n)
    data = table.sample(key_of_data(SEED)) if some < points else data
    return Measured(table, data, speeds, p, rate, wanted, size, tuple(notes), n)


def _some(table: Csv, points: int, rows: int) -> Csv:
    """The table with some of its training rows."""
    return replace(table, points=points) if points < rows else table


def _probes(source: Source, data: Data) -> tuple[list[Probe], list[str]]:
    """The user's width and the smallest that can be built, ascending; what failed."""
    own = probe(source.model, data, source.width, SEED)
    if not source.has_width:
        text = f"{source.words}, so that scaling can't be judged"
        return [own], [text]
    notes = []
    for least in (source.width // 4, source.width // 2):
        if least < 1:
            continue
        try:
            small = probe(source.model, data, least, SEED)
        except UsersError as error:
            notes.append(f"width {least} can't be built ({error})")
            continue
        if small.shapes == own.shapes:
            text = "the parameters have the same shapes at two widths"
            return [own], [f"{text}, so that scaling can't be judged"]
        return [small, own], notes
    return [own], notes


def _pilot(
    model: Python, first: Measured, width: int, minutes: float
) -> tuple[Pilot, Training]:
    """A few networks of the smallest width, for the scatter between networks."""
    speed = first.speeds[width]
    free = PILOT_SHARE * plan.MINUTE * minutes - 2 * speed.start
    fit = (free / plan.PILOT - speed.network(0)) / speed.step
    steps = int(min(first.size.steps, max(fit, plan.LEAST_STEPS)))
    training = Training(learning_rate=first.rate, steps=steps, record=2)
    return pilot(model, training, first.data, width, SEED, plan.PILOT)


# ------------------------------------------------------------------ words


def _left_out(first: Measured, size: Size, found: Pilot) -> Iterator[str]:
    """What the study lacks for its minutes."""
    points = len(first.data.x_train)
    if points < first.rows:
        yield f"{first.rows - points:,} of {first.rows:,} training rows are left out"
    if missing := sorted({*first.speeds} - {*size.widths}):
        yield f"no time for width {', '.join(map(str, missing))}"
    if size.steps < first.wanted:
        yield f"no time for all {first.wanted:,} steps of this rule"
    if size.seeds < (wanted := plan.wanted_seeds(found.scatter, size.widths)):
        yield f"no time for the {wanted} networks per width of the power rule"


def _later(
    source: Source,
    first: Measured,
    size: Size,
    found: Pilot,
    machine: Machine,
    minutes: float,
) -> str:
    """What six times the minutes, or an hour, would add."""
    longer = 60.0 if minutes < 60 else 6 * minutes
    budget = plan.SPARE * (1 - PILOT_SHARE) * longer * plan.MINUTE
    larger = plan.steps_and_widths(
        machine, first.speeds, source.width, first.wanted, budget, longer
    )
    larger = plan.seeds(machine, first.speeds, larger, found.scatter, budget)
    points = len(first.data.x_train)
    most = min(first.rows, plan.MOST_ROWS // first.data.y_train.shape[1])
    more = f"up to {most:,} training rows" if points < most else ""
    added = plan.more(size, larger, found.scatter, more)
    return f"--minutes {longer:g} would add: {added or 'nothing'}"


def lines(chosen: Chosen, source: Source) -> Iterator[str]:
    """What was chosen and why, what is left out, and what more time would add."""
    size, n = chosen.size, len(chosen.data.x_train)
    small, own = chosen.speeds[size.widths[0]], chosen.speeds[source.width]
    for one in dict.fromkeys((own, small)):
        times = f"a step takes {_time(one.step)}, a kernel {_time(one.kernel)}"
        yield f"measured at width {one.width}: {times}"
    yield f"width: {source.words}"
    yield f"points: {n:,} to train on, {len(chosen.data.x_test):,} to test"
    rate = f"learning rate: {number(chosen.rate)}; at most {number(chosen.limit)} is "
    yield rate + "stable, 2/λ_max(Θ/N) of several networks"
    if chosen.exponent and len(size.widths) > 1:
        yield (
            f"  λ_max grows as width^{chosen.exponent:g}: at width n this is "
            f"multiplied by ({own.width}/n)^{chosen.exponent:g}, so that all widths "
            "learn equally fast"
        )
    cut = "" if size.steps >= chosen.wanted else ", cut by the time"
    yield f"steps: {size.steps:,}, {plan.WHY_STEPS}{cut}"
    yield f"widths: {', '.join(map(str, size.widths))}"
    scatter = number(chosen.pilot.scatter, 2)
    text = f"networks: {size.seeds} of each width; {many(plan.PILOT, 'network')} of "
    text += f"a pilot scatter by {scatter} in log change"
    if len(size.widths) > 1:
        half = decimal(chosen.half, chosen.half)
        text += f", so that the slope is known to ± {half}"
    yield text
    seconds = plan.seconds(chosen.machine, chosen.speeds, size)
    yield f"time: about {duration(seconds)} on {many(chosen.machine.cores, 'core')}"
    yield from (f"left out: {note}" for note in chosen.notes)
    yield chosen.later


def _time(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{number(seconds / size, 2)} {unit}"
    return f"{number(seconds / 1e-6, 2)} µs"
