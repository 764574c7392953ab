"""Labels of metrics and quantities on axes."""

from __future__ import annotations

from ntkpipe import measurements

LABELS = {
    "test_loss": "test loss",
    "residual_along": "residual along the targets",
    "residual_across": "residual across the targets",
}
"""Labels of quantities that are not metrics."""


def axis_label(name: str, label: str | None) -> str:
    """The label of a quantity on an axis."""
    return label or LABELS.get(name) or measurements.label(name)
