"""What makes other numbers doubtful."""

from ntkpipe.measurements import needs
from ntkpipe.measurements.metric import Metric

METRICS = (
    Metric(
        name="dead",
        meaning="1 where the last hidden layer is the same for all points, or zero",
        at="ends",
        when=(needs.HIDDEN_LAYERS,),
    ),
    Metric(name="singular", meaning="1 where λ_min is below rounding", at="ends"),
    Metric(
        name="unresolved",
        meaning="1 where the kernel's change is below the rounding of its precision",
        at="last",
        when=(needs.TWO_SNAPSHOTS,),
    ),
    Metric(
        name="converged",
        meaning="1 where the loss reached `stop_at_loss`, 0 elsewhere",
        at="last",
    ),
    Metric(
        name="diverged",
        meaning="1 where loss or outputs left the finite numbers, 0 elsewhere",
        at="last",
    ),
    Metric(
        name="undefined",
        index=needs.ANY_METRIC,
        meaning="how many values of a metric are not there, where any are not",
        at="last",
    ),
)
