"""The probability of the same verdict again: closed forms, simulation, the command."""

import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from claim_tables import claim, normal, rows, scaling
from scipy.stats import norm

from ntkpipe.claims import normal_law, power
from ntkpipe.claims.statistics import generator


def standardised(n=200, seed=0):
    """Normal values whose own mean and standard deviation are 0 and 1."""
    values = normal(n, seed=seed)
    return (values - values.mean()) / values.std(ddof=1)


def equals(tolerance, predicted=0, **more):
    return claim("equals", metric="q", predicted=predicted, tolerance=tolerance, **more)


# ------------------------------------------------------------------ normal law


def test_the_design_rule_is_99_percent():
    assert normal_law.chance(0, 0.43, (-1, 1)) == pytest.approx(0.9906, abs=1e-4)
    assert normal_law.widest(0, (-1, 1)) == pytest.approx(0.432, abs=1e-3)


@pytest.mark.parametrize("truth", [0.0, 0.3, -0.6])
@pytest.mark.parametrize("half", [0.05, 0.3, 0.8])
@pytest.mark.parametrize("verdict", ["supported", "contradicted"])
def test_the_normal_law_is_that_of_drawn_estimates(truth, half, verdict):
    drawn = truth + half / norm.ppf(0.95) * normal(200_000)
    inside = (drawn - half >= -0.5) & (drawn + half <= 1)
    outside = (drawn + half < -0.5) | (drawn - half > 1)
    share = (inside if verdict == "supported" else outside).mean()
    p = normal_law.chance(truth, half, (-0.5, 1), 0.9, verdict)
    assert p == pytest.approx(share, abs=0.004)


@pytest.mark.parametrize("band", [(-1, 2), (-1, math.inf), (-math.inf, 2)])
def test_the_widest_interval_has_enough_power(band):
    half = normal_law.widest(0.5, band, 0.9)
    assert normal_law.chance(0.5, half, band, 0.9) == pytest.approx(normal_law.ENOUGH)
    assert normal_law.widest(3.5, (-1, 2), verdict="contradicted") > 0
    assert normal_law.widest(3.5, (-1, 2)) == normal_law.widest(2, (-1, 2)) == 0


@pytest.mark.parametrize(
    ("threshold", "found"),
    [(0.3, 0.5), (0.9, 1.0), (0.01, 0.1), (3, 3.4), (60, 64), (99, None)],
)
def test_the_least_factor_reaches_the_threshold(threshold, found):
    factor = power.least_factor(lambda f: f >= threshold, 0.1)
    assert factor == (pytest.approx(found, rel=0.02) if found else math.inf)


# ------------------------------------------------------------------ drawing


def test_networks_of_the_same_seeds_are_drawn_together_and_widths_are_not():
    own = {w: np.exp(2 * normal(30, seed=w)) for w in (64, 128)}
    table = pd.concat(
        rows(factor * own[w], variant=v, width=w)
        for v, factor in (("a", 1.0), ("b", 3.0))
        for w in own
    )
    ratio = claim("ratio", metric="q", variant="b", over_variant="a", high=4)
    measured = power.networks(ratio, table)
    drawn = measured.draw(generator("x"))
    a, b = (next(r.values for k, r in drawn.items() if k[2] == v) for v in "ab")
    np.testing.assert_allclose(b, 3 * a)
    positions = [
        [list(own[w]).index(v) for v in a.xs(w, level="width")["q"]] for w in own
    ]
    assert positions[0] != positions[1]
    assert all(len(p) == 30 and 10 < len(set(p)) < 30 for p in positions)


def test_variants_of_other_seeds_are_drawn_separately():
    values = np.arange(1.0, 31.0)
    table = pd.concat(
        [rows(values, variant="a"), rows(values, variant="b", seeds=range(30, 60))]
    )
    ratio = claim("ratio", metric="q", variant="b", over_variant="a", high=4)
    a, b = power.networks(ratio, table).draw(generator("x")).values()
    assert set(a.values["q"]) != set(b.values["q"])


