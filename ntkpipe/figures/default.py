"""The figures of a study that lists none: curves in training, metrics against width."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ntkpipe import measurements
from ntkpipe.figures import scaling, trajectories

if TYPE_CHECKING:
    from ntkpipe.experiment import Experiment
    from ntkpipe.figures import Figure

QUANTITIES = ("loss", "weight_change")
METRICS = ("weight_change", "ntk_change", "linear_gap")


def figures(variants: Mapping[str, Experiment]) -> tuple[Figure, ...]:
    """Loss, weight change, kernel change and gap to the linearisation, by width.

    Only what all variants record is drawn, and nothing if a variant is not trained.
    """
    experiments = list(variants.values())
    if not all(e.training.steps for e in experiments):
        return ()
    made: list[Figure] = []
    panels = tuple(
        trajectories.Panel(quantity=quantity)
        for quantity in QUANTITIES
        if not any(any(_curves(quantity).unmet(e)) for e in experiments)
    )
    if panels:
        made.append(_curves(*(panel.quantity for panel in panels)))
    metrics = tuple(
        scaling.Metric(metric=metric)
        for metric in METRICS
        if all(measurements.unmet(metric, e) is None for e in experiments)
    )
    if metrics:
        made.append(
            scaling.Scaling(
                name="widths",
                title="Changes in training against width",
                caption="Values at the end of training, with fitted power laws.",
                metrics=metrics,
            )
        )
    return tuple(made)


def _curves(*quantities: str) -> trajectories.Trajectories:
    return trajectories.Trajectories(
        name="training",
        title="Networks during training",
        caption="Medians over networks, and the range of the middle 80 % of them.",
        panels=tuple(trajectories.Panel(quantity=name) for name in quantities),
        models=("network",),
        log_x=True,
    )
