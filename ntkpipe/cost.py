"""Estimates of the cost of jobs from the study file alone: numbers, operations, time.

The estimates are used for requests to a scheduler and for the table of `--dry-run`.
They are correct within a factor of about two.
"""

import functools
from collections.abc import Callable, Iterable
from typing import NamedTuple

from ntkpipe.data import Dataset
from ntkpipe.data.base import Sizes
from ntkpipe.experiment import Experiment
from ntkpipe.models.stack import Sizes as LayerSizes
from ntkpipe.training.recorders import RECORDERS

NUMBER = 8  # bytes, float64
MB = 10**6
# Seconds of one core to start Python, for any job, and to compile, for a training.
JOB, TRAINING = 1.5, 2.0
# FLOP/s of one core (float64, matrices of a few hundred rows) and of one large GPU
# (float32 at highest precision), and the seconds of a step and of a start on that GPU.
CORE, GPU, GPU_STEP, GPU_START = 3e10, 2e13, 1e-4, 5.0
ACTIVATION = 100  # operations on weights that take as long as one activation
NARROW = 20 * 1024  # kernel rows × width below which two cores are not busy
POSITION_PAIR = 1500  # operations that take as long as a pair of positions in a layer
DRAW = 750  # operations that take as long as drawing one weight and its moments
LANCZOS = 32  # products with the Hessian for the sharpness, as in `kernels.sharpness`


@functools.cache  # the sizes of a user's own data are read from a file
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
    """Rows of the kernel: N·k, or N if the kernel is traced."""
    return points(e) * (1 if e.training.kernel == "trace" else outputs(e))


def test_rows(e: Experiment) -> int:
    """Rows of the kernel between test and training points."""
    return test_points(e) * kernel_rows(e) // points(e)


def weights(e: Experiment, width: int) -> int:
    """Weights of one network, without biases."""
    return e.model.weights(width, sizes(e.dataset).dimension, outputs(e))


def on_positions(e: Experiment, width: int) -> list[LayerSizes] | None:
    """The weight layers of a network that acts on many positions; None of an MLP."""
    layer_sizes = getattr(e.model, "layer_sizes", None)
    if layer_sizes is None:
        return None
    return layer_sizes(width, sizes(e.dataset).dimension, outputs(e))


def as_jacobian(layer: LayerSizes) -> bool:
    """Whether products of Jacobians are cheaper than sums over pairs of positions."""
    return layer.a * layer.b < layer.t**2 * (layer.a + layer.b)


def train_flop(e: Experiment, width: int) -> int:
    """Operations of all steps and kernels of the networks of a width."""
    steps = step_flop(e, width) * e.training.steps
    rows, tests = kernel_rows(e), test_rows(e)
    entries = e.training.snapshots * rows**2 + rows * tests
    entries += 2 * tests**2 if e.training.test_kernel else 0
    if (layers := on_positions(e, width)) is None:
        kernels = 4 * entries * width * e.model.depth
    else:
        pair = sum(
            2 * (s.a * s.b if as_jacobian(s) else s.t**2 * (s.a + s.b)) for s in layers
        )
        # a backward pass of each row, and its Jacobian
        row = 4 * sum(s.t * s.a * s.b for s in layers)
        kernels = entries * pair + (e.training.snapshots + 1) * (rows + tests) * row
    kernels += e.training.snapshots * sharpness_flop(e, width)
    return e.seeds_at(width) * (steps + kernels + ensemble_flop(e, width))


def sharpness_flop(e: Experiment, width: int) -> int:
    """Operations of the largest eigenvalue of the loss's Hessian, by Lanczos."""
    if not e.training.sharpness:
        return 0
    # a product costs two steps; each vector is made orthogonal to the others twice
    product = 2 * step_flop(e, width) * points(e) // (e.training.batch or points(e))
    return LANCZOS * (product + 4 * LANCZOS * weights(e, width))


def step_flop(e: Experiment, width: int) -> int:
    """Operations of a step of a network: forward and twice backward."""
    if (layers := on_positions(e, width)) is None:
        size = weights(e, width) + ACTIVATION * width
    else:
        size = sum(s.t * s.a * s.b for s in layers)
        size += ACTIVATION * sum(s.t * s.b for s in layers[:-1])
    return 6 * size * (e.training.batch or points(e))


def is_narrow(e: Experiment, width: int) -> bool:
    """Whether the matrix products of a network are too small for two cores."""
    return kernel_rows(e) * width <= NARROW


def ensemble_flop(e: Experiment, width: int) -> int:
    """Operations of drawing and measuring the networks of a group, with two inputs."""
    if e.training.ensemble is None:
        return 0
    return DRAW * e.model.weights(width, 2, 1) * e.training.ensemble.networks


def eigh_flop(e: Experiment, width: int) -> int:
    """Operations of an eigendecomposition, 20 N³, of each stored kernel."""
    kernels = e.seeds_at(width) * (e.training.snapshots + 1)
    return 20 * kernels * kernel_rows(e) ** 3