def test_a_network_without_a_value_has_none_in_a_draw():
    table = pd.concat([rows([1, 2, 3]), rows(normal(5), metric="other")])
    measured = power.networks(equals(1), table)
    many = [
        sum(len(r.values) for r in measured.draw(generator(f"{i}")).values())
        for i in range(300)
    ]
    assert np.mean(many) == pytest.approx(3, abs=0.25) and min(many) < 3 < max(many)


@pytest.mark.parametrize("factor", [0.25, 1.0, 3.0])
def test_a_draw_has_the_number_of_networks_asked_for(factor):
    table = pd.concat([rows(normal(40), width=64), rows(normal(20), width=128)])
    measured = power.networks(equals(1), table)
    (reading,) = measured.draw(generator("x"), factor).values()
    assert [len(reading.at(w)) for w in (64, 128)] == [40 * factor, 20 * factor]
    assert measured.seeds(factor) == {64: 40 * factor, 128: 20 * factor}


def test_readings_are_judged_as_their_table_is():
    slope = claim("power_law", metric="q", predicted=-1, tolerance=0.1)
    table = scaling(-1.0)
    measured = power.networks(slope, table)
    assert slope.evaluate(measured.readings) == slope.evaluate(table)
    empty = power.Readings()
    assert slope.evaluate(empty).verdict == "missing"


# ------------------------------------------------------------------ claims


def test_a_narrow_interval_is_certain_and_needs_few_seeds():
    found = power.of_claim(equals(50.0), rows(standardised()))
    assert found.again == 1 and found.if_true == pytest.approx(1)
    assert (found.seeds, found.seeds_needed) == ("200", "2")
    stated = power.of_claim(equals(50.0), rows(standardised()), draws=200, seed=0)
    assert stated == found


@pytest.mark.parametrize("ratio", [0.5, 0.7, 0.9])
def test_the_share_of_draws_is_the_closed_form(ratio):
    """The mean of 200 normal values: h is known, and so is P at every δ."""
    table = rows(standardised())
    half = power.of_claim(equals(1.0), table, draws=1).half_width
    assert half == pytest.approx(1.972 / math.sqrt(200), rel=0.04)
    found = power.of_claim(equals(half / ratio), table, draws=400)
    closed = normal_law.chance(0, half, (-half / ratio, half / ratio))
    assert found.if_true == pytest.approx(closed)
    assert found.ratio == pytest.approx(ratio)
    assert found.again == pytest.approx(closed, abs=4 * found.again_error + 0.02)
    assert found.factor == pytest.approx((ratio / 0.432) ** 2, rel=0.01)
    assert found.seeds_needed == f"{math.ceil(200 * found.factor)}"


def test_off_the_prediction_power_is_that_of_the_estimate():
    table = rows(standardised() + 0.3)
    found = power.of_claim(equals(0.6), table, draws=20)
    at_estimate = normal_law.chance(0.3, found.half_width, (-0.6, 0.6))
    assert found.if_true == pytest.approx(at_estimate)
    assert at_estimate < normal_law.chance(0, found.half_width, (-0.6, 0.6))


def test_seeds_of_a_bound_are_found_by_drawing():
    values = standardised(100)
    near, far = (
        power.of_claim(claim("bound", metric="q", at_most=limit), rows(values))
        for limit in (0.3, 4.0)
    )
    # 0.3 = h + 2.33 standard errors at 1.66 + 2.33 = 3.99: n = (3.99/0.3)² = 177
    assert near.factor_by == "resampling" and 1.2 < near.factor < 2.6
    assert near.again < normal_law.ENOUGH < far.again
    assert int(far.seeds_needed) < 10
    assert math.isnan(near.ratio) and math.isnan(near.if_true)


def test_the_power_of_an_inconclusive_claim_is_that_of_the_expected_verdict():
    found = power.of_claim(equals(0.05), rows(standardised()))
    assert found.verdict == "inconclusive" and found.again < 0.05
    assert found.factor > 2


