import json
import re

import pytest
from figure_fakes import COMMON

from ntkpipe import study

CIRCLE = {"kind": "circle", "points": 4, "target": {"kind": "product"}}

ROW = {"kind": "points", "x": [[0], [1]], "y": [[0], [1]]}

PAIR = {"kind": "points", "x": [[0, 1]], "y": [[0, 1]]}

RANDOM = {"kind": "gaussian", "points": 4, "target": {"kind": "noise"}}

NPZ = {"kind": "npz", "path": "data.npz"}

GRID = {"kind": "heatmap", "points": "test", "limit": False}

SLICE = {"kind": "kernel_slice", "limit": False}

CHANGE = {"kind": "trajectories"}
MOVED = {"kind": "scaling", "metrics": [{"metric": "ntk_change"}]}


def study_with(figure, **experiment):
    raw = {"title": "t", "question": "q", "dataset": CIRCLE, "model": {"depth": 1}}
    raw |= {"training": {"learning_rate": 0.1, "steps": 10, "test_kernel": True}}
    raw |= {"widths": [8, 16], "seeds": {8: 9, 16: 2}, "limit": "steps"}
    return study.parse(
        json.dumps(raw | experiment | {"figures": [COMMON | figure]}), "s.yaml"
    )


def faults(figure, **experiment):
    """The keys of the faults of a figure, each with its text."""
    with pytest.raises(study.StudyError) as error:
        study_with(figure, **experiment)
    found = {fault.key: fault.text for fault in error.value.faults}
    assert all(key[:2] == ("figures", "fig") for key in found)
    return {".".join(key[2:]): text for key, text in found.items()}


@pytest.mark.parametrize(
    "figure, experiment, key, names",
    [
        ({"kind": "dynamics", "output": 1}, {}, "output", "1 1 0"),
        ({"kind": "functions", "output": 2}, {"dataset": PAIR}, "output", "2 2"),
        ({"kind": "function_band", "output": 1}, {}, "output", "1"),
        ({"kind": "functions", "axis": "angle"}, {"dataset": ROW}, "axis", "axis: x"),
        ({"kind": "function_band"}, {"dataset": ROW}, "axis", "axis: x"),
        ({"kind": "dynamics", "seed": 2}, {}, "seed", "2 2 0"),
        ({"kind": "modes", "seed": 2}, {}, "seed", "2"),
        ({"kind": "heatmap", "seed": 9, "widths": [8]}, {}, "seed", "9 9"),
        ({"kind": "ellipses", "seed": 2}, {"dataset": ROW}, "seed", "2"),
        ({"kind": "ellipses"}, {}, "kind", "4"),
        (SLICE | {"anchor": 65}, {}, "anchor", "test 65 65 0"),
        (SLICE | {"anchor": 4, "points": "train"}, {}, "anchor", "train 4 4"),
        (SLICE | {"points": "train"}, {"dataset": ROW}, "axis", "axis: x"),
        (GRID | {"axis": "x"}, {}, "axis", "x points: train"),
        (GRID | {"axis": "angle"}, {"dataset": PAIR}, "axis", "angle"),
        (GRID, {"dataset": RANDOM}, "axis", "x"),
        ({"kind": "heatmap", "order": "angle"}, {"dataset": ROW}, "order", "axis: x"),
        ({"kind": "components", "components": [5, 1]}, {}, "components", "5 4"),
        ({"kind": "landscapes"}, {}, "kind", "training.landscape"),
        ({"kind": "matrices"}, {}, "kind", "training.keep_matrix"),
        (CHANGE | {"panels": [{"quantity": "weight_change/W3"}]}, {}, "panels", "W3"),
        (
            CHANGE | {"panels": [{"quantity": "weight_change/b1"}]},
            {"model": {"depth": 1, "b_std": 0}},
            "panels",
            "b1",
        ),
        (MOVED | {"widths": [999]}, {}, "widths", "999"),
    ],
)
def test_what_an_experiment_cannot_have_is_refused_before_it_runs(
    figure, experiment, key, names
):
    """The fault names the key, the requested value, and valid values or a setting."""
    text = faults(figure, **experiment)[key]
    assert re.search(r".*\b".join(map(re.escape, names.split())), text)


@pytest.mark.parametrize("figure", [SLICE, GRID | {"axis": "angle"}])
def test_kernels_of_test_points_must_be_recorded(figure):
    training = {"learning_rate": 0.1, "steps": 10}
    assert "training.test_kernel: true" in faults(figure, training=training)["points"]


def test_a_traced_kernel_and_a_model_without_layers_lack_a_figure():
    ellipses, training = {"kind": "ellipses"}, {"learning_rate": 0.1, "steps": 10}
    training["kernel"] = "trace"
    lacks = faults(ellipses, dataset=PAIR, training=training)
    assert "training.kernel: full" in lacks["kind"]
    study_with(ellipses, dataset=ROW, training=training)
    model = {"model": {"kind": "one_parameter"}, "dataset": ROW, "limit": "none"}
    for kind in ("spectrum", "heatmap"):
        figure = {"kind": kind, "limit": False}
        study_with(figure, **model)
        assert "kernel: ntk" in faults(figure | {"kernel": "nngp"}, **model)["kernel"]


@pytest.mark.parametrize(
    "figure, experiment",
    [
        ({"kind": "heatmap", "seed": 8, "widths": [8]}, {}),
        (GRID | {"axis": "angle"}, {}),
        (GRID, {"dataset": ROW}),
        (GRID | {"axis": "angle"}, {"dataset": RANDOM | {"test_on": "circle"}}),
        (GRID | {"axis": "angle"}, {"dataset": NPZ}),
        (SLICE | {"anchor": 10**5}, {"dataset": NPZ}),
        ({"kind": "functions", "output": 3}, {"dataset": NPZ}),
        (
            {"kind": "trajectories", "panels": [{"quantity": "weight_change/b2"}]},
            {"model": {"depth": 1, "b_std": 0.1}},
        ),
        (MOVED | {"widths": [8, 999]}, {}),
        (
            MOVED | {"metrics": [{"metric": "kernel_at/22"}], "along": "index"},
            {"measure": {"kernel_at": [0, 22]}},
        ),
        (
            MOVED | {"along_label": r"$\alpha$ of 3\$", "value_label": "3$ of $ or $"},
            {},
        ),
    ],
)
def test_what_an_experiment_may_have_is_not_refused(figure, experiment):
    assert study_with(figure, **experiment).figures


@pytest.mark.parametrize(
    "keys, key",
    [
        ({"metrics": []}, "metrics"),
        ({"along": "index"}, "along"),
        ({"along": {"base": 10}, "width_power": 500}, "width_power"),
        ({"along": {"base": 1e300}, "width_power": 2}, "along.base"),
        ({"labels": {"base": r"$\q$"}}, "labels.base"),
        ({"metrics": [{"metric": "x", "label": "$^$"}]}, "metrics.0.label"),
        ({"along_label": "$\\frac{1}$"}, "along_label"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_its_key(keys, key):
    assert key in faults(MOVED | keys)
