"""Claims on the page: their common axis, their words, the figures beside them."""

import json
import math

import pytest

from ntkpipe.report.forest import END, mark, place
from ntkpipe.report.links import claims_beside
from ntkpipe.report.rows import rows
from ntkpipe.study import StudyError, parse

NAN, INF = math.nan, math.inf
LAW = {
    "claim": "A-1",
    "study": "s",
    "says": "It holds",
    "source": "",
    "verdict": "supported",
    "as_expected": True,
    "expected": "supported",
    "nature": "law",
    "set": "before",
    "known": "",
    "level": 0.95,
    "interval": "two-sided",
    "variant": "",
    "metric": "ntk_change",
    "statistic": "mean",
    "predicted": NAN,
    "estimate": 1.0,
    "ci_low": 0.9,
    "ci_high": 1.1,
    "low": 0.5,
    "high": 1.5,
    "n": 8,
    "widths": "8",
    "detail": "",
    "reason": "",
}


def at(estimate, ends, band, **more):
    """The mark of a claim with an interval and a band."""
    numbers = dict(
        zip(
            ("estimate", "ci_low", "ci_high", "low", "high"),
            (estimate, *ends, *band),
            strict=True,
        )
    )
    return mark(LAW | numbers | more)


# ------------------------------------------------- the axis


def test_the_band_is_minus_one_to_one_and_logarithmic_outside():
    assert [place(u) for u in (-1, -0.5, 0, 1)] == [-1, -0.5, 0, 1]
    # continuous at the edge, odd, half a unit for a decade
    assert place(1 + 1e-9) == pytest.approx(1, abs=1e-8)
    assert place(10) == pytest.approx(1.5) and place(-10) == pytest.approx(-1.5)
    assert place(1e99) == place(100) == END


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("shift", [0.0, 7.0])
def test_the_place_of_a_number_does_not_depend_on_its_unit(scale, shift):
    def unit(*values):
        return [scale * (value + shift) for value in values]

    found = at(*unit(1.0), unit(0.75, 2.0), unit(0.5, 1.5))
    assert found.at == pytest.approx(0, abs=1e-6)
    assert found.low == pytest.approx(-0.5) and found.high == pytest.approx(place(2))
    assert found.band == (-1, 1)
    assert found.width == pytest.approx(2.5)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_bound_is_open_on_one_side(sign):
    above = at(3.0, (2.5, 3.5), (1.0, INF))
    below = at(-3.0, (-3.5, -2.5), (-INF, -1.0))
    assert above.band == (-1, END) and below.band == (-END, 1)
    assert above.at == pytest.approx(-below.at) == pytest.approx(place(3))
    # the band of a number between 0 and its bound is the whole strip
    assert at(0.0, (NAN, NAN), (-INF, 0.02)).at == -1
    assert at(0.02, (NAN, NAN), (-INF, 0.02)).at == 1


def test_a_bound_of_zero_is_measured_in_widths_of_the_interval():
    far, near = (at(e, (e - 1, e + 1), (0.0, INF)) for e in (10.0, 2.0))
    assert far.at > near.at > -1
    assert at(20.0, (18.0, 22.0), (0.0, INF)).at == pytest.approx(far.at)


def test_the_band_of_an_exact_number_is_a_line():
    found = at(1.0, (0.99, 1.0), (1.0, 1.0))
    assert found.band == (0, 0) and found.at == 0
    assert found.distance == INF  # all networks have the property: there is no edge
    missed = at(0.9, (0.8, 0.95), (1.0, 1.0))
    assert missed.at < 0 and missed.distance < INF


def test_a_range_of_networks_shows_the_published_number():
    found = at(0.5, (0.4, 0.6), (0.4, 0.6), predicted=0.55, interval="prediction")
    assert found.at == pytest.approx(0.5)
    assert found.low == found.high == found.at


def test_the_distance_is_that_of_the_interval_from_the_nearest_edge():
    band = 0.0, 2.0
    assert at(1.0, (0.5, 1.25), band).distance == pytest.approx(0.5)
    assert at(3.0, (2.5, 3.5), band).distance == pytest.approx(0.5)
    assert at(2.0, (1.5, 2.5), band).distance == 0
    assert at(2.0, (NAN, NAN), (0.0, 3.0)).distance == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("estimate", "band"), [(NAN, (0.0, 1.0)), (1.0, (-INF, INF)), (INF, (0.0, 1.0))]
)
def test_a_claim_without_a_number_or_a_band_is_not_on_the_axis(estimate, band):
    assert at(estimate, (NAN, NAN), band) is None