@pytest.mark.parametrize(
    ("statement", "values", "said"),
    [
        ({"statistic": "max", "at_most": 9}, [1, 2, 3], "extreme"),
        ({"at_most": 9, "exact": True}, [1], "one network"),
        ({"at_most": 9, "step": 4}, [1, 2, 3], "missing"),
        ({"at_most": 9}, [1, 1, 1], "no interval"),
    ],
)
def test_a_claim_without_an_interval_has_no_number_of_seeds(statement, values, said):
    found = power.of_claim(claim("bound", metric="q", **statement), rows(values))
    assert said in found.note and math.isnan(found.factor)
    # a missing law counts as one whose verdict changes
    assert power.expected_changes(power.table([found])) == (said == "missing")


def test_a_draw_without_any_value_is_judged_as_missing():
    # two of six networks have a value: a draw has none with probability (2/3)⁶
    table = pd.concat([rows([1.0, 1.1]), rows(normal(6), metric="other")])
    found = power.of_claim(equals(5), table)
    assert found.again < 1


def test_the_sum_counts_laws_only():
    law = power.of_claim(equals(0.2), rows(standardised()))
    control = power.of_claim(equals(0.05, 0.2, nature="control"), rows(standardised()))
    assert (law.nature, control.nature) == ("law", "control")
    assert law.again < 1 and control.again < 1
    table = power.table([law, control])
    assert power.expected_changes(table) == pytest.approx(1 - law.again)
    assert list(power.too_few(table)["claim"]) == ["T-1", "T-1"]
    enough = power.table([power.of_claim(equals(5), rows(standardised()), "s")])
    assert power.too_few(enough).empty
    assert list(power.too_many(enough)["study"]) == ["s"]


def test_a_claim_with_just_enough_power_has_neither_too_few_nor_too_many_seeds():
    one = power.of_claim(equals(5), rows(standardised()), "s")
    table = power.table([one._replace(again=normal_law.ENOUGH, factor=1.0)])
    assert power.too_few(table).empty and power.too_many(table).empty
    less = power.table([one._replace(again=0.98, factor=1.0)])
    more = power.table([one._replace(again=1.0, factor=1.1)])
    assert len(power.too_few(less)) == len(power.too_few(more)) == 1


# ------------------------------------------------------------------ the command


def run_command(folder, output, *more):
    command = [sys.executable, "-m", "ntkpipe", "power", *more, "--output", str(output)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.workflow
def test_the_command_reads_a_finished_run(finished, tmp_path):
    code, said = run_command(finished, tmp_path / "a.csv", "--draws", "20")
    assert code == 0 and "of 1 laws and numbers" in said
    table = pd.read_csv(tmp_path / "a.csv").set_index("claim")
    assert list(table.index) == ["still", "fits"]
    assert table["seeds"].tolist() == [4, 4]
    claims = pd.read_csv(finished / "results" / "tiny" / "claims.csv")
    half = (claims["ci_high"] - claims["ci_low"]) / 2
    np.testing.assert_allclose(table["half_width"], half)
    assert run_command(finished, tmp_path / "b.csv", "--draws", "20")[0] == 0
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    code, said = run_command(finished, tmp_path / "c.csv", "--results", "elsewhere")
    assert code == 2 and "run a study first" in said


@pytest.mark.parametrize("positive", [True, False])
@pytest.mark.parametrize("n", [3, 5])
def test_widened_networks_have_the_variance_of_new_ones(n, positive):
    values = np.exp(normal(n)) if positive else normal(n)
    measured = power.networks(equals(1), rows(values))
    (reading,) = power.widened(measured).readings.values()
    wide = reading.values["q"].to_numpy()
    if positive:
        values, wide = np.log(values), np.log(wide)
    assert wide.mean() == pytest.approx(values.mean())
    assert wide.var() == pytest.approx(values.var(ddof=1))
