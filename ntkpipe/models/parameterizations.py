"""The table of abc-parametrisations (Yang & Hu 2021)."""

from __future__ import annotations

from typing import NamedTuple

HUGE = 1e100  # the square is still finite


class Exponents(NamedTuple):
    """Weight n^−a·w with w ~ N(0, n^−2b), learned at the rate η·n^−c; n the width."""

    a: float
    b: float
    c: float


def exponents(name: str, index: int, last: int) -> tuple[Exponents, Exponents]:
    """The exponents of weights and biases in weight layer `index`, counted from 0."""
    row = PARAMETERIZATIONS[name]
    if index == 0:
        return row["input"], row["bias"]
    if index == last:
        return row["output"], row["output_bias"]
    return row["hidden"], row["bias"]


# mup and mean_field are the same parametrisation written in two ways:
# (a, b, c) and (a + θ, b − θ, c − 2θ) train alike for every θ (Yang & Hu, §3).
PARAMETERIZATIONS: dict[str, dict[str, Exponents]] = {
    "ntk": {
        "input": Exponents(0.0, 0.0, 0.0),
        "hidden": Exponents(0.5, 0.0, 0.0),
        "output": Exponents(0.5, 0.0, 0.0),
        "bias": Exponents(0.0, 0.0, 0.0),
        "output_bias": Exponents(0.0, 0.0, 0.0),
    },
    "standard": {
        "input": Exponents(0.0, 0.0, 0.0),
        "hidden": Exponents(0.0, 0.5, 0.0),
        "output": Exponents(0.0, 0.5, 0.0),
        "bias": Exponents(0.0, 0.0, 0.0),
        "output_bias": Exponents(0.0, 0.0, 0.0),
    },
    "mup": {
        "input": Exponents(-0.5, 0.5, 0.0),
        "hidden": Exponents(0.0, 0.5, 0.0),
        "output": Exponents(0.5, 0.5, 0.0),
        "bias": Exponents(-0.5, 0.5, 0.0),
        "output_bias": Exponents(0.0, 0.0, 0.0),
    },
    "mean_field": {
        "input": Exponents(0.0, 0.0, -1.0),
        "hidden": Exponents(0.5, 0.0, -1.0),
        "output": Exponents(1.0, 0.0, -1.0),
        "bias": Exponents(0.0, 0.0, -1.0),
        "output_bias": Exponents(0.5, -0.5, -1.0),
    },
}