def linearize_flop(e: Experiment, width: int) -> int:
    """Operations: an eigendecomposition per network, a product per recorded step.

    Without a closed form there is a product per step. In weights, a step takes three
    times as long as that of the network.
    """
    rows, tests = kernel_rows(e), test_rows(e)
    recorded = 4 * e.training.record * rows * (rows + tests)
    steps = e.training.steps
    if not e.training.linear_updates:
        return 3 * e.seeds_at(width) * step_flop(e, width) * steps
    training = 20 * rows**3 if e.training.closed_form else 2 * steps * rows**2
    return e.seeds_at(width) * (training + recorded)


def limit_flop(e: Experiment) -> int:
    """Operations: 4 N³ for each recorded step, 20 N³ for each draw's eigenvalues.

    The kernels themselves take time if they are of pairs of positions.
    """
    n, m, d, _ = sizes(e.dataset)
    pairs = getattr(e.model, "position_pairs", lambda d: 0)(d) * POSITION_PAIR
    draws = e.measure.limit_draws - 1
    dynamics = 4 * e.training.record * (n + m) ** 3
    kernels = pairs * ((n + m) ** 2 + draws * n**2) // 2
    return dynamics + kernels + draws * 20 * n**3


def data_flop(e: Experiment) -> int:
    """Operations of the targets: an eigendecomposition, or a teacher network."""
    return e.draws * e.dataset.flop()


def data_mb(e: Experiment) -> int:
    """MB: three copies of the points of all draws, a target's arrays or a table."""
    n, m, d, _ = sizes(e.dataset)
    return (3 * e.draws * (n + m) * d + e.dataset.numbers()) * NUMBER // MB


def train_mb(e: Experiment, width: int) -> int:
    """MB: copies of the weights, the signals, three copies of network.npz."""
    seeds, rows = e.seeds_at(width), kernel_rows(e) + test_rows(e)
    if (layers := on_positions(e, width)) is None:
        signals = 4 * rows * width * (e.model.depth + 1)
    else:
        kept = sum(2 * s.t * s.b + as_jacobian(s) * s.a * s.b for s in layers)
        inputs = sum(s.t * (s.channels + s.b) for s in layers)
        signals = rows * kept + 2 * (points(e) + test_points(e)) * inputs
    at_once = seeds if weights(e, width) <= 100_000 else 1
    network = 3 * network_numbers(e, width)
    copies = 6 + (LANCZOS + 1 if e.training.sharpness else 0)
    return (at_once * (copies * weights(e, width) + signals) + network) * NUMBER // MB


def dataset_numbers(e: Experiment) -> int:
    """Numbers in dataset.npz."""
    n, m, d, k = sizes(e.dataset)
    return e.draws * (n + m) * (d + k)


def network_numbers(e: Experiment, width: int) -> int:
    """Approximate count of numbers in network.npz: kernels and recorded outputs."""
    recorders = [r for r in RECORDERS if r.wanted(e.training)]
    return e.seeds_at(width) * sum(recorder.numbers(e) for recorder in recorders)


def linearized_numbers(e: Experiment, width: int) -> int:
    """Approximate count of numbers in linearized.npz."""
    n, m, _, k = sizes(e.dataset)
    return e.seeds_at(width) * e.training.record * (n + m) * k


def limit_numbers(e: Experiment) -> int:
    """Numbers in limit.npz: two kernels, mean and deviation, a covariance."""
    n, m, _, k = sizes(e.dataset)
    kernels = 2 * (n**2 + n * m + m**2)
    return kernels + m**2 + e.training.record * (n + m) * (k + 1)


def kernel_mb(e: Experiment, width: int) -> int:
    """MB: four copies of the networks of a width and of their linearised models."""
    numbers = network_numbers(e, width) + linearized_numbers(e, width)
    return 4 * numbers * NUMBER // MB


def constancy_mb(e: Experiment) -> int:
    """MB: `kernel_mb` of all widths, and two copies of the limit."""
    limit = limit_numbers(e) if e.has_limit else 0
    return all_widths(kernel_mb)(e) + 2 * limit * NUMBER // MB


def shown_mb(shown: Iterable[tuple[str, Experiment, int]]) -> int:
    """MB: two copies of the products (name, experiment, width) that a figure reads."""
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
    """MB: four copies of a covariance of the outputs at each recorded step."""
    rows = points(e) + test_points(e)
    return 4 * e.training.record * rows**2 * NUMBER // MB


def all_widths(estimate: Callable[[Experiment, int], int]):
    """The sum of an estimate over the widths of an experiment."""
    return lambda e: sum(estimate(e, width) for width in e.widths)


class Seconds(NamedTuple):
    """Seconds of a job on two cores, and on two cores with a GPU."""

    cores: float
    gpu: float


def seconds(flop: float) -> Seconds:
    """Seconds of operations that run on the CPU only."""
    return Seconds(flop / CORE / 2, flop / CORE / 2)


def train_seconds(e: Experiment, width: int) -> Seconds:
    """Seconds of a training: compilation, then all steps in sequence."""
    flop, steps = train_flop(e, width), e.training.steps * e.seeds_at(width)
    there = GPU_START + max(flop / GPU, GPU_STEP * steps)
    return Seconds((TRAINING + flop / CORE) / 2, there)
