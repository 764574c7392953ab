"""What metrics are called on axes."""

from __future__ import annotations

from ntkpipe import measurements

LABELS = {
    "test_loss": "test loss",
    "residual_along": "residual along the targets",
    "residual_across": "residual across the targets",
}
"""How a quantity that is no metric is called on an axis."""


def axis_label(name: str, label: str | None) -> str:
    """What a quantity is called on an axis."""
    return label or LABELS.get(name) or measurements.label(name)
