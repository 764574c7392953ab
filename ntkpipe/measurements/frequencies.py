"""Time at which each frequency of the target is fitted, on the circle."""

from __future__ import annotations

import numpy as np

from ntkpipe.measurements import needs
from ntkpipe.measurements.group import Arrays, Group, Inputs, Values
from ntkpipe.measurements.metric import Metric
from ntkpipe.measurements.rates import first_below, limit_rate

METRICS = (
    Metric(
        name="fit_time",
        index=needs.FREQUENCY,
        meaning="first time at which `measure.fit_level` of the residual's frequency k "
        "is left; no value if more is left at the last step",
        unit="η·step",
        at="last",
        when=(needs.FREQUENCIES,),
        needs=("network", "dataset"),
        missing_is_expected=True,  # `mode_left/k` shows it
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


@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def frequencies(
    network: Arrays,
    data: Arrays,
    limit: Arrays | None,
    learning_rate: float,
    chosen: tuple[int, ...],
    level: float,
    flow: bool = False,
) -> Values:
    """Time at which each frequency of the target is fitted; points at equal angles.

    `fit_time/k` is the first time T_k at which the residual's Fourier component k is
    below the share `level` of its start. `mode_left/k` is the share left at the last
    step. With the limit, `fit_rate/k` is T_k·λ_k/log(1/level), which is 1 for an
    infinitely wide network, λ_k the decay rate of the limit. `fit_rate_spread` is its
    standard deviation over k divided by its mean. Source: Basri et al. 2019.
    """
    size = fourier(network["f_train"] - data["y_train"])[..., list(chosen)]
    share = np.moveaxis(size / size[:, :1], 1, -1)  # (s k t)
    time = first_below(learning_rate * network["step"], share, level)
    last = network["step"][-1:]
    result = {f"fit_time/{k}": time[:, [i]] for i, k in enumerate(chosen)}
    result |= {f"mode_left/{k}": share[:, i, -1:] for i, k in enumerate(chosen)}
    if limit is not None:
        row = limit["ntk_train_train"][0]
        values = np.fft.rfft(row).real[list(chosen)] / len(row)
        rate = time * limit_rate(values, learning_rate, flow) / np.log(1 / level)
        result |= {f"fit_rate/{k}": rate[:, [i]] for i, k in enumerate(chosen)}
        spread = rate.std(1, keepdims=True) / rate.mean(1, keepdims=True)
        if len(chosen) > 1:
            result["fit_rate_spread"] = spread
    return {name: (last, values) for name, values in result.items()}


def fourier(values: np.ndarray) -> np.ndarray:
    """Size of each Fourier component f of functions at equal angles, (… n k) → (… f).

    The size of a cos fγ + b sin fγ, 0 < f < n/2, is √(a² + b²).
    """
    points = values.shape[-2]
    size = np.linalg.norm(np.fft.rfft(values, axis=-2), axis=-1)
    whole = np.isin(np.arange(size.shape[-1]), [0, points / 2])
    return size * np.where(whole, 1, 2) / points


def _frequencies(inputs: Inputs) -> Values:
    e = inputs.e
    rate, flow = e.training.learning_rate, e.limit == "flow"
    chosen, level = e.measure.frequencies, e.measure.fit_level
    return frequencies(
        inputs.network, inputs.data, inputs.limit, rate, chosen, level, flow
    )


GROUP = Group(METRICS, _frequencies)
