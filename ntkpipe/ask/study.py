"""Write the study of a user's network in YAML, with a comment for each choice."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ntkpipe.ask.plan import LAZY, PERCENT, POWER, TOLERANCE, WHY_STEPS
from ntkpipe.text import number

if TYPE_CHECKING:
    from ntkpipe.ask.choose import Chosen
    from ntkpipe.ask.source import Source

HEAD = """\
# Written by `ntkpipe ask`, and yours to edit. After an edit, the same `ask` runs what
# has changed. docs/reference/study.md of ntkpipe is the manual of all keys.
title: {title}
question: >-
  How far does the kernel of this network move while it learns, and how far from its
  linearisation does it end?
group: ask
notes:
  - Targets that are numbers are scaled to mean 0 and variance 1, and text makes
    classes; the loss is half the mean squared error.
  - The claims are questions here, so that `contradicted` is an answer like any other.
  - "Lazy and rich are said of width {own}: below and above {percent} for the change of
    the kernel and for the distance from the linearisation over the root mean square
    of the test targets."
seed: 0
dataset:
  kind: csv
  path: {path}
  target: {target}
{points}  test: {test}  # a share of the rows, or a number of rows
model:
  kind: python
  file: {file}
  function: {function}
{settings}training:
  learning_rate: {rate:.6g}  # {why_rate}
  steps: {steps}  # {why_steps}
  record: 30
widths: {widths}  # {why_widths}
seeds: {seeds}  # networks per width: {why_seeds}
claims:
  - id: lazy/kernel
    kind: bound
    says: At width {own} the kernel changes by less than {percent}
    source: the threshold of ntkpipe ask
    metric: ntk_change
    statistic: geometric_mean
    at_most: {lazy}
    min_width: {own}
    max_width: {own}
    set: before
  - id: lazy/gap
    kind: bound
    says: >-
      At width {own} the network stays within {percent} of its linearisation on test
      points
    source: the threshold of ntkpipe ask
    metric: linear_gap_test
    statistic: geometric_mean
    at_most: {most_gap:.6g}  # {percent} of {rms:.4g}, the size of the test targets
    min_width: {own}
    max_width: {own}
    set: before
"""
CONSTANCY = """\
  - id: constancy
    kind: power_law
    says: The change of the kernel falls as 1/width
    source: Jacot et al. 2018, theorem 2, for the NTK parametrisation
    metric: ntk_change
    predicted: -1
    tolerance: {tolerance}
    set: before
"""
FIGURES = """\
figures:
  - name: training
    kind: trajectories
    title: Loss and change of the weights in training
    caption: "Lines are medians over networks, shades their 10 – 90 % range."
    panels: [{quantity: loss}, {quantity: weight_change}]
  - name: spectrum
    kind: spectrum
    title: Eigenvalues of the kernel before and after training
    caption: "Of Θ/N on the training points: medians over networks."
    limit: false
"""
SCALING = """\
  - name: width
    kind: scaling
    title: Change of the kernel and distance from the linearisation, against width
    caption: "Dots are geometric means over networks. Dashed: 1/width."
    metrics: [{metric: ntk_change, predicted: -1}, {metric: linear_gap_test}]
"""

NOTE_POINTS = "a subsample of the training rows"


def text(
    chosen: Chosen, source: Source, title: str, path: str, target: Sequence[str]
) -> str:
    """The text of the study file.

    Args:
        chosen: what was measured and chosen.
        source: the network.
        title: of the study.
        path: of the table, from the folder of the study.
        target: columns of the targets.
    """
    several = len(chosen.size.widths) > 1
    parts = [_head(chosen, source, title, path, target)]
    if several:
        parts.append(CONSTANCY.format(tolerance=TOLERANCE))
    parts.append(FIGURES)
    if several:
        parts.append(SCALING)
    return "".join(parts)


def _head(chosen: Chosen, source: Source, title, path, target) -> str:
    size, model, table = chosen.size, chosen.model, chosen.table
    points = settings = ""
    if table.points is not None:
        points = f"  points: {table.points}  # {NOTE_POINTS}\n"
    if model.settings:
        settings = f"  settings: {json.dumps(model.settings)}\n"
    rms = math.sqrt(np.mean(chosen.data.y_test**2))
    return HEAD.format(
        **{"title": _quoted(title), "path": _quoted(path), "target": _quoted(target)},
        **{
            "own": source.width,
            "lazy": LAZY,
            "percent": PERCENT,
            "points": points,
            "test": table.test,
        },
        **{"file": _quoted(model.file), "function": model.function},
        **{"settings": settings, "rate": chosen.rate, "why_rate": _why_rate(chosen)},
        **{"steps": size.steps, "why_steps": _why_steps(chosen)},
        **{
            "widths": json.dumps(size.widths),
            "why_widths": _why_widths(chosen, source),
        },
        **{"seeds": size.seeds, "why_seeds": _why_seeds(chosen)},
        **{"most_gap": LAZY * rms, "rms": rms},
    )


def _quoted(value) -> str:
    return json.dumps(value, ensure_ascii=False)


def _why_rate(chosen: Chosen) -> str:
    share = chosen.rate / chosen.limit
    part = "half" if abs(share - 0.5) < 0.005 else number(share, 2)
    return f"{part} of the measured limit 2/λ_max(Θ/N) = {chosen.limit:.3g}"


def _why_steps(chosen: Chosen) -> str:
    cut = "" if chosen.size.steps >= chosen.wanted else ", cut by the time"
    return WHY_STEPS + cut


def _why_widths(chosen: Chosen, source: Source) -> str:
    if len(chosen.size.widths) == 1:
        return "one, so that nothing is said about scaling"
    return f"{source.width} is the network's own"


def _why_seeds(chosen: Chosen) -> str:
    """What the number of networks gives, from the scatter of the pilot."""
    scatter = number(chosen.pilot.scatter, 2)
    text = f"log change scatters by {scatter} in a pilot"
    if len(chosen.size.widths) == 1:
        return text
    met = "≤" if chosen.half <= POWER * TOLERANCE else ">"
    return f"{text}, so the slope's half-width is {chosen.half:.2g} {met} 0.43 × 0.1"
