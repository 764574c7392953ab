"""A kind of claim is one class: the kind in `extensions/` works like all others."""

import json
from typing import Annotated

import numpy as np
import pandas as pd
import pydantic
import pytest
from extensions.ntkpipe.claims.near import Near

from ntkpipe.claims import Claim, table, words

ADAPTER = pydantic.TypeAdapter(
    Annotated[Claim | Near, pydantic.Field(discriminator="kind")]
)


def measurements(mean, metric="q"):
    values = mean + 0.01 * np.random.default_rng(0).standard_normal(20)
    return pd.DataFrame(
        {
            "study": "s",
            "variant": "base",
            "width": 64,
            "seed": range(20),
            "step": 5,
            "metric": metric,
            "value": values,
        }
    )


@pytest.mark.parametrize(
    ("mean", "within", "verdict"),
    [
        (0.0, 0.1, "supported"),
        (1.0, 0.1, "contradicted"),
        (0.0, 0.001, "inconclusive"),
    ],
)
def test_a_new_kind_is_read_judged_and_shown(mean, within, verdict):
    written = {"kind": "near", "id": "N-1", "says": "q is 0", "source": "me"}
    written |= {"set": "before", "metric": "q", "within": within}
    claim = ADAPTER.validate_json(json.dumps(written))
    data = measurements(mean)
    row = table([claim.evaluate(data)]).iloc[0]
    assert row["verdict"] == verdict and row["n"] == 20 and row["widths"] == "64"
    assert row["ci_low"] < data["value"].mean() < row["ci_high"]
    assert words.accepted(row) == f"[−{within}, {within}]"
    assert words.detail(row).startswith("largest value ")


def test_a_new_kind_is_missing_where_the_table_lacks_it():
    claim = Near(
        id="N-1", set="before", says="q is 0", source="me", metric="q", within=1.0
    )
    row = table([claim.evaluate(measurements(0.0, metric="p"))]).iloc[0]
    assert row["verdict"] == "missing" and not row["as_expected"]
    assert "no metric q; there are p" in words.detail(row)
