"""When each frequency of the target is fitted, at equal angles of the circle."""

from ntkpipe.measurements import needs
from ntkpipe.measurements.metric import Metric

METRICS = (
    Metric(
        name="fit_time",
        index=needs.FREQUENCY,
        meaning="first time at which `measure.fit_level` of the residual's frequency k "
        "is left; none where it never is",
        unit="η·step",
        at="last",
        when=(needs.FREQUENCIES,),
        needs=("network", "dataset"),
        missing_is_expected=True,  # `mode_left/k` says so
    ),
    Metric(
        name="mode_left",
        index=needs.FREQUENCY,
        meaning="share of the residual's frequency k that is left",
        at="last",
        when=(needs.FREQUENCIES,),
        needs=("network", "dataset"),
    ),
    Metric(
        name="fit_rate",
        index=needs.FREQUENCY,
        meaning="`fit_time/k` times the limit's decay rate of k, over log(1/level): 1 "
        "at infinite width",
        at="last",
        when=(needs.FREQUENCIES, needs.LIMIT),
        needs=("network", "dataset", "limit"),
        missing_is_expected=True,
    ),
    Metric(
        name="fit_rate_spread",
        meaning="standard deviation of `fit_rate/k` over k, over its mean",
        at="last",
        when=(needs.TWO_FREQUENCIES, needs.LIMIT),
        needs=("network", "dataset", "limit"),
        missing_is_expected=True,
    ),
)
