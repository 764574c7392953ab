"""The numbers of the theorem's four pictures, and of "lazy or rich".

Each function takes a study and the tables of its results, see `explorable`, and raises
`Absent` or KeyError if these lack a table or rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from ntkpipe.data.gaussian import Gaussian
from ntkpipe.data.points import Points
from ntkpipe.models.mlp import MLP
from ntkpipe.report.explorable import Absent, Tables, rows, short

if TYPE_CHECKING:
    import pandas as pd

    from ntkpipe.study import Study

DOTS = 40  # single networks that are drawn at a point
QUANTILES = [0.1, 0.5, 0.9]
P90 = 1.2815515655446004  # of the standard normal


def _claims(study: Study, *names: str) -> list[tuple[str, str]]:
    """(study, claim) of those of these claims that the study has."""
    there = {claim.id for claim in study.claims}
    return [(study.name, name) for name in names if name in there]


def _spread(values: Iterable[float]) -> list[float | None]:
    """The 10 %, 50 % and 90 % quantiles, without networks that have no value."""
    return short(np.nanquantile(np.asarray(values, float), QUANTILES))


def _fit(table: pd.DataFrame, **where: Any) -> dict[str, Any]:
    """The ends of a fitted power law, its slope and the interval of the slope."""
    fit = rows(table, part="fit", **where)
    ends = fit.iloc[[0, -1]]
    slope = fit[["slope", "slope_low", "slope_high"]].iloc[0]
    return {
        "x": short(ends["x"]),
        "y": short(ends["value"]),
        "slope": short(slope),
    }


# ------------------------------------------------------------------ 1


def deterministic(study: Study, tables: Tables) -> dict[str, Any]:
    """Θ(x₀, x) at initialisation on the circle, for several widths, and its limit.

    Curves are of the figure `circle`; the scatter at single points and the distance
    from the limit are of the many networks of the variant `init`.
    """
    circle = tables[study.name, "circle"]
    convergence = tables[study.name, "convergence"]
    measured = rows(tables[study.name, "measurements"], variant="init", step=0)
    limit = rows(circle, when="limit")
    e = study.variants["init"]
    if not (isinstance(e.dataset, Gaussian) and e.dataset.test_on == "circle"):
        raise Absent("the kernel is not known on a circle")
    angles = np.linspace(-np.pi, np.pi, e.dataset.test)
    widths = []
    for width in sorted(set(measured["width"]) - {0}):
        of_width = rows(measured, width=width)
        widths.append(
            {
                "width": int(width),
                "seeds": int(of_width["seed"].nunique()),
                "at": [_strip(of_width, i, angles[i]) for i in e.measure.kernel_at],
                "curves": _curves(circle, width),
                "distance": _spread(
                    rows(convergence, part="seed", x=width)["value"],
                ),
            }
        )
    if not widths:
        raise Absent("no width of the variant init")
    return {
        "angle": short(limit["x"]),
        "limit": short(limit["value"]),
        "widths": widths,
        "fit": _fit(convergence),
        "claims": _claims(study, "J-1/Θ", "J-1/γ=0", "J-1n"),
    }


def _strip(of_width: pd.DataFrame, index: int, angle: float) -> dict[str, Any]:
    """The scatter of Θ(x₀, x) over networks at one angle."""
    values = rows(of_width, metric=f"kernel_at/{index}")
    values = values.drop_duplicates("seed")["value"].to_numpy()
    return {
        "angle": short([angle])[0],
        "band": _spread(values),
        "dots": short(values[:DOTS]),
        "mean": short([values.mean()])[0],
        "sd": short([values.std(ddof=1)])[0],
    }


def _curves(circle: pd.DataFrame, width: int) -> list[list[float | None]]:
    """Θ(x₀, x) of single networks before training; empty where there are none."""
    before = circle[(circle["when"] == "before") & (circle["width"] == width)]
    return [short(one["value"]) for _, one in before.groupby("seed")]


# ------------------------------------------------------------------ 2


def constant(study: Study, tables: Tables) -> dict[str, Any]:
    """The change of the kernel in training, by width and activation."""
    measured = rows(tables[study.name, "measurements"], metric="ntk_change")
    fits = tables[study.name, "kernel_change"]
    return {
        "variants": [
            {
                "name": name,
                "label": {"relu": "ReLU"}.get(name, name),
                "widths": [
                    _history(of_width, int(width))
                    for width, of_width in rows(measured, variant=name).groupby("width")
                ],
                "fit": _fit(fits, variant=name),
            }
            for name in study.variants
        ],
        "claims": _claims(study, "J-2", "J-3"),
    }


def _history(of_width: pd.DataFrame, width: int) -> dict[str, Any]:
    """Quantiles over networks of a metric at each step."""
    steps = of_width.groupby("step")["value"]
    bands = [_spread(values) for _, values in steps]
    return {
        "width": width,
        "seeds": int(of_width["seed"].nunique()),
        "step": short(list(steps.groups)),
        "low": [band[0] for band in bands],
        "median": [band[1] for band in bands],
        "high": [band[2] for band in bands],
    }


# ------------------------------------------------------------------ 3


def equation(study: Study, tables: Tables) -> dict[str, Any]:
    """One network's outputs and modes against time, and what the kernel predicts."""
    outputs = rows(tables[study.name, "functions"], variant="flow")
    modes = rows(tables[study.name, "modes"], variant="flow")
    runs = []
    for width in sorted(set(outputs["width"])):
        of_width = rows(outputs, width=width)
        runs.append(
            {
                "width": int(width),
                "points": [
                    _output(rows(of_width, point=point))
                    for point in dict.fromkeys(of_width["point"])
                ],
                "modes": [
                    {
                        "eigenvalue": short(mode["eigenvalue"])[0],
                        "component": short(mode["component"]),
                        "predicted": short(mode["predicted"]),
                    }
                    for _, mode in rows(modes, width=width).groupby("mode")
                ],
            }
        )
    first = rows(outputs, model="network", point=outputs["point"].iloc[0])
    steps = rows(first, width=first["width"].iloc[0])
    return {
        "step": short(steps["step"]),
        "time": short(steps["time"]),
        "runs": runs,
        "claims": _claims(study, "J-7/modes", "J-7/tanh/own", "J-7n"),
    }


