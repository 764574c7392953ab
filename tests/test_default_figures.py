"""The figures of a study file without the key `figures`."""

import json

import pytest

from ntkpipe.study import parse

EXPERIMENT = {
    "title": "A title",
    "question": "A question?",
    "dataset": {"kind": "points", "x": [[1], [2]], "y": [[0], [1]]},
    "model": {"depth": 1, "activation": "tanh"},
    "training": {"learning_rate": 1, "steps": 20, "record": 4},
    "widths": [8, 16],
    "linearize": "none",
}


def drawn(**changes):
    """The quantities and metrics of the figures of a study."""
    one = parse(json.dumps(EXPERIMENT | changes), "toy.yaml")
    return {
        figure.name: [
            getattr(item, "quantity", None) or item.metric
            for item in getattr(figure, "panels", None) or figure.metrics
        ]
        for figure in one.figures
    }


def test_a_study_without_figures_gets_those_that_it_records():
    assert drawn() == {
        "training": ["loss", "weight_change"],
        "widths": ["weight_change", "ntk_change"],
    }
    assert drawn(linearize="steps")["widths"][-1] == "linear_gap"


def test_what_one_variant_does_not_record_is_left_out():
    variants = {"with": {"linearize": "steps"}, "without": {}}
    assert drawn(variants=variants)["widths"] == ["weight_change", "ntk_change"]


@pytest.mark.parametrize(
    "changes",
    [{"figures": []}, {"training": EXPERIMENT["training"] | {"steps": 0}}],
)
def test_no_figures_are_drawn_if_none_are_asked_for_or_nothing_is_trained(changes):
    assert drawn(**changes) == {}
