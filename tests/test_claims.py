"""All kinds of claim: missing and unusual data, the table, faults of their keys."""

import math

import pandas as pd
import pydantic
import pytest
from claim_tables import claim, normal, note, rows, scaling
from scipy import stats

from ntkpipe.claims import Verdict, table

KINDS = {
    "power_law": {"metric": "q", "predicted": -1, "tolerance": 0.1},
    "equals": {"metric": "q", "predicted": -1, "tolerance": 0.1},
    "bound": {"metric": "q", "at_least": 0},
    "ordering": {"metric": "q", "direction": "increasing"},
    "normal": {"metric": "q"},
    "ratio": {"metric": "q", "over_step": "initial", "high": 1},
    "fraction": {"that": {"metric": "q", "above": 1}},
}


@pytest.mark.parametrize("kind", KINDS)
def test_missing_data_names_what_exists(kind):
    measurements = pd.concat([rows([1.0, 2.0], metric="p"), rows([1.0], width=32)])
    named = claim(kind, **KINDS[kind], variant="other")
    found = named.evaluate(measurements)
    assert found.verdict == "missing" and not found.as_expected
    assert "no variant other; the table has base" in note(found)
    metric = claim(kind, **KINDS[kind]).evaluate(measurements[:2])
    assert metric.verdict == "missing"
    assert "no metric q; there are p" in note(metric)
    wide = claim(kind, **KINDS[kind], min_width=512).evaluate(measurements)
    assert wide.verdict == "missing" and "32" in note(wide)
    empty = claim(kind, **KINDS[kind]).evaluate(measurements[:0])
    assert empty.verdict == "missing" and "empty" in note(empty)
    two = pd.concat([measurements, rows([1.0], variant="more")])
    several = claim(kind, **KINDS[kind]).evaluate(two)
    assert "name one: base, more" in note(several)
    nothing = claim(kind, **KINDS[kind]).evaluate(rows([math.nan, math.nan]))
    assert nothing.verdict == "missing"


ODD = KINDS | {"collapse": {"metric": "q", "along": {"base": 1}, "width_power": 1}}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("value", [0.0, -1.0, 1.0, 1e300])
def test_odd_data_never_crashes(kind, n, value):
    measurements = pd.concat(
        rows([value] * n, width=w, step=t) for w in (8, 16, 32) for t in (0, 5)
    )
    found = claim(kind, **ODD[kind]).evaluate(measurements)
    assert isinstance(found, Verdict) and found.verdict


def test_a_claim_about_a_missing_step_names_the_recorded_ones():
    found = claim("equals", metric="q", step=3, predicted=1, tolerance=1).evaluate(
        rows([1.0, 2.0])
    )
    assert found.verdict == "missing" and "no step 3; there are 10" in note(found)


def test_the_nature_of_a_claim_is_in_its_row():
    fields = {"metric": "q", "at_least": 0}
    for nature in ("law", "identity", "control"):
        found = claim("bound", **fields, nature=nature).evaluate(rows([1.0, 2.0, 1.5]))
        assert (found.nature, found.as_expected) == (nature, nature != "control")


def test_a_law_may_be_known_to_be_contradicted():
    fields = {"metric": "q", "at_least": 0, "known": "contradicted"}
    with pytest.raises(pydantic.ValidationError, match="needs a reason"):
        claim("bound", **fields)
    with pytest.raises(pydantic.ValidationError, match="is for laws"):
        claim("bound", **fields, reason="r", nature="control")
    found = claim("bound", **fields, reason="r").evaluate(rows([-1.0, -2.0, -1.5]))
    assert (found.known, found.expected) == ("contradicted", "contradicted")
    assert found.as_expected and found.reason == "r"


@pytest.mark.parametrize("looks", [1, 3])
def test_looks_at_the_result_widen_the_interval(looks):
    values = normal(12)
    fields = {"metric": "q", "predicted": 0, "tolerance": 1}
    found = claim("equals", **fields, looks=looks).evaluate(rows(values))
    half = stats.t.ppf(1 - 0.025 / looks, 11) * values.std(ddof=1) / math.sqrt(12)
    assert found.ci_high - found.estimate == pytest.approx(half, rel=0.04)


def test_the_table_of_claims_has_a_row_for_each_verdict():
    law = claim("power_law", metric="q", predicted=-1, tolerance=0.1, reason="why")
    verdicts = [law.evaluate(scaling(-1.0)), law.evaluate(scaling(0.0, metric="p"))]
    made = table(verdicts)
    assert (
        list(made.columns[:10])
        == (
            "claim says source estimate ci_low ci_high expected n verdict as_expected"
        ).split()
    )
    assert made["verdict"].tolist() == ["supported", "missing"]
    assert made["as_expected"].tolist() == [True, False]
    assert made.loc[0, ["low", "high"]].tolist() == pytest.approx([-1.1, -0.9])
    assert made.loc[0, "reason"] == "why"
    assert list(table([]).columns) == list(made.columns)


@pytest.mark.parametrize(
    ("kind", "fields", "words"),
    [
        ("power_law", {"metric": "q", "predicted": -1}, "accepted band in one way"),
        ("power_law", {"metric": "q", "tolerance": 1}, "need predicted"),
        ("equals", {"metric": "q", "predicted": 0, "relative": 0.1}, "predicted"),
        ("equals", {"metric": "q", "low": 2, "high": 1}, "above high"),
        ("equals", {"metric": "q", "predicted": 3, "high": 1}, "outside"),
        ("bound", {"metric": "q"}, "one of at_least and at_most"),
        ("bound", {"metric": "q", "at_least": 0, "at_most": 1}, "one of"),
        ("ratio", {"metric": "q", "high": 1}, "a ratio needs two"),
        ("fraction", {"that": {"metric": "q"}}, "one of above and below"),
        (
            "fraction",
            {"that": {"metric": "q", "above": 1}, "exclude": [1, 2]},
            "give given",
        ),
        (
            "bound",
            {"metric": "q", "at_least": 0, "min_width": 8, "max_width": 4},
            "below min_width",
        ),
        ("bound", {"metric": "q", "at_least": 0, "tolerence": 4}, "tolerence"),
        ("ordering", {"metric": "q"}, "direction"),
    ],
)
def test_faults_of_a_claim_are_reported_with_a_reason(kind, fields, words):
    with pytest.raises(pydantic.ValidationError, match=words):
        claim(kind, **fields)


def test_all_faults_of_a_claim_are_reported_at_once():
    fields = {"metric": "q", "predicted": 5, "low": 2, "high": 1}
    with pytest.raises(pydantic.ValidationError) as caught:
        claim("ratio", **fields, min_width=8, max_width=4)
    for words in ("below min_width", "above high", "a ratio needs two"):
        assert words in str(caught.value)
