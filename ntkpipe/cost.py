"""What the jobs of a study cost, from its file alone: numbers, operations, time.

The estimates are for requests to a scheduler and for a person who decides whether to
wait; they are right within a factor of two or so.
"""

from collections.abc import Callable
from typing import NamedTuple

from ntkpipe.study import Experiment, Study

NUMBER = 8  # bytes, float64
MB = 10**6
# Seconds of a core for a job of any size: a start of Python, and compiling.
JOB, TRAINING = 1.5, 2.0
# FLOP/s of one core (float64, matrices of a few hundred rows) and of one large GPU
# (float32 at highest precision), and the seconds that a step and a start take there.
CORE, GPU, GPU_STEP, GPU_START = 3e10, 2e13, 1e-4, 5.0
DRAW = 750  # operations that take as long as a weight drawn at random and its moments


def points(e: Experiment) -> int:
    """Training points (of a user's own data: a guess)."""
    d = e.dataset
    listed = getattr(d, "angles", None) or getattr(d, "x", None)
    return len(listed or ()) or getattr(d, "train", 0) or getattr(d, "points", 1000)


def test_points(e: Experiment) -> int:
    """Test points (of a user's own data: a guess)."""
    return getattr(e.dataset, "test", 1000)


def outputs(e: Experiment) -> int:
    """Outputs k of a network."""
    target, listed = getattr(e.dataset, "target", None), getattr(e.dataset, "y", None)
    classes = len(getattr(e.dataset, "classes", ()))
    if classes and target is None:
        return 1 if classes == 2 else classes
    return len(listed[0]) if listed else getattr(target, "outputs", 1)


def kernel_rows(e: Experiment) -> int:
    """Rows of the kernel: N·k, or N of a traced one."""
    return points(e) * (1 if e.training.kernel == "trace" else outputs(e))


def test_rows(e: Experiment) -> int:
    """Rows of the kernel between test and training points."""
    return test_points(e) * kernel_rows(e) // points(e)


def weights(e: Experiment, width: int) -> int:
    """Weights of one network, about."""
    return max(e.model.depth - 1, 0) * width**2 + 100 * width


def train_flop(e: Experiment, width: int) -> int:
    """Operations of all steps and kernels of the networks of a width."""
    steps = 6 * weights(e, width) * points(e) * e.training.steps
    kernels = 4 * kernel_rows(e) ** 2 * width * e.model.depth * e.training.snapshots
    return e.seeds_at(width) * (steps + kernels + ensemble_flop(e, width))


def ensemble_flop(e: Experiment, width: int) -> int:
    """Operations of drawing and measuring the networks of a group, of few inputs."""
    if e.training.ensemble is None:
        return 0
    size = max(e.model.depth - 1, 0) * width**2 + 3 * width
    return DRAW * size * e.training.ensemble.networks


def eigh_flop(e: Experiment, width: int) -> int:
    """Operations of an eigendecomposition, 20 N³, of each kernel that is kept."""
    kernels = e.seeds_at(width) * (e.training.snapshots + 1)
    return 20 * kernels * kernel_rows(e) ** 3


def limit_flop(e: Experiment) -> int:
    """Operations of a product of 4 N³ for each recorded step."""
    return 4 * e.training.record * (points(e) + test_points(e)) ** 3


def data_mb(e: Experiment) -> int:
    """Three copies of the points."""
    rows = points(e) + test_points(e)
    return 3 * rows * getattr(e.dataset, "dimension", 100) * NUMBER // MB


def train_mb(e: Experiment, width: int) -> int:
    """Six copies of the weights, the signals of all points, the kernels kept."""
    seeds, rows = e.seeds_at(width), kernel_rows(e)
    signals = 4 * rows * width * (e.model.depth + 1)
    kernels = seeds * rows * ((e.training.snapshots + 1) * rows + test_rows(e))
    together = seeds if weights(e, width) <= 100_000 else 1
    return (together * (6 * weights(e, width) + signals) + 3 * kernels) * NUMBER // MB


def kernel_mb(e: Experiment, width: int) -> int:
    """The kernels of all networks that are kept, and their eigenvectors."""
    seeds = e.seeds_at(width)
    kernels = seeds * (e.training.snapshots + 1) * kernel_rows(e) ** 2
    recorded = seeds * e.training.record * kernel_rows(e)
    return 4 * (kernels + recorded) * NUMBER // MB


def limit_mb(e: Experiment) -> int:
    """A covariance of the outputs for each recorded step."""
    rows = points(e) + test_points(e)
    return 4 * e.training.record * rows**2 * NUMBER // MB


def all_widths(estimate: Callable[[Experiment, int], int]):
    """The sum of an estimate over the widths of an experiment."""
    return lambda e: sum(estimate(e, width) for width in e.widths)


class Cost(NamedTuple):
    """Of a study: jobs, operations, seconds on two cores and on them with a GPU."""

    jobs: int
    flop: float
    cores_s: float
    gpu_s: float


def of_study(study: Study) -> Cost:
    """The sum over the jobs of a study, all of them run, none stopped early."""
    jobs, flop, cores, gpu = 3 + len(study.figures), 0, 0.0, 0.0
    for variant, e in study.variants.items():
        own_data, limit = study.data_of(variant) == variant, e.limit != "none"
        jobs += own_data + limit + 1 + len(e.widths) * (1 + (e.linearize != "none"))
        others = limit_flop(e) if limit else 0
        for width in e.widths:
            others += eigh_flop(e, width)
            training = train_flop(e, width)
            flop += training
            here = (TRAINING + training / CORE) / 2
            steps = e.training.steps * e.seeds_at(width)
            there = GPU_START + max(training / GPU, GPU_STEP * steps)
            cores, gpu = cores + here, gpu + min(here, there)
        flop += others
        cores, gpu = cores + others / CORE / 2, gpu + others / CORE / 2
    return Cost(jobs, float(flop), cores + jobs * JOB / 2, gpu + jobs * JOB / 2)


def table(studies: list[Study]) -> str:
    """What each study costs, for a person."""
    rows = [(study.name, *of_study(study)) for study in studies]
    rows.append(
        ("in all", *(sum(column) for column in list(zip(*rows, strict=True))[1:]))
    )
    wide = max(len(row[0]) for row in rows)
    lines = [f"{'study':{wide}}   jobs   operations   two cores   and one GPU"]
    for name, jobs, flop, cores, gpu in rows:
        times = f"{duration(cores):>9}   {duration(gpu):>11}"
        lines.append(f"{name:{wide}}  {jobs:5,d}   {flop:8.1e}     {times}")
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """A time in the unit that fits: `50 s`, `12 min`, `3 h`, `5 days`."""
    for unit, size in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