def _output(point: pd.DataFrame) -> dict[str, Any]:
    return {
        "target": short(point["target"])[0],
        "network": short(rows(point, model="network")["median"]),
        "linear": short(rows(point, model="linearized")["median"]),
    }


# ------------------------------------------------------------------ 4


def gaussian(study: Study, tables: Tables) -> dict[str, Any]:
    """Trained networks on the circle, and the mean and spread of the limit."""
    table = rows(tables[study.name, "functions"], variant="paper")

    def curve(part: str, width: int) -> np.ndarray:
        return rows(table, part=part, width=width)["value"].to_numpy()

    data = rows(table, part="data")
    low, high = curve("limit P10", 0), curve("limit P90", 0)
    e = study.variants["paper"]
    return {
        "angle": short(rows(table, part="limit P50")["x"]),
        "mean": short(curve("limit P50", 0)),
        "sd": short((high - low) / (2 * P90)),
        "data": [short(data["x"]), short(data["value"])],
        "runs": [
            {
                "width": int(width),
                "seeds": e.seeds_at(width),
                "low": short(curve("networks P10", width)),
                "high": short(curve("networks P90", width)),
                "networks": [
                    short(one["value"])
                    for _, one in rows(table, part="network", width=width).groupby(
                        "seed"
                    )
                ],
            }
            for width in sorted(set(table["width"]) - {0})
        ],
        "claims": _claims(study, "J-4/1000/mean", "J-4/1000/gap", "J-4n"),
    }


# ------------------------------------------------------------------ lazy or rich


def lazy(study: Study, tables: Tables) -> dict[str, Any]:
    """Outputs and kernel of one network for each output scale α."""
    table = tables[study.name, "ellipses"]
    scales = []
    for name, e in study.variants.items():
        path = rows(table, variant=name)
        if not (isinstance(e.model, MLP) and isinstance(e.dataset, Points)):
            raise Absent("no output scale, or no listed points")
        x = short([point[0] for point in e.dataset.x])
        scales.append(
            {
                "alpha": e.model.alpha,
                "change": short(path["change"]),
                **{
                    key: short(path[key])
                    for key in ("step", "f1", "f2", "constant1", "constant2")
                },
                **{key: short(path[key]) for key in ("lambda1", "lambda2", "angle")},
            }
        )
    target = table.iloc[0]
    return {
        "scales": sorted(scales, key=lambda scale: scale["alpha"]),
        "target": short([target["y1"], target["y2"]]),
        "x": x,
        "claims": _claims(study, "R-10/constant", "R-10/moves/1", "R-10/growth"),
    }


PICTURES = {
    "deterministic": ("jacot_kernel", deterministic),
    "constant": ("constancy", constant),
    "equation": ("gradient_flow", equation),
    "gaussian": ("gaussian_limit", gaussian),
    "lazy": ("ellipses", lazy),
}
"""Pictures by name, in the order of the page: the study and the function of each."""

FIGURES = {
    "width": ("review",),
    "jacot_kernel": ("circle", "convergence"),
    "constancy": ("kernel_change",),
    "gradient_flow": ("functions", "modes"),
    "gaussian_limit": ("functions",),
    "ellipses": ("ellipses",),
}
"""The figures of each study whose tables are read."""
