"""What the jobs of a study cost, from its file alone: numbers, operations, time.

The estimates are for requests to a scheduler and for a person who decides whether to
wait; they are right within a factor of two or so.
"""

import functools
from collections.abc import Callable, Iterable
from typing import NamedTuple

from ntkpipe.datasets import Dataset, Eigenvector, Sizes, Teacher
from ntkpipe.study import Experiment, Study
from ntkpipe.training.recorders import RECORDERS

NUMBER = 8  # bytes, float64
MB = 10**6
# Seconds of a core for a job of any size: a start of Python, and compiling.
JOB, TRAINING = 1.5, 2.0
# FLOP/s of one core (float64, matrices of a few hundred rows) and of one large GPU
# (float32 at highest precision), and the seconds that a step and a start take there.
CORE, GPU, GPU_STEP, GPU_START = 3e10, 2e13, 1e-4, 5.0
ACTIVATION = 100  # operations on weights that take as long as one activation
NARROW = 20 * 1024  # kernel rows times width that do not even fill two cores
DRAW = 750  # operations that take as long as a weight drawn at random and its moments
START = JOB * CORE


@functools.cache  # of a user's own data they stand in a file
def sizes(dataset: Dataset) -> Sizes:
    """Training and test points, dimension and outputs."""
    return dataset.sizes


def points(e: Experiment) -> int:
    """Training points n."""
    return sizes(e.dataset).train


def test_points(e: Experiment) -> int:
    """Test points m."""
    return sizes(e.dataset).test


def outputs(e: Experiment) -> int:
    """Outputs k of a network."""
    return sizes(e.dataset).outputs


def kernel_rows(e: Experiment) -> int:
    """Rows of the kernel: N·k, or N of a traced one."""
    return points(e) * (1 if e.training.kernel == "trace" else outputs(e))


def test_rows(e: Experiment) -> int:
    """Rows of the kernel between test and training points."""
    return test_points(e) * kernel_rows(e) // points(e)


def weights(e: Experiment, width: int) -> int:
    """Weights of one network, without biases."""
    ends = sizes(e.dataset).dimension + outputs(e)
    return max(e.model.depth - 1, 0) * width**2 + ends * width


def train_flop(e: Experiment, width: int) -> int:
    """Operations of all steps and kernels of the networks of a width."""
    size = weights(e, width) + ACTIVATION * width
    steps = 6 * size * points(e) * e.training.steps
    rows, tests = kernel_rows(e), test_rows(e)
    entries = e.training.snapshots * rows**2 + rows * tests
    entries += 2 * tests**2 if e.training.test_kernel else 0
    kernels = 4 * entries * width * e.model.depth
    return e.seeds_at(width) * (steps + kernels + ensemble_flop(e, width))


def is_narrow(e: Experiment, width: int) -> bool:
    """Whether the products of a network do not even fill two cores."""
    return kernel_rows(e) * width <= NARROW


def short_widths(e: Experiment) -> tuple[int, ...]:
    """Narrow widths, two or more, of which each trains faster than a job starts."""
    short = [
        width
        for width in e.widths
        if is_narrow(e, width) and draw_flop(e, width) + train_flop(e, width) <= START
    ]
    return tuple(short) if len(short) > 1 else ()


def draw_flop(e: Experiment, width: int) -> int:
    """Operations that take as long as drawing the networks of a width."""
    return e.seeds_at(width) * DRAW * weights(e, width)


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


def data_flop(e: Experiment) -> int:
    """Operations of an eigendecomposition, or of a teacher, where the data need one."""
    n, m, d, _ = sizes(e.dataset)
    match getattr(e.dataset, "target", None):
        case Eigenvector():
            return 20 * n**3
        case Teacher(neurons=neurons):
            return 2 * (n + m) * d * neurons
    return 0


