"""A metric with and without a recording of its own, each written in one place."""

import jax
import numpy as np
import pytest

from ntkpipe import artifacts, measurements, stages, study
from ntkpipe.lazy import Lazy
from ntkpipe.measurements.group import Group, Inputs, Values
from ntkpipe.measurements.metric import Metric, Need
from ntkpipe.section import section
from ntkpipe.training import Training, loop, recorders
from ntkpipe.training.recorders.base import Now, Record, Recorder

jnp = Lazy("jax.numpy")

STUDY = """
title: A
question: B?
dataset: {kind: circle, points: 4, target: {kind: product}, test: 2}
model: {depth: 1}
training: {learning_rate: 0.1, steps: 6, record: 3}
widths: [5]
seeds: 2
"""


@pytest.fixture
def registered(monkeypatch):
    """Put a group of metrics, and a recorder, into their unions."""

    def register(group, recorder=None):
        monkeypatch.setattr(measurements, "GROUPS", (*measurements.GROUPS, group))
        metrics = (*measurements.METRICS, *group.metrics)
        monkeypatch.setattr(measurements, "METRICS", metrics)
        if recorder:
            both = (*recorders.RECORDERS, recorder)
            monkeypatch.setattr(loop, "RECORDERS", both)
            for name, axes in recorder.optional.items():
                monkeypatch.setitem(artifacts.PRODUCTS["network"], name, axes)
                monkeypatch.setitem(artifacts.OPTIONAL["network"], name, axes)

    return register


# --- without a recording --------------------------------------------------------------


def largest_output(of: Inputs) -> Values:
    """sup |f| over points, outputs and records."""
    f = np.abs(of.network["f_train"]).max((1, 2, 3))
    return {"largest_output": (of.network["step"][-1:], f[:, None])}


LARGEST = Group(
    (Metric(name="largest_output", meaning="the largest |f|", at="last"),),
    largest_output,
)


def test_a_metric_of_recorded_arrays(registered, tmp_path):
    one = study.parse(STUDY, "x.yaml")
    registered(LARGEST)
    made = []
    for stage, name, width in (
        ("dataset", "dataset.npz", 0),
        ("train", "network.npz", 5),
        ("linearize", "linearized.npz", 5),
        ("constancy", "constancy.csv", 0),
    ):
        path = str(tmp_path / name)
        getattr(stages, stage)(stages.Job(one, "base", width, tuple(made), (path,)))
        made.append(path)
    table = artifacts.load(made[-1]).data
    network = artifacts.load(made[1]).data
    found = table[table["metric"] == "largest_output"]["value"].to_numpy()
    np.testing.assert_array_equal(found, np.abs(network["f_train"]).max((1, 2, 3)))
    assert measurements.unknown("largest_output") is None


# --- with a recorder ------------------------------------------------------------------


@section
class Keys:
    largest: bool = False


class Largest(Recorder):
    """The largest |w| of each network."""

    keys = Keys
    optional = {"largest_weight": "s t"}  # noqa: RUF012
    metrics = ("largest_weight",)

    def wanted(self, training) -> bool:
        return getattr(training, "largest", False)

    def observe(self, run, now: Now) -> Record:
        sizes = [jnp.abs(leaf).max() for leaf in jax.tree.leaves(now.params)]
        return {"largest_weight": jnp.stack(sizes).max()}


ASKED = Need(lambda e: getattr(e.training, "largest", False), "`training.largest`")
OF_WEIGHTS = Group(
    (
        Metric(
            name="largest_weight",
            meaning="the largest |w|",
            at="last",
            when=(ASKED,),
        ),
    ),
    lambda of: {"largest_weight": (of.network["step"], of.network["largest_weight"])},
)


def test_a_metric_with_a_recording_of_its_own(registered, tmp_path):
    one = study.parse(STUDY, "x.yaml")
    registered(OF_WEIGHTS, Largest())

    @section
    class WithLargest(Keys, Training):
        """What `Training` is once the recorder stands in the union."""

    e = one.variants["base"]
    assert "training.largest" in measurements.unmet("largest_weight", e)
    data = e.dataset.sample(jax.random.key(0))
    asked = WithLargest(learning_rate=0.1, steps=6, record=3, largest=True)
    for training, there in ((e.training, False), (asked, True)):
        network = loop.train(e.model, training, data, 5, jax.random.key(0), 2)
        assert ("largest_weight" in network) == there
    assert network["largest_weight"].shape == (2, len(network["step"]))
    path = tmp_path / "network.npz"
    artifacts.save(path, network, {"product": "network"})
    np.testing.assert_array_equal(
        artifacts.load(path).data["largest_weight"], network["largest_weight"]
    )
    inputs = Inputs(e, 5, network, data._asdict(), None, None)
    steps, values = OF_WEIGHTS.measure(inputs)["largest_weight"]
    assert (values > 0).all() and len(steps) == values.shape[1]


def test_recorders_name_metrics_that_there_are_and_arrays_of_their_own():
    names = []
    for recorder in recorders.RECORDERS:
        for metric in recorder.metrics:
            assert measurements.unknown(metric) is None
        names += [*recorder.arrays, *recorder.optional]
    assert len(names) == len(set(names))
