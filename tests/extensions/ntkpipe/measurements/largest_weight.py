"""The largest weight of each network."""

from __future__ import annotations

from ntkpipe.measurements.group import Group, Inputs, Values
from ntkpipe.measurements.metric import Metric, Need

LARGEST = Need(lambda e: e.training.largest, "`training.largest`")


def largest_weight(of: Inputs) -> Values:
    """max |w| at the last step."""
    network = of.network
    return {"largest_weight": (network["step"][-1:], network["largest_weight"][:, -1:])}


GROUP = Group(
    (
        Metric(
            name="largest_weight",
            meaning="the largest weight",
            formula="max |w|",
            at="last",
            when=(LARGEST,),
        ),
    ),
    largest_weight,
)
