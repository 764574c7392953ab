"""The results of claims as page, terminal and manual show them."""

import json
import math

import pytest

from ntkpipe.claims import words


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [
        (-1.08, -0.92, "[−1.08, −0.92]"),
        (0.00575055, 0.00958425, "[0.00575, 0.00958]"),
        (1.89674, 1.90054, "[1.897, 1.901]"),
        (3.7926e-05, 3.9474e-05, "[3.79·10⁻⁵, 3.95·10⁻⁵]"),
        (-math.inf, 1e-06, "≤ 10⁻⁶"),
        (0.95, math.inf, "≥ 0.95"),
        (1.0, 1.0, "1"),
        (math.nan, math.nan, ""),
    ],
)
def test_a_band_has_the_digits_that_tell_its_ends_apart(low, high, shown):
    assert words.accepted({"low": low, "high": high}) == shown


@pytest.mark.parametrize(
    ("estimate", "low", "high", "shown"),
    [
        (-0.933, -0.9561, -0.91, "−0.933 [−0.956, −0.910]"),
        (1.0, math.nan, math.nan, "1.00"),
        (math.nan, math.nan, math.nan, ""),
    ],
)
def test_an_estimate_has_its_interval_where_there_is_one(estimate, low, high, shown):
    row = {"estimate": estimate, "ci_low": low, "ci_high": high}
    assert words.measured(row) == shown


@pytest.mark.parametrize(
    ("detail", "shown"),
    [
        ((), ""),
        (
            (("local slopes", (("1024→4096", -0.000631), ("4096→16384", -1.0))),),
            "local slopes 1024→4096: −6.31·10⁻⁴, 4096→16384: −1",
        ),
        (
            (("the estimate is that of width", 16384), ("at", "limit_z/3")),
            "the estimate is that of width 16384; at limit_z/3",
        ),
        ((("local slopes", (("8→16", math.nan),)),), "local slopes 8→16: –"),
        (words.notes("R-12: -1 of 0.50", "", "R-12: -1 of 0.50"), "R-12: -1 of 0.50"),
    ],
)
def test_a_detail_is_data_in_the_table_and_words_elsewhere(detail, shown):
    cell = words.as_json(detail)
    assert list(json.loads(cell)) == [name for name, _ in detail]
    assert words.detail({"detail": cell}) == shown


@pytest.mark.parametrize(
    ("level", "kind", "shown"),
    [
        (0.95, "two-sided", "95 % two-sided"),
        (0.975, "one-sided", "97.5 % one-sided"),
        (1 - 0.05 / 3, "two-sided", "98.3 % two-sided"),
        (0.99999943, "two-sided", "99.999943 % two-sided"),
        (0.99, "prediction", "99 % prediction range"),
        (math.nan, "none", ""),
    ],
)
def test_an_interval_has_its_level_and_kind(level, kind, shown):
    assert words.level({"level": level, "interval": kind}) == shown


@pytest.mark.parametrize(
    ("verdict", "low", "high", "off"),
    [
        ("supported", -1.1, -0.9, False),
        ("supported", -0.98, -0.9, True),
        ("supported", math.nan, math.nan, False),
        ("contradicted", -0.8, -0.7, False),
    ],
)
def test_a_claim_may_be_supported_and_off_its_prediction(verdict, low, high, off):
    row = {"verdict": verdict, "ci_low": low, "ci_high": high}
    assert words.off(row | {"predicted": -1.0}) == off
    assert not words.off(row | {"predicted": math.nan})


def test_each_nature_is_counted_apart():
    verdicts = (("law", True), ("law", False), ("identity", True), ("control", True))
    rows = [
        {"nature": nature, "as_expected": met, "set": "before", "known": math.nan}
        for nature, met in verdicts
    ]
    said = "1 of 2 laws and numbers as expected; 1 of 1 identity verified"
    assert words.tally(rows[:3]) == said
    assert words.tally(rows[3:]) == "1 of 1 control refuted"
    rows[0]["set"], rows[3]["set"] = "after pilot", "after result"
    said = words.tally(rows).split("; ")
    assert said[0] == "0 of 1 law or number as expected"
    assert said[1] == "1 of 1 law or number as expected, band set after a pilot"
    assert said[3] == "1 of 1 control refuted"  # of laws only
    rows[0]["set"] = "after result"
    assert words.tally(rows).split("; ")[1].endswith(", band set after a result")
    rows[1]["known"] = "contradicted"
    assert words.tally(rows).startswith("1 of 1 law or number as expected, band")
    assert words.tally(rows).endswith(
        "1 law known to be contradicted, counted on neither side"
    )


@pytest.mark.parametrize("cell", [math.nan, "", None])
def test_a_row_without_detail_has_no_words(cell):
    assert words.detail({"detail": cell}) == ""
