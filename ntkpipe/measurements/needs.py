"""Conditions of metrics on an experiment, and the indices of metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ntkpipe.measurements.metric import Index, Need
from ntkpipe.models.base import TWINS

if TYPE_CHECKING:
    from ntkpipe.data.base import Sizes
    from ntkpipe.experiment import Experiment

FIRST = 5  # number of eigenvalues of the limit kernel that are metrics


def sizes(e: Experiment) -> Sizes | None:
    """Numbers of points and outputs; None if they depend on a user's file."""
    return e.dataset.stated_sizes


def has_limit(e: Experiment) -> bool:
    """Whether the infinitely wide network is computed."""
    return e.has_limit


def has_linearized(e: Experiment) -> bool:
    """Whether the linearised model is computed."""
    return e.has_linearized


def equal_angles(e: Experiment) -> bool:
    """Whether the training points lie at equal angles on the circle."""
    return e.dataset.equal_angles


def _outputs(e: Experiment) -> bool:
    stated = sizes(e)
    return e.training.kernel == "full" and (stated is None or stated.outputs > 1)


LIMIT = Need(has_limit, "`limit`")
LINEARIZE = Need(has_linearized, "`linearize`")
HIDDEN_LAYERS = Need(lambda e: e.model.has_last_layer, "a model with hidden layers")
LEARNED_OUTPUT = Need(
    lambda e: e.model.learned_output, "`model.output_weights: learned`"
)
OUTPUTS = Need(_outputs, "two outputs or more and `training.kernel: full`")
STOP = Need(lambda e: e.training.stop_at_loss is not None, "`training.stop_at_loss`")
TWO_SNAPSHOTS = Need(
    lambda e: len(e.training.snapshot_indices()) > 1, "`training.snapshots: 2` or more"
)
UNITS = Need(lambda e: e.training.units, "`training.units`")
CURVATURE = Need(lambda e: e.training.curvature, "`training.curvature`")
LINEAR_WEIGHTS = Need(lambda e: e.training.linear_weights, "`training.linear_weights`")
ENSEMBLE = Need(lambda e: e.training.ensemble is not None, "`training.ensemble`")
LIMIT_POINTS = Need(lambda e: e.measure.limit_points > 0, "`measure.limit_points`")
KERNEL_AT = Need(lambda e: bool(e.measure.kernel_at), "`measure.kernel_at`")
FREQUENCIES = Need(lambda e: bool(e.measure.frequencies), "`measure.frequencies`")
TWO_FREQUENCIES = Need(
    lambda e: len(e.measure.frequencies) > 1, "two `measure.frequencies` or more"
)
EQUAL_ANGLES = Need(equal_angles, "training points at equal angles of the circle")
MODES = Need(lambda e: e.measure.modes > 0, "`measure.modes`")
LOSS_ERROR = Need(lambda e: e.measure.loss_error, "`measure.loss_error`")
STRAIGHT = Need(lambda e: e.measure.straight, "`measure.straight`")


def _layers(e: Experiment) -> list[str]:
    """W1, b1, W2, …: biases only where they have a size at the start."""
    zero = getattr(e.model, "biases", "") == "zero"
    names = e.model.layer_names
    return [name for name in names if not (zero and name.startswith("b"))]


def _points(e: Experiment) -> range | None:
    """All training points but the first."""
    stated = sizes(e)
    return stated and range(1, stated.train)


def _limit_points(e: Experiment) -> np.ndarray | None:
    stated = sizes(e)
    return stated and spread(stated.test, e.measure.limit_points)


def spread(points: int, count: int) -> np.ndarray:
    """`count` equally spaced indices of points, including the first and last."""
    return np.unique(np.round(np.linspace(0, points - 1, count)).astype(int))


def limit_frequencies(chosen: tuple[int, ...], points: int) -> tuple[int, ...]:
    """Frequencies k of `limit_ntk_mode` and others: by default 16 ≤ k ≤ N/16."""
    return tuple(chosen) or tuple(range(16, points // 16 + 1))


NUMBER = r"0|[1-9]\d*"
LAYER = Index("W1", r"[Wb][1-9]\d*", _layers)
HIDDEN = Index("l", NUMBER, lambda e: range(1, e.model.depth + 1))
# the layers of the second twin follow those of the first
HIDDEN_OF_BOTH = Index(
    "l",
    NUMBER,
    lambda e: range(1, e.model.depth * (1 + (e.model.zero_output in TWINS)) + 1),
)
TEST_POINT = Index("i", NUMBER, lambda e: e.measure.kernel_at)
OTHER_POINT = Index("i", NUMBER, _points)
LIMIT_POINT = Index("i", NUMBER, _limit_points)
FREQUENCY = Index("k", NUMBER, lambda e: e.measure.frequencies)
LIMIT_FREQUENCY = Index(
    "k",
    NUMBER,
    # points at equal angles are never a user's file, so that their number is known
    lambda e: limit_frequencies(
        e.measure.frequencies,
        sizes(e).train,  # type: ignore[union-attr]
    ),
)
MODE = Index("i", NUMBER, lambda e: range(1, e.measure.modes + 1))
EIGENVALUE = Index("i", NUMBER, lambda e: range(1, FIRST + 1))
ANY_METRIC = Index("METRIC", ".+")
