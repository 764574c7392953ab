"""The numbers behind the pictures that a reader can move; the page draws them.

All functions are pure: studies and tables of results in, values of JSON out. A table is
found by (study, name), where the name is `measurements` or that of a figure. A picture
whose tables are missing or lack rows is left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ntkpipe.models.mlp import MLP

if TYPE_CHECKING:
    import pandas as pd

    from ntkpipe.experiment import Experiment
    from ntkpipe.study import Study

Tables = Mapping[tuple[str, str], "pd.DataFrame"]
DIGITS = 4  # significant digits of the numbers in the page
WIDTHS = (4, 6, 10, 16, 25, 40, 64, 100, 160, 250, 400, 640, 1000)
START = (10, 1000)  # widths of the two networks when the page is opened
GRID = 29  # points at which the two networks are drawn
LABELS = {"standard": "as PyTorch does", "ntk": "NTK parametrisation"}


class Absent(LookupError):
    """A picture needs rows that the results do not have."""


def rows(table: pd.DataFrame, **where: Any) -> pd.DataFrame:
    """The rows with these values; raise `Absent` if there are none."""
    for column, value in where.items():
        if column not in table:
            raise Absent(f"no column {column}")
        table = table[table[column] == value]
    if table.empty:
        raise Absent(f"no rows with {where}")
    return table


def short(values: Iterable[float]) -> list[float | None]:
    """Numbers with four significant digits; None in place of NaN and infinity."""
    return [
        float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
        for value in np.ravel(np.asarray(values, float)).tolist()
    ]


def available(make: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
    """The data of a picture, or None if the results lack a table or rows of it."""
    try:
        return make()
    except (Absent, KeyError):
        return None


# ------------------------------------------------------------------ two networks


def networks(study: Study, tables: Tables) -> dict[str, Any] | None:
    """Two networks that train in the page, and what the study measured of such ones.

    The figure `review` has the middle 80 % of the study's networks at each step.
    Variants that `network.js` cannot train are left out.
    """
    return available(lambda: _networks(study, tables))


def _networks(study: Study, tables: Tables) -> dict[str, Any]:
    review = tables[study.name, "review"]
    variants: dict[str, tuple[str, Experiment]] = {}  # the first of each scaling
    for name, e in study.variants.items():
        if name in set(review["variant"]) and trains_in_a_browser(e):
            variants.setdefault(e.model.parameterization, (name, e))
    if not variants:
        raise Absent("no variant that the page can train")
    _, first = next(iter(variants.values()))
    same = [(v, e) for v, e in variants.values() if e.dataset == first.dataset]
    return {
        "problem": _problem(first),
        "scalings": [_scaling(e, rows(review, variant=v)) for v, e in same],
        "widths": list(WIDTHS),
        "start": [WIDTHS.index(width) for width in START],
        "claims": [(study.name, claim.id) for claim in study.claims],
    }


def trains_in_a_browser(e: Experiment) -> bool:
    """Whether `network.js` trains the networks of an experiment.

    They are the two hidden ReLU layers of the study `width`, with PyTorch's initial
    weights and two training points on a line.
    """
    plain = {"depth": 2, "activation": "relu", "init": "torch", "b_std": 1}
    expected = [
        MLP(**plain, parameterization=parameterization)  # type: ignore[arg-type]
        for parameterization in LABELS
    ]
    sizes = e.dataset.stated_sizes
    return (
        e.model in expected
        and e.dataset.kind == "points"
        and sizes is not None
        and (sizes.train, sizes.dimension, sizes.outputs) == (2, 1, 1)
        and e.training.is_plain
        and e.training.loss.kind == "squared"
        and e.training.stop_at_loss is not None
        and e.dtype == "float64"
    )


def _problem(e: Experiment) -> dict[str, Any]:
    """Training points, and a grid that contains both and as much again beside them."""
    x, y = (np.array(part, float)[:, 0] for part in (e.dataset.x, e.dataset.y))
    span = abs(x[1] - x[0])
    grid = np.linspace(x.mean() - span, x.mean() + span, GRID)
    return {"x": short(x), "y": short(y), "grid": short(grid)}


def _scaling(e: Experiment, review: pd.DataFrame) -> dict[str, Any]:
    return {
        "label": LABELS[e.model.parameterization],
        "parameterization": e.model.parameterization,
        "learningRate": e.training.learning_rate,
        "steps": e.training.steps,
        "stop": e.training.stop_at_loss,
        "bands": [
            {
                "width": int(width),
                "seeds": int(of_width["seeds"].iloc[0]),
                "loss": _band(of_width, "loss"),
                "moved": _band(of_width, "weight_change"),
            }
            for width, of_width in review.groupby("width")
        ],
    }


def _band(table: pd.DataFrame, quantity: str) -> list[list[float | None]]:
    """Steps, 10 % and 90 % quantiles; a change of 0, at step 0, has no logarithm."""
    band = rows(table, quantity=quantity, model="network")
    band = band[band["high"] > 0]
    return [short(band[column]) for column in ("step", "low", "high")]


# ------------------------------------------------------------------ the page


def contents(
    studies: Sequence[Study],
    tables: Tables,
    pictures: Mapping[str, tuple[str, Callable[[Study, Tables], dict[str, Any]]]],
) -> dict[str, Any]:
    """The data of all pictures, and the studies that would add those left out.

    Args:
        studies: of the page.
        tables: of their results.
        pictures: name → the study and the function of a picture.

    Returns:
        `networks` and `pictures` by name, None where results are missing, and
        `missing`: (picture, study) of these; nothing if there is no picture at all.
    """
    named = {study.name: study for study in studies}

    def made(study: str, make: Callable[[Study, Tables], Any]) -> Any:
        return available(lambda: make(named[study], tables))

    live = made("width", networks)
    found = {name: made(study, make) for name, (study, make) in pictures.items()}
    if live is None and not any(found.values()):
        return {}
    return {
        "networks": live,
        "pictures": found if any(found.values()) else {},
        "missing": [
            (name, study) for name, (study, _) in pictures.items() if not found[name]
        ],
    }
