"""Metrics as the rows of one tidy table.

Diverged networks have no rows other than `diverged`.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import TYPE_CHECKING

import numpy as np

from ntkpipe.lazy import Lazy
from ntkpipe.metric import Index, Metric

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = Lazy("pandas")

METRICS = (
    Metric(
        "diverged", "1 if loss or outputs became infinite or NaN, else 0", at="last"
    ),
    Metric(
        "undefined",
        "number of missing values of a metric, if any are missing",
        index=Index("METRIC", lambda e: None, ".+"),
        at="last",
    ),
)
COLUMNS = ("variant", "width", "seed", "step", "metric", "value")


def of_limit(metrics: Mapping[str, float | np.ndarray], variant: str) -> pd.DataFrame:
    """Metrics of infinite width as rows: width 0, step 0, a seed for each draw of data.

    Undefined values (0/0) are left out, and counted as in `tidy`.
    """
    rows = [
        (draw, name, value) if np.isfinite(value) else (draw, f"undefined/{name}", 1.0)
        for name, values in metrics.items()
        for draw, value in enumerate(np.atleast_1d(values).tolist())
    ]
    seed, metric, value = map(list, zip(*rows, strict=True))
    return _rows(variant, 0, seed, 0, metric, value)


def tidy(
    metrics: Mapping[str, tuple[np.ndarray, np.ndarray]],
    seeds: np.ndarray,
    diverged: np.ndarray,
    variant: str,
    width: int,
    expected: Container[str] = (),
) -> pd.DataFrame:
    """Metrics as rows, without diverged networks and undefined values.

    The metric `diverged` is 1 for a diverged network, else 0. The metric `undefined/…`
    is the number of missing values of a metric, unless the metric is in `expected`.
    """
    frames = []
    for metric, (steps, values) in metrics.items():
        steps, values = np.broadcast_arrays(np.asarray(steps), values)
        repeated = np.repeat(seeds, steps.shape[1])
        value = np.asarray(values, float).ravel()
        frame = _rows(variant, width, repeated, steps.ravel(), metric, value)
        kept = np.isfinite(frame["value"]) & ~np.repeat(diverged, steps.shape[1])
        frames.append(frame[kept])
        lost = ~np.isfinite(values) & ~diverged[:, None]
        if lost.any() and metric.partition("/")[0] not in expected:
            name, count = f"undefined/{metric}", lost.sum(1).astype(float)
            frames.append(_rows(variant, width, seeds, steps.max(), name, count))
    value = diverged.astype(float)
    frames.append(_rows(variant, width, seeds, 0, "diverged", value))
    return pd.concat(frames, ignore_index=True)


def _rows(*columns) -> pd.DataFrame:
    """Rows with `COLUMNS`; a column is an array, or one value for all rows."""
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))