def data_mb(e: Experiment) -> int:
    """Three copies of the points; kernels and eigenvectors, or a teacher's neurons."""
    n, m, d, _ = sizes(e.dataset)
    match getattr(e.dataset, "target", None):
        case Eigenvector():
            target = 8 * n * (n + m)
        case Teacher(neurons=neurons):
            target = 3 * (n + m + d) * neurons
        case _:
            target = 0
    return (3 * (n + m) * d + target) * NUMBER // MB


def train_mb(e: Experiment, width: int) -> int:
    """Six copies of the weights, the signals of all points, three of what is kept."""
    seeds, rows = e.seeds_at(width), kernel_rows(e) + test_rows(e)
    signals = 4 * rows * width * (e.model.depth + 1)
    together = seeds if weights(e, width) <= 100_000 else 1
    network = 3 * network_numbers(e, width)
    return (together * (6 * weights(e, width) + signals) + network) * NUMBER // MB


def dataset_numbers(e: Experiment) -> int:
    """Numbers in dataset.npz."""
    n, m, d, k = sizes(e.dataset)
    return (n + m) * (d + k)


def network_numbers(e: Experiment, width: int) -> int:
    """Numbers in network.npz, about: kernels, and outputs at recorded steps."""
    recorders = [r for r in RECORDERS if r.wanted(e.training)]
    return e.seeds_at(width) * sum(recorder.numbers(e) for recorder in recorders)


def linearized_numbers(e: Experiment, width: int) -> int:
    """Numbers in linearized.npz, about."""
    n, m, _, k = sizes(e.dataset)
    return e.seeds_at(width) * e.training.record * (n + m) * k


def limit_numbers(e: Experiment) -> int:
    """Numbers in limit.npz: two kernels, mean and deviation, a covariance."""
    n, m, _, k = sizes(e.dataset)
    kernels = 2 * (n**2 + n * m + m**2)
    return kernels + m**2 + e.training.record * (n + m) * (k + 1)


def kernel_mb(e: Experiment, width: int) -> int:
    """The networks of a width and their linearised models, eigenvectors and copies."""
    numbers = network_numbers(e, width) + linearized_numbers(e, width)
    return 4 * numbers * NUMBER // MB


def constancy_mb(e: Experiment) -> int:
    """Those of all widths, and the limit."""
    limit = limit_numbers(e) if e.limit != "none" else 0
    return all_widths(kernel_mb)(e) + 2 * limit * NUMBER // MB


def shown_mb(shown: Iterable[tuple[str, Experiment, int]]) -> int:
    """Two copies of the products (name, experiment, width) that a figure reads."""
    numbers = {
        "dataset": lambda e, width: dataset_numbers(e),
        "network": network_numbers,
        "linearized": linearized_numbers,
        "limit": lambda e, width: limit_numbers(e),
    }
    return 2 * sum(numbers[name](e, width) for name, e, width in shown) * NUMBER // MB


def shown_flop(shown: Iterable[tuple[str, Experiment, int]]) -> int:
    """Operations of an eigendecomposition of each kernel that a figure reads."""
    numbers = {"network": eigh_flop, "limit": lambda e, width: 20 * points(e) ** 3}
    return sum(numbers[name](e, width) for name, e, width in shown if name in numbers)


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


def of_study(study: Study, together: bool = False) -> Cost:
    """The sum over the jobs of a study, all of them run, none stopped early.

    `together`: short widths of a variant are one training.
    """
    jobs, flop, cores, gpu = 3 + len(study.figures), 0, 0.0, 0.0
    for variant, e in study.variants.items():
        own_data, limit = study.data_of(variant) == variant, e.limit != "none"
        jobs += own_data + limit + 1 + len(e.widths) * (1 + (e.linearize != "none"))
        jobs -= len(short_widths(e)[1:]) if together else 0
        others = (limit_flop(e) if limit else 0) + (data_flop(e) if own_data else 0)
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


def table(studies: list[Study], together: bool = False) -> str:
    """What each study costs, for a person."""
    rows = [(study.name, *of_study(study, together)) for study in studies]
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
