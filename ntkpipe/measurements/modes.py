"""Decay rates of the residual along eigenvectors of the first kernel."""

from ntkpipe.measurements import needs
from ntkpipe.measurements.metric import Metric

METRICS = (
    Metric(
        name="mode_rate",
        index=needs.MODE,
        meaning="decay rate along the i-th eigenvector of H(w₀) over its eigenvalue",
        at="last",
        when=(needs.MODES,),
        needs=("network", "dataset"),
    ),
)
