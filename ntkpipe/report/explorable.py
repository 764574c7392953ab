"""The numbers behind the pictures that a reader can move; the page draws them.

All functions are pure: studies and tables of results in, values of JSON out. A table is
found by (study, name), where the name is `measurements` or that of a figure. A picture
whose tables are missing or lack rows is left out.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntkpipe.data.points import Points
from ntkpipe.models.mlp import MLP
from ntkpipe.training.losses import SQUARED
from ntkpipe.training.protocol import Training

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
    drawn = {*review["variant"]}
    found: dict[str, tuple[str, Browsed]] = {}  # the first of each scaling
    for variant, e in study.variants.items():
        if variant in drawn and (one := browsed(e)):
            found.setdefault(one.model.parameterization, (variant, one))
    if not found:
        raise Absent("no variant that the page can train")
    _, first = next(iter(found.values()))
    return {
        "problem": _problem(first.data),
        "scalings": [
            _scaling(one, rows(review, variant=variant))
            for variant, one in found.values()
            if one.data == first.data
        ],
        "widths": list(WIDTHS),
        "start": [WIDTHS.index(width) for width in START],
        "claims": [(study.name, claim.id) for claim in study.claims],
    }


class Browsed(NamedTuple):
    """The parts of an experiment whose networks `network.js` trains."""

    data: Points
    model: MLP
    training: Training


def browsed(e: Experiment) -> Browsed | None:
    """The parts of an experiment that `network.js` can train, else None.

    The networks are the two hidden ReLU layers of the study `width`, with PyTorch's
    initial weights and two training points on a line.
    """
    model, data, training = e.model, e.dataset, e.training
    if not (isinstance(model, MLP) and isinstance(data, Points)):
        return None
    known = MLP(depth=2, activation="relu", init="torch", b_std=1.0)
    can = (
        model.parameterization in LABELS
        and dataclasses.replace(model, parameterization="ntk") == known
        and (len(data.x), len(data.x[0]), len(data.y[0])) == (2, 1, 1)
        and training.is_plain
        and training.loss == SQUARED
        and training.stop_at_loss is not None
        and e.dtype == "float64"
    )
    return Browsed(data, model, training) if can else None


def _problem(data: Points) -> dict[str, Any]:
    """Training points, and a grid that contains both and as much again beside them."""
    x, y = (np.array(part, float)[:, 0] for part in (data.x, data.y))
    span = abs(x[1] - x[0])
    grid = np.linspace(x.mean() - span, x.mean() + span, GRID)
    return {"x": short(x), "y": short(y), "grid": short(grid)}


def _scaling(one: Browsed, review: pd.DataFrame) -> dict[str, Any]:
    return {
        "label": LABELS[one.model.parameterization],
        "parameterization": one.model.parameterization,
        "learningRate": one.training.learning_rate,
        "steps": one.training.steps,
        "stop": one.training.stop_at_loss,
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
