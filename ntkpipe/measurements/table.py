"""Metrics as the rows of one tidy table.

Diverged networks have no rows other than `diverged`.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import TYPE_CHECKING

import numpy as np

from ntkpipe.lazy import Lazy
from ntkpipe.measurements import needs
from ntkpipe.measurements.metric import Metric

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = Lazy("pandas")

METRICS = (
    Metric(
        name="diverged",
        meaning="1 if loss or outputs became infinite or NaN, else 0",
        at="last",
    ),
    Metric(
        name="undefined",
        index=needs.ANY_METRIC,
        meaning="number of missing values of a metric, if any are missing",
        at="last",
    ),
)
COLUMNS = ("variant", "width", "seed", "step", "metric", "value")


def of_limit(metrics: Mapping[str, float | np.ndarray], variant: str) -> pd.DataFrame:
    """Metrics of infinite width as rows: width 0, step 0, a seed for each draw of data.

    Undefined values (0/0) are left out, and counted as in `tidy`.
    """
    rows = [
        (draw, name if np.isfinite(value) else f"undefined/{name}", value)
        for name, values in metrics.items()
        for draw, value in enumerate(np.atleast_1d(values).tolist())
    ]
    seed, metric, value = zip(*rows, strict=True)
    frame = pd.DataFrame(
        {
            "variant": variant,
            "width": 0,
            "seed": seed,
            "step": 0,
            "metric": metric,
            "value": value,
        }
    )
    lost = ~np.isfinite(frame["value"])
    return frame.assign(value=frame["value"].where(~lost, 1.0))[list(COLUMNS)]


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
        frame = pd.DataFrame(
            {
                "variant": variant,
                "width": width,
                "seed": np.repeat(seeds, steps.shape[1]),
                "step": steps.ravel(),
                "metric": metric,
                "value": np.asarray(values, float).ravel(),
            }
        )
        kept = np.isfinite(frame["value"]) & ~np.repeat(diverged, steps.shape[1])
        frames.append(frame[kept])
        lost = ~np.isfinite(values) & ~diverged[:, None]
        if lost.any() and metric.partition("/")[0] not in expected:
            frames.append(
                pd.DataFrame(
                    {
                        "variant": variant,
                        "width": width,
                        "seed": seeds,
                        "step": steps.max(),
                        "metric": f"undefined/{metric}",
                        "value": lost.sum(1).astype(float),
                    }
                )
            )
    divergence = pd.DataFrame(
        {
            "variant": variant,
            "width": width,
            "seed": seeds,
            "step": 0,
            "metric": "diverged",
            "value": diverged.astype(float),
        }
    )
    return pd.concat([*frames, divergence], ignore_index=True)[list(COLUMNS)]