# ------------------------------------------------- words


def row(**changes):
    return rows([LAW | changes], {"s": {"deep": "three layers"}})[0]


@pytest.mark.parametrize("nature", ["law", "identity", "control"])
@pytest.mark.parametrize("met", [True, False])
def test_a_check_mark_means_as_expected(nature, met):
    verdict = "contradicted" if (nature == "control") == met else "supported"
    found = row(nature=nature, verdict=verdict, as_expected=met)
    assert (found.icon == "✓") == met and found.wrong == (not met)
    assert bool(found.why) == (not met)


def test_a_known_contradiction_is_on_neither_side():
    known = {"known": "contradicted", "verdict": "contradicted", "reason": "Because."}
    found = row(**known)
    assert (found.kind, found.wrong, found.why) == ("known", False, "Because.")
    assert not row(**known, as_expected=False).wrong


def test_metrics_and_variants_have_labels_and_keep_their_names():
    found = row(metric="ntk_change / kernel_at/22", variant="deep / wide")
    raw = [part.raw for part in found.metric if part.raw]
    assert raw == ["ntk_change", "kernel_at/22"]
    assert all(part.text != part.raw for part in found.metric if part.raw)
    assert "".join(part.text for part in found.variant) == "three layers / wide"
    condition = row(metric="flips/1 > 0.5 iff unknown < 3").metric
    assert [part.raw for part in condition if part.raw] == ["flips/1"]
    assert "".join(p.text for p in condition).endswith(" > 0.5 iff unknown < 3")


# ------------------------------------------------- figures


def study(figures):
    """A study of two variants with four claims, and these figures."""

    def claim(id, metric, variant):
        return {
            "id": id,
            "kind": "equals",
            "set": "before",
            "says": "It is one",
            "source": "derived",
            "metric": metric,
            "variant": variant,
            "predicted": 1,
            "tolerance": 1,
        }

    text = {
        "title": "A title",
        "question": "A question?",
        "dataset": {"kind": "points", "x": [[1], [2]], "y": [[0], [1]]},
        "model": {"depth": 1, "activation": "tanh"},
        "training": {"learning_rate": 1, "steps": 20, "record": 4},
        "widths": [8, 16],
        "variants": {"a": {}, "b": {"training": {"learning_rate": 0.5}}},
        "claims": [
            claim("A", "weight_change/W1", "a"),
            claim("B", "weight_change/W1", "b"),
            claim("C", "loss_ratio", "a"),
            claim("D", "weight_change", "a"),
        ],
        "figures": [
            {"caption": "c", "title": "t", "name": name} | keys
            for name, keys in figures.items()
        ],
    }
    return parse(json.dumps(text), "toy.yaml")


def scaling(metric, *variants, **more):
    keys = {"kind": "scaling", "metrics": [{"metric": metric}]} | more
    return keys | ({"variants": [*variants]} if variants else {})


def test_a_claim_belongs_to_figures_with_its_metric_and_variant():
    figures = {
        "one": scaling("weight_change/W1", "a"),
        "both": scaling("weight_change/W1"),
        "time": {"kind": "trajectories", "panels": [{"quantity": "weight_change"}]},
    }
    assert claims_beside(study(figures)) == {
        "one": ("A",),
        "both": ("A", "B"),
        "time": ("D",),
    }


def test_a_claim_about_another_variant_belongs_to_the_metric():
    figures = {"one": scaling("weight_change/W1", "a"), "loss": scaling("loss_ratio")}
    assert claims_beside(study(figures))["one"] == ("A", "B")


def test_the_only_figure_has_all_claims_unless_it_names_them():
    figure = scaling("weight_change/W1", "a")
    assert claims_beside(study({"one": figure}))["one"] == ("A", "B", "C", "D")
    named = {"one": figure | {"claims": ["C"]}}
    assert claims_beside(study(named))["one"] == ("C",)
    assert claims_beside(study({"one": figure | {"claims": []}}))["one"] == ()


def test_a_figure_that_names_an_unknown_claim_is_a_fault():
    with pytest.raises(
        StudyError, match=r"figures.one.claims: no claim E: there are A"
    ):
        study({"one": scaling("weight_change/W1", claims=["A", "E"])})
