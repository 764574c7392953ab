"""The rows of the table that a claim reads."""

import pandas as pd
import pytest
from claim_tables import WIDTHS, claim, note, rows, scaling


@pytest.mark.parametrize(
    ("step", "value"), [("final", 2.0), ("initial", 0.0), ("max", 5.0), (7, 5.0)]
)
def test_a_claim_reads_the_step_that_it_names(step, value):
    measurements = pd.concat(
        rows([v] * 3, step=t) for t, v in ((0, 0.0), (7, 5.0), (10, 2.0))
    )
    found = claim(
        "equals", metric="q", step=step, predicted=value, tolerance=0.1
    ).evaluate(measurements)
    assert found.estimate == value and found.verdict == "supported"


@pytest.mark.parametrize(
    "statement",
    [
        {"kind": "bound", "at_most": 1},
        {"kind": "power_law", "predicted": -1, "tolerance": 0.1},
    ],
)
def test_a_kernel_that_moved_by_rounding_only_is_reported(statement):
    said = {}
    for metric in ("ntk_change", "loss_ratio"):
        table = scaling(-1.0, metric=metric)
        lost = [rows([1.0, 0.0, 1.0], "unresolved", width=w) for w in WIDTHS[-2:]]
        found = claim(metric=metric, **statement).evaluate(pd.concat([table, *lost]))
        assert found.verdict == "supported"
        said[metric] = note(found)
    told = "4 of 50 networks"
    assert told in said["ntk_change"] and told not in said["loss_ratio"]


def final(*tables, metric="q"):
    statement = claim("equals", metric=metric, predicted=2, tolerance=5)
    return statement.evaluate(pd.concat(tables))


def test_final_is_the_last_recorded_step():
    """A network without a value at this step does not count with an earlier value."""
    first = rows([1.0, 1.0], step=10)
    elsewhere = rows([9.0, 9.0], step=30, metric="other")
    dead = final(first, rows([3.0], step=20, seeds=[1]), elsewhere)
    assert dead.estimate == 3 and dead.n == 1
    assert "1 of 2 networks have no value, 0 diverged" in note(dead)
    # a width at which no network has a value is reported
    lost = final(first, rows([0.0, 1.0], width=128, metric="undefined/q"))
    assert lost.n == 2 and "2 of 4 networks have no value" in note(lost)
    # the last recorded step depends on the width
    widths = final(first, rows([3.0, 3.0], step=20, width=128))
    assert widths.estimate == 2 and widths.n == 4


@pytest.mark.parametrize(
    ("metric", "recorded"),
    [
        ("q", "undefined/q"),
        ("q/1", "undefined/q/1"),
        ("ntk_condition", "ntk_min"),
        ("ntk_alignment", "ntk_min"),
    ],
)
def test_what_no_network_has_at_the_last_step_is_missing(metric, recorded):
    first = rows([1.0, 1.0], step=10, metric=metric)
    assert final(first, metric=metric).n == 2
    dead = final(first, rows([0.0, 0.0], step=20, metric=recorded), metric=metric)
    assert dead.verdict == "missing" and "no finite value" in note(dead)
