"""Time at which each frequency of the target is fitted, on the circle."""

from __future__ import annotations

from functools import partial

import numpy as np

from ntkpipe.measurements.rates import first_below, limit_rate
from ntkpipe.metric import (
    LIMIT,
    SQUARES,
    Arrays,
    Group,
    Index,
    Inputs,
    Metric,
    Need,
    Values,
    given,
)

FREQUENCIES = given("measure.frequencies")
TWO_FREQUENCIES = Need(
    lambda e: len(e.measure.frequencies) > 1, "two `measure.frequencies` or more"
)
_last = partial(
    Metric,
    at="last",
    index=Index("k", lambda e: e.measure.frequencies),
    when=(FREQUENCIES, SQUARES),
)
METRICS = (
    _last(
        "fit_time",
        "first time at which `measure.fit_level` of the residual's frequency k is "
        "left; no value if more is left at the last step",
        "T_k: |c_k(T_k)| = ε|c_k(0)|",
        unit="η·step",
        missing_is_expected=True,  # `mode_left/k` shows it
    ),
    _last(
        "mode_left",
        "share of the residual's frequency k that is left",
        "|c_k(T)|/|c_k(0)|",
    ),
    _last(
        "fit_rate",
        "`fit_time/k` times the limit's decay rate of k, over log(1/level): 1 at "
        "infinite width",
        "T_k λ_k/log(1/ε)",
        when=(FREQUENCIES, SQUARES, LIMIT),
        missing_is_expected=True,
    ),
    _last(
        "fit_rate_spread",
        "standard deviation of `fit_rate/k` over k, over its mean",
        index=None,
        when=(TWO_FREQUENCIES, SQUARES, LIMIT),
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
    below the share `level` of its initial size. `mode_left/k` is the share left at the
    last step. With the limit, `fit_rate/k` is T_k·λ_k/log(1/level), where λ_k is the
    decay rate of the limit; it is 1 for an infinitely wide network. `fit_rate_spread`
    is the standard deviation of `fit_rate/k` over k, divided by its mean. Source:
    Basri et al. 2019.
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
    """Amplitude of each Fourier component f of functions at equal angles.

    (… n k) → (… f). The amplitude of a cos fγ + b sin fγ, 0 < f < n/2, is √(a² + b²),
    and its norm over outputs is returned.
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
