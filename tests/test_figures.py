import io
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pydantic
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from PIL import Image

from ntkpipe import figures, study
from ntkpipe.claims.power_law import PowerLaw
from ntkpipe.figures import axes, base, modes, save, spectrum, style
from ntkpipe.stages import figure as stage

STUDIES = sorted(Path(__file__).parents[1].glob("config/studies/*.yaml"))

ETA, STEPS, POINTS, TESTS = 0.5, 200, 5, 41


class FakeArrays:
    """Linear dynamics under a kernel K + noise/√n, plus a drift that falls as 1/n."""

    claims = ()

    def __init__(self, variants=("ntk", "standard"), widths=(16, 64), seeds=6):
        self.variants, self._widths, self.seeds = variants, widths, seeds
        self.asked = set()
        self.diverged = {}  # (variant, width) → seeds
        angle = np.linspace(-np.pi, np.pi, POINTS, endpoint=False) + 0.3
        grid = np.linspace(-np.pi, np.pi, TESTS)
        self.x, self.x_test = (
            np.stack([np.cos(a), np.sin(a)], -1) for a in (angle, grid)
        )
        self.y = np.sin(2 * angle)[:, None]
        self.step = np.unique([0, *np.geomspace(1, STEPS, 30).astype(int)])

    def widths(self, variant):
        return self._widths

    def __call__(self, product, variant, width=None):
        self.asked.add(product)
        return getattr(self, product)(variant, width)

    def experiment(self, variant):
        training = SimpleNamespace(learning_rate=ETA)
        return SimpleNamespace(training=training, model=SimpleNamespace(alpha=1.0))

    def dataset(self, variant, width):
        return {
            "x_train": self.x,
            "y_train": self.y,
            "x_test": self.x_test,
            "y_test": np.sin(2 * np.arctan2(*self.x_test.T[::-1]))[:, None],
        }

    @staticmethod
    def kernel(a, b):
        cosine = a @ b.T
        return 1 + cosine + 0.5 * cosine**2 + 0.25 * np.exp(2 * cosine - 2)

    def kernels(self):
        return self.kernel(self.x, self.x), self.kernel(self.x_test, self.x)

    def solve(self, kernel, test, f0, f0_test):
        """f at training and test points at all steps."""
        values, vectors = np.linalg.eigh(kernel / POINTS)
        left = (1 - ETA * values) ** self.step[:, None] * (
            vectors.T @ (f0 - self.y[:, 0])
        )
        residual = left @ vectors.T
        moved = (residual - residual[0]) @ np.linalg.inv(kernel)
        return self.y[:, 0] + residual, f0_test + moved @ test.T

    def runs(self, variant, width):
        random = np.random.default_rng([width, len(variant)])
        train, test = self.kernels()
        linear, network, kernels, slices = [], [], [], []
        for _ in range(self.seeds):
            noise = random.normal(size=(2, 3)) / np.sqrt(width) * 0.9
            features = np.stack([np.ones(POINTS), *self.x.T])
            grid = np.stack([np.ones(TESTS), *self.x_test.T])
            extra = noise @ features
            k = train + extra.T @ extra + 0.1 * np.eye(POINTS) / width
            k_test = test + (noise @ grid).T @ extra
            f0, f0_test = ((random.normal(size=3) * 0.4) @ f for f in (features, grid))
            linear.append(self.solve(k, k_test, f0, f0_test))
            faster = 1 + 6 / width
            network.append(self.solve(k * faster, k_test * faster, f0, f0_test))
            kernels.append(np.stack([k, k * faster]))
            slices.append(k_test[None])
        return linear, network, np.stack(kernels), np.stack(slices)

    def network(self, variant, width):
        _, network, kernels, slices = self.runs(variant, width)
        f_train, f_test = (np.stack(f)[..., None] for f in zip(*network, strict=True))
        diverged = np.isin(
            np.arange(self.seeds), self.diverged.get((variant, width), [])
        )
        f_train[diverged, -1] = np.nan
        grow = 1 - np.exp(-self.step / 40)
        loss = ((f_train - self.y) ** 2).sum(-1).mean(-1) / 2
        layers = np.array([0.5, 0.1, 1.0, 0.1])
        return {
            "step": self.step,
            "loss": loss,
            "f_train": f_train,
            "f_test": f_test,
            "layer": np.array(["W1", "b1", "W2", "b2"]),
            "weight_norm": np.sqrt(width) * np.ones((self.seeds, 4)),
            "weight_change": np.broadcast_to(
                grow[None, :, None] * layers, (self.seeds, len(self.step), 4)
            ),
            "snapshot": self.step[[0, -1]],
            "ntk": kernels[:, :, :, None, :, None],
            "ntk_test_train": slices[:, :, :, None, :, None],
            "ntk_test": np.stack(
                [
                    (1 + 1 / width * np.arange(1, 3))[:, None, None]
                    * self.kernel(self.x_test, self.x_test)
                ]
                * self.seeds
            )[:, :, :, None, :, None],
            "nngp": kernels / 2,
            "matrix": np.cumsum(random_matrices(width, len(self.step)), axis=0),
            "feature_change": np.ones((self.seeds, 2, 1)) / np.sqrt(width),
            "stop_step": np.where(
                np.arange(self.seeds) < 4, self.step[20], self.step[-1]
            ),
            "converged": ~diverged,
            "diverged": diverged,
            "seed": np.arange(self.seeds),
        }

    def linearized(self, variant, width):
        linear, *_ = self.runs(variant, width)
        f_train, f_test = (np.stack(f)[..., None] for f in zip(*linear, strict=True))
        grow = 1 - np.exp(-self.step / 40)
        return {
            "step": self.step,
            "loss": ((f_train - self.y) ** 2).sum(-1).mean(-1) / 2,
            "f_train": f_train,
            "f_test": f_test,
            "weight_change": np.tile(grow * 1.1, (self.seeds, 1)),
        }

    def limit(self, variant, width):
        train, test = self.kernels()
        f_train, f_test = self.solve(train, test, np.zeros(POINTS), np.zeros(TESTS))
        return {
            "step": self.step,
            "ntk_train_train": train,
            "ntk_test_train": test,
            "ntk_test_test": self.kernel(self.x_test, self.x_test),
            "nngp_train_train": train / 2,
            "nngp_test_train": test / 2,
            "mean_train": f_train[..., None],
            "mean_test": f_test[..., None],
            "sd_train": 0.5 * np.exp(-self.step / 20)[:, None] * np.ones(POINTS),
            "sd_test": 0.1 + 0.2 * np.ones((len(self.step), TESTS)),
        }


def random_matrices(width, steps):
    """A matrix and small changes of it."""
    matrices = np.random.default_rng(width).normal(size=(steps, 7, 7))
    matrices[1:] /= width
    return matrices


class TwoPoints(FakeArrays):
    """The first two of the points, where H has the eigenvectors (4, 3) and (3, −4)."""

    H0, SLOW, FAST = np.array([[2.28, 0.96], [0.96, 1.72]]), 1.0, 3.0

    def dataset(self, variant, width):
        data = super().dataset(variant, width)
        return data | {"x_train": self.x[:2], "y_train": np.array([[3.0], [-1.0]])}

    def network(self, variant, width):
        network = super().network(variant, width)
        shares = (np.array([[0.8, 0.6], [0.6, -0.8]]) @ [3, -1])[:, None]
        decay = np.exp(-np.outer([self.FAST, self.SLOW], ETA * self.step))
        f = (np.array([[0.8, 0.6], [0.6, -0.8]]) @ (shares * (1 - decay))).T
        kernels = 2 * self.H0 * np.array([1, 4])[:, None, None]
        ones = np.ones((self.seeds, 1, 1, 1))
        return network | {
            "f_train": ones * f[:, :, None],
            "ntk": (ones * kernels)[:, :, :, None, :, None],
        }


def fake_measurements(arrays, slopes=None, seeds=6):
    random = np.random.default_rng(0)
    slopes = slopes or {"ntk_change": -1.0, "weight_change/W2": -0.5, "stop_step": 0.0}
    rows = []
    for variant in arrays.variants:
        rows.append(("study", variant, 0, 0, 0, "ntk_min", 0.1))
        for width in arrays.widths(variant):
            for seed in range(seeds):
                for metric, slope in slopes.items():
                    final = 3 * width**slope * np.exp(0.15 * random.normal())
                    for step, value in (
                        (0, final * 1e-9),
                        (100, final / 2),
                        (200, final),
                    ):
                        rows.append(
                            ("study", variant, width, seed, step, metric, value)
                        )
    columns = ["study", "variant", "width", "seed", "step", "metric", "value"]
    return pd.DataFrame(rows, columns=columns)


class OnALine(FakeArrays):
    """f = n(r + r²) at distance r from w₀, to be 2, with α = 16."""

    def experiment(self, variant):
        return SimpleNamespace(model=SimpleNamespace(alpha=16.0))

    def dataset(self, variant, width):
        return {"y_train": np.array([[2.0]])}

    def network(self, variant, width):
        r = np.linspace(-1, 1, 41)
        f, tangent = ((width * v)[:, None, None] for v in (r + r**2, r))
        return super().network(variant, width) | {
            "landscape_at": r,
            "landscape_f": f,
            "landscape_linear": tangent,
            "weight_change": np.full((6, len(self.step), 1), 2 / width),
        }


COMMON = {"name": "fig", "title": "A figure", "caption": "What is seen."}
ADAPTER = pydantic.TypeAdapter(figures.Figure)


def make(**fields):
    return ADAPTER.validate_json(pydantic.TypeAdapter(dict).dump_json(COMMON | fields))


KINDS = {
    "trajectories": {
        "panels": [
            {"quantity": "loss"},
            {"quantity": "weight_change", "label": "‖w − w₀‖ / ‖w₀‖", "log": False},
        ]
    },
    "scaling": {
        "metrics": [
            {"metric": "ntk_change", "predicted": -1},
            {"metric": "weight_change/W2", "predicted": -0.5},
        ]
    },
    "dynamics": {"test": [3]},
    "modes": {},
    "function_band": {},
    "functions": {"axis": "angle", "steps": [0, 200]},
    "matrices": {"variants": ["ntk"]},
    "ellipses": {},
    "landscapes": {"rows": 2},
    "kernel_slice": {},
    "heatmap": {"widths": [16]},
    "spectrum": {"predicted": -2},
    "projections": {},
    "components": {},
}


def arrays_of(kind, **options):
    kinds = {"ellipses": TwoPoints, "landscapes": OnALine}
    return kinds.get(kind, FakeArrays)(**options)


def draw(**fields):
    arrays = arrays_of(fields["kind"])
    figure = make(**fields)
    table = figure.table(fake_measurements(arrays), arrays)
    return figure, table, figure.draw(table)


@pytest.fixture(scope="module")
def drawn():
    return {kind: draw(kind=kind, **fields) for kind, fields in KINDS.items()}


def texts(figure):
    """(text, box in pixels) of all texts that are seen."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    with style.style():
        figure.draw(renderer)
    artists = [*figure.texts, *(t for box in figure.legends for t in box.get_texts())]
    for ax in figure.axes:
        if not ax.get_visible():
            continue
        artists += [ax.xaxis.label, ax.yaxis.label, *ax.texts]
        artists += [ax.title, ax._left_title, ax._right_title]
        if ax.get_legend():
            artists += ax.get_legend().get_texts()
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
            artists += [t.label1 for t in ticks if low <= t.get_loc() <= high]
    return [
        (artist.get_text().strip(), artist.get_window_extent(renderer))
        for artist in artists
        if artist.get_visible() and artist.get_text().strip()
    ]


def overlaps(figure):
    boxes = texts(figure)
    return [
        (a, b)
        for k, (a, box) in enumerate(boxes)
        for b, other in boxes[k + 1 :]
        if meet(box, other)
    ]


def meet(box, other):
    """Whether two boxes share more than the two pixels that letters leave free."""
    width = min(box.x1, other.x1) - max(box.x0, other.x0)
    height = min(box.y1, other.y1) - max(box.y0, other.y0)
    return width > 2 and height > 2


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.mark.parametrize("kind", KINDS)
def test_products_read_are_those_declared(kind):
    arrays = arrays_of(kind)
    figure = make(kind=kind, **KINDS[kind])
    figure.table(fake_measurements(arrays), arrays)
    assert arrays.asked == set(figure.reads)


@pytest.mark.parametrize("kind", KINDS)
def test_no_text_lies_on_another_or_outside(drawn, kind):
    figure = drawn[kind][2]
    assert overlaps(figure) == []
    for text, box in texts(figure):
        assert box.x0 >= -1 and box.y0 >= -1, text
        assert box.x1 <= figure.bbox.x1 + 1 and box.y1 <= figure.bbox.y1 + 1, text


@pytest.mark.parametrize("kind", KINDS)
def test_panels_fill_the_page(drawn, kind):
    figure = drawn[kind][2]
    assert 5 <= figure.get_figwidth() <= 10
    if kind not in ("heatmap", "ellipses"):  # of fixed aspect
        assert sum(ax.get_position().width for ax in first_row(figure)) > 0.75


def first_row(figure):
    top = max(ax.get_position().y1 for ax in figure.axes)
    return [ax for ax in figure.axes if ax.get_position().y1 > top - 0.05]


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_depend_on_the_table_only(drawn, kind):
    figure, table, _ = drawn[kind]
    table = table[table["variant"] == "ntk"]
    back = pd.read_csv(io.StringIO(table.to_csv(index=False)))
    first, again = figure.draw(table), figure.draw(back)
    assert len(first.axes) == len(again.axes)
    endings = {"trajectories": ["svg"], "heatmap": ["svg"], "scaling": ["svg", "pdf"]}
    for ending in endings.get(kind, []):
        assert save.encode(first, ending) == save.encode(again, ending)


def test_save_writes_by_ending(drawn, tmp_path):
    figure = drawn["spectrum"][2]
    paths = [tmp_path / f"f.{ending}" for ending in ("png", "svg", "pdf")]
    save.save(figure, paths)
    starts = [path.read_bytes()[:5] for path in paths]
    assert starts == [b"\x89PNG\r", b"<?xml", b"%PDF-"]
    assert b"date" not in paths[1].read_bytes().lower()
    with pytest.raises(ValueError, match="png, svg or pdf, not bmp"):
        save.save(figure, [tmp_path / "f.bmp"])


def test_trajectories_median_band_and_stop(drawn):
    _, table, figure = drawn["trajectories"]
    arrays = FakeArrays()
    rows = table.query(
        "variant == 'ntk' and width == 64 and model == 'network' and quantity == 'loss'"
    )
    loss = arrays("network", "ntk", 64)["loss"]
    np.testing.assert_allclose(rows["median"].iloc[5], np.median(loss[:, 5]))
    np.testing.assert_allclose(rows["high"].iloc[5], np.quantile(loss[:, 5], 0.9))
    # four of six stop at the 20th recorded step, and there the curve ends
    assert rows["step"].max() == arrays.step[20]
    assert (rows["seeds"] == 6).all()
    change = table.query(
        "width == 64 and model == 'network' and quantity == 'weight_change'"
    )
    network = arrays("network", "ntk", 64)
    total = np.linalg.norm(network["weight_change"][0, 20])
    norm = np.linalg.norm(network["weight_norm"][0])
    np.testing.assert_allclose(change["median"].max(), total / norm)
    assert len(figure.axes) == 4
    loss_axes, change_axes = figure.axes[:2]
    assert loss_axes.get_yscale() == "log" and change_axes.get_yscale() == "linear"
    assert loss_axes.get_ylabel() == "training loss"
    assert loss_axes.get_xlabel() == "gradient steps"
    assert change_axes.get_ylabel() == "‖w − w₀‖ / ‖w₀‖"
    assert "its linearised model" in legend(figure) and "n = 16" in legend(figure)


def test_trajectories_over_time_of_a_measured_metric_and_a_layer():
    panels = [{"quantity": q} for q in ("ntk_change", "weight_change/W2", "test_loss")]
    figure, table, picture = draw(kind="trajectories", panels=panels, x="time")
    assert set(figure.reads) == {"network", "linearized", "dataset"}
    measured = table[table["quantity"] == "ntk_change"]
    assert set(measured["model"]) == {"network"}
    np.testing.assert_allclose(measured["x"], measured["step"] * ETA)
    assert set(table.query("quantity == 'test_loss'")["model"]) == {
        "network",
        "linearized",
    }
    assert picture.axes[0].get_xlabel() == "time t = η · step"
    assert picture.axes[1].get_ylabel() == "relative weight change of W2"


CIRCLE = {"kind": "circle", "points": 4, "target": {"kind": "product"}}
ROW = {"kind": "points", "x": [[0], [1]], "y": [[0], [1]]}
PAIR = {"kind": "points", "x": [[0, 1]], "y": [[0, 1]]}
RANDOM = {"kind": "gaussian", "points": 4, "target": {"kind": "noise"}}
NPZ = {"kind": "npz", "path": "data.npz"}
GRID = {"kind": "heatmap", "points": "test", "limit": False}
SLICE = {"kind": "kernel_slice", "limit": False}
MOVED = {"kind": "scaling", "metrics": [{"metric": "ntk_change"}]}


def study_with(figure, **experiment):
    raw = {"title": "t", "question": "q", "dataset": CIRCLE, "model": {"depth": 1}}
    raw |= {"training": {"learning_rate": 0.1, "steps": 10, "test_kernel": True}}
    raw |= {"widths": [8, 16], "seeds": {8: 9, 16: 2}, "limit": "steps"}
    return study.parse(
        json.dumps(raw | experiment | {"figures": [COMMON | figure]}), "s.yaml"
    )


@pytest.mark.parametrize(
    "figure, experiment, message",
    [
        ({"kind": "dynamics", "output": 1}, {}, "output 1: there is 1, from 0"),
        ({"kind": "functions", "output": 2}, {"dataset": PAIR}, "output 2: there are"),
        ({"kind": "function_band", "output": 1}, {}, "output 1"),
        (
            {"kind": "functions", "axis": "angle"},
            {"dataset": ROW},
            "angle, as the points",
        ),
        ({"kind": "function_band"}, {"dataset": ROW}, "angle"),
        ({"kind": "dynamics", "seed": 2}, {}, "seed 2: there are 2, from 0"),
        ({"kind": "modes", "seed": 2}, {}, "seed 2"),
        ({"kind": "heatmap", "seed": 9, "widths": [8]}, {}, "seed 9: there are 9"),
        ({"kind": "ellipses", "seed": 2}, {"dataset": ROW}, "seed 2"),
        ({"kind": "ellipses"}, {}, "kernel of two outputs: there are 4"),
        (SLICE | {"anchor": 65}, {}, "test point 65: there are 65, from 0"),
        (SLICE | {"anchor": 4, "points": "train"}, {}, "train point 4: there are 4"),
        (SLICE | {"points": "train"}, {"dataset": ROW}, "angle"),
        (GRID | {"axis": "x"}, {}, "test points .* equally spaced along x"),
        (GRID | {"axis": "angle"}, {"dataset": PAIR}, "test points"),
        (GRID, {"dataset": RANDOM}, "test points"),
        ({"kind": "heatmap", "order": "angle"}, {"dataset": ROW}, "angle"),
        ({"kind": "components", "components": [5, 1]}, {}, "component 5: there are 4"),
        ({"kind": "landscapes"}, {}, "landscape.*training.landscape"),
        ({"kind": "matrices"}, {}, "matrix.*training.keep_matrix"),
        (
            {"kind": "trajectories", "panels": [{"quantity": "weight_change/W3"}]},
            {},
            "layer W3",
        ),
        (
            {"kind": "trajectories", "panels": [{"quantity": "weight_change/b1"}]},
            {"model": {"depth": 1, "b_std": 0}},
            "layer b1",
        ),
        (MOVED | {"widths": [999]}, {}, "width 999"),
    ],
)
def test_what_an_experiment_cannot_have_is_refused_before_it_runs(
    figure, experiment, message
):
    with pytest.raises(study.StudyError, match=f"figures.fig.*: no {message}"):
        study_with(figure, **experiment)


@pytest.mark.parametrize("figure", [SLICE, GRID | {"axis": "angle"}])
def test_kernels_of_test_points_are_to_be_kept(figure):
    training = {"learning_rate": 0.1, "steps": 10}
    with pytest.raises(study.StudyError, match=r"training.test_kernel: true"):
        study_with(figure, training=training)


def test_a_traced_kernel_and_a_model_without_layers_lack_a_figure():
    training = {"learning_rate": 0.1, "steps": 10, "kernel": "trace"}
    with pytest.raises(study.StudyError, match=r"training.kernel: full"):
        study_with({"kind": "ellipses"}, dataset=PAIR, training=training)
    study_with({"kind": "ellipses"}, dataset=ROW, training=training)
    model = {"model": {"kind": "one_parameter"}, "dataset": ROW, "limit": "none"}
    for kind in ("spectrum", "heatmap"):
        figure = {"kind": kind, "limit": False}
        study_with(figure, **model)
        with pytest.raises(study.StudyError, match="kernel: ntk"):
            study_with(figure | {"kernel": "nngp"}, **model)


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
    "keys, message",
    [
        ({"metrics": []}, "metrics: none is given"),
        ({"along": "index"}, "along: index needs a number after the slash"),
        ({"along": {"base": 10}, "width_power": 500}, "width_power: .* equal to 10"),
        ({"along": {"base": 1e300}, "width_power": 2}, "along.base"),
        ({"labels": {"base": r"$\q$"}}, r"labels.base: .*: Unknown symbol: \\q"),
        ({"metrics": [{"metric": "x", "label": "$^$"}]}, "metrics.0.label: "),
        ({"along_label": "$\\frac{1}$"}, "along_label: "),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_its_key(keys, message):
    with pytest.raises(study.StudyError, match=f"s.yaml: figures.fig.{message}"):
        study_with(MOVED | keys)


def test_a_figure_that_its_data_do_not_fit_is_no_traceback(tmp_path, monkeypatch):
    arrays = FakeArrays()  # of one output
    rows = fake_measurements(arrays)
    monkeypatch.setattr(stage, "Arrays", lambda *_: arrays)
    job = SimpleNamespace(
        at=SimpleNamespace(figure="fig"),
        study=SimpleNamespace(figure=lambda _: make(kind="dynamics", output=1)),
        read=lambda _: rows,
        outputs=(str(tmp_path / "fig.png"),),
    )
    with pytest.raises(ValueError, match=r"^figure fig: IndexError: index 1 is out of"):
        stage.run(job)
    assert not any(tmp_path.iterdir())
    rows = rows.assign(metric="diverged", value=1.0)  # it may be the networks' fault
    stage.run(job)
    assert any(tmp_path.iterdir())


def test_metrics_along_their_index_are_numbered():
    arrays = FakeArrays(variants=("ntk",))
    figure = make(kind="scaling", metrics=[{"metric": "*_change"}], along="index")
    with pytest.raises(ValueError, match=r"fig: along: index .* slash of ntk_change"):
        figure.table(fake_measurements(arrays), arrays)


def test_a_metric_that_some_networks_lack_is_held_where_its_own_seeds_stopped():
    arrays = FakeArrays(variants=("ntk",), widths=(16,))
    rows = fake_measurements(arrays)
    rows = rows[(rows["metric"] != "ntk_change") | (rows["seed"] >= 3)]
    figure = make(kind="trajectories", panels=[{"quantity": "ntk_change"}])
    table = figure.table(rows, arrays)
    # of 3, 4 and 5 one stopped, of all networks four of six
    value = rows[rows["metric"] == "ntk_change"].set_index(["seed", "step"])["value"]
    assert list(table["step"]) == [0, 100, 200] and (table["seeds"] == 3).all()
    last = np.median([value[3, 100], value[4, 200], value[5, 200]])
    np.testing.assert_allclose(table["median"].iloc[-1], last)
    none_has_all = rows[rows["step"] == 100 * (rows["seed"] - 3)]
    assert figure.table(none_has_all, arrays).empty


def test_infinite_width_does_not_stop_with_the_first_network():
    arrays = FakeArrays(variants=("ntk",), widths=(16,))
    network = arrays.network

    def early(variant, width):
        stop = [arrays.step[5], *network(variant, width)["stop_step"][1:]]
        return network(variant, width) | {"stop_step": np.array(stop)}

    arrays.network = early
    fields = {"panels": [{"quantity": "loss"}], "models": ["network", "limit"]}
    table = make(kind="trajectories", **fields).table(None, arrays)
    loss = table.loc[table["model"] == "limit", "median"]
    assert len(loss) == 21 and (np.diff(loss) < 0).all()


def test_a_logarithmic_axis_of_time_begins_at_step_0():
    fields = {"panels": [{"quantity": "loss"}], "log_x": True}
    for kind, more in (("trajectories", fields), ("dynamics", {}), ("modes", {})):
        *_, picture = draw(**{"kind": kind, "log_x": True} | more)
        for ax in picture.axes:
            ax.get_figure().draw_without_rendering()
            line = ax.lines[0].get_transform().transform(ax.lines[0].get_xydata()[:2])
            assert ax.get_xlim()[0] == ax.lines[0].get_xdata()[0] == 0
            assert np.isfinite(line).all() and line[1, 0] > line[0, 0] + 10


@pytest.mark.parametrize("factor", [1e-3, 1.5, 1e200])
def test_logarithmic_limits_hold_what_is_drawn(factor):
    arrays = FakeArrays(variants=("ntk",))
    linearized = arrays.linearized
    grow = factor ** (arrays.step / STEPS)

    def other(variant, width):
        product = linearized(variant, width)
        return product | {"loss": 1e-2 * grow * np.ones_like(product["loss"])}

    arrays.linearized = other
    figure = make(kind="trajectories", panels=[{"quantity": "loss"}])
    table = figure.table(fake_measurements(arrays), arrays)
    low, high = figure.draw(table).axes[0].get_ylim()
    network = table[table["model"] == "network"]
    assert low < network["low"].min() and network["high"].max() < high
    drawn = [*network["low"], *network["high"], *table["median"]]
    decades = np.log10(network["high"].max() / network["low"].min())
    assert np.log10(high / low) < 2.3 * max(decades, 0.5)
    if factor < 1e9:
        assert low < min(drawn) and max(drawn) < high
        assert np.log10(high / low) < 1.3 * np.log10(max(drawn) / min(drawn))


def test_trajectories_say_how_many_networks_diverged():
    arrays = FakeArrays()
    arrays.diverged = {("ntk", 16): [1, 2], ("standard", 16): range(6)}
    figure = make(kind="trajectories", **KINDS["trajectories"])
    table = figure.table(fake_measurements(arrays), arrays)
    assert np.isfinite(table["median"]).all()
    assert table.query("variant == 'standard' and width == 16").empty
    assert "n = 16 (2 of 6 diverged)" in legend(figure.draw(table))


def test_scaling_fit_prediction_and_legend(drawn):
    _, table, figure = drawn["scaling"]
    part = table.query("variant == 'ntk' and metric == 'ntk_change'").groupby("part")
    assert len(part.get_group("seed")) == 12
    values = part.get_group("seed").groupby("x")["value"]
    means = part.get_group("statistic").set_index("x")["value"]
    np.testing.assert_allclose(means, np.exp(values.apply(lambda v: np.log(v).mean())))
    fit, predicted = part.get_group("fit"), part.get_group("predicted")
    slope = np.polyfit(np.log(means.index), np.log(means), 1)[0]
    np.testing.assert_allclose(fit["slope"], slope)
    assert (fit["slope_low"] < slope).all() and (slope < fit["slope_high"]).all()
    assert (fit["low"] <= fit["value"]).all() and (fit["value"] <= fit["high"]).all()
    x, y = predicted["x"].to_numpy(), predicted["value"].to_numpy()
    np.testing.assert_allclose(np.diff(np.log(y)) / np.diff(np.log(x)), -1)
    ax = figure.axes[0]
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert ax.get_xlabel() == "width n" and "‖Θ − Θ₀‖" in ax.get_ylabel()
    first = ax.get_legend().get_texts()[0].get_text()
    assert first.startswith(f"ntk:\nslope {slope:.2f} [".replace("-", "−"))
    assert first.endswith("], predicted −1")
    assert "predicted slope" in legend(figure)


def test_scaling_fits_from_min_width_and_takes_the_step_asked_for():
    fields = {"kind": "scaling", "min_width": 64, "step": 100} | KINDS["scaling"]
    arrays = FakeArrays(widths=(16, 64, 256))
    figure = make(**fields)
    table = figure.table(fake_measurements(arrays), arrays)
    figure = figure.draw(table)
    assert table.loc[table["part"] == "fit", "x"].min() == 64
    assert table.loc[table["part"] == "seed", "x"].min() == 16
    assert "not fitted (below 64)" in legend(figure)
    final = make(**fields | {"step": "final"}).table(fake_measurements(arrays), arrays)
    final, table = (t.loc[t["part"] == "seed", "value"] for t in (final, table))
    np.testing.assert_allclose(final / table, 2)


@pytest.mark.parametrize(
    ("claim", "is_shown"),
    [
        ({"variant": "ntk"}, True),
        ({"variant": "ntk", "min_width": 64}, False),
        ({"variant": "ntk", "statistic": "median"}, False),
        ({"variant": "ntk", "confidence": 0.9}, False),
        ({"variant": "standard", "min_width": 64}, False),
        ({"variant": "none"}, False),
    ],
)
def test_scaling_shows_the_interval_of_the_claim_about_the_same_numbers(
    claim, is_shown
):
    arrays = FakeArrays(widths=(16, 64, 256))
    rows = fake_measurements(arrays)
    figure = make(kind="scaling", metrics=[{"metric": "ntk_change"}])
    law = PowerLaw(
        **{"id": "T-1", "says": "s", "source": "s", "metric": "ntk_change"},
        **{"predicted": -1.0, "tolerance": 0.1} | claim,
    )
    arrays.claims = (law,)
    verdict = law.evaluate(rows)
    fit = figure.table(rows, arrays).query("part == 'fit'").set_index("variant")
    own = figure.table(rows).query("part == 'fit'").set_index("variant")
    ends = ["slope_low", "slope_high"]
    shown = [verdict.ci_low, verdict.ci_high]
    assert (fit.loc["ntk", ends].iloc[0].tolist() == shown) == is_shown
    assert (fit.loc["standard"] == own.loc["standard"])[ends].all(axis=None)
    # one estimator either way
    np.testing.assert_array_equal(fit["slope"], own["slope"])
    np.testing.assert_allclose(fit[ends], own[ends], rtol=0.05)


@pytest.mark.parametrize("facet", ["metric", "variant", "none"])
def test_scaling_facets(facet):
    *_, figure = draw(kind="scaling", facet=facet, **KINDS["scaling"])
    assert len(figure.axes) == (1 if facet == "none" else 2)
    entries = [len(ax.get_legend().get_texts()) for ax in figure.axes]
    assert sum(entries) == 4
    assert overlaps(figure) == []


def test_scaling_fits_each_variant_of_a_metric_from_where_it_is_told():
    metrics = [
        {"metric": "ntk_change", "min_width": {"ntk": 64}},
        {"metric": "weight_change/W2", "min_width": 64},
        {"metric": "stop_step"},
    ]
    arrays = FakeArrays(widths=(16, 64, 256))
    figure = make(kind="scaling", metrics=metrics)
    table = figure.table(fake_measurements(arrays), arrays)
    begins = table[table["part"] == "fit"].groupby(["metric", "variant"])["x"].min()
    assert begins["ntk_change"].to_dict() == {"ntk": 64, "standard": 16}
    assert set(begins["weight_change/W2"]) == {64} and set(begins["stop_step"]) == {16}
    picture = figure.draw(table)
    shaded = [
        any(p.get_facecolor() == GREYED for p in ax.patches) for ax in picture.axes
    ]
    assert shaded == [False, True, False]
    words = [text.get_text() for text in picture.axes[0].get_legend().get_texts()]
    assert "from 64 on" in words[0].replace("\n", " ") and "from" not in words[1]
    assert "not fitted (below 64)" in legend(picture)


GREYED = to_rgba("#f1f1f1")


def test_scaling_ticks_are_those_of_the_panel_with_the_first_ones():
    arrays = FakeArrays(widths=(4, 16))
    widths = arrays.widths
    arrays.widths = lambda v: widths(v) if v == "ntk" else tuple(range(10, 40))
    fields = {
        "facet": "variant",
        "min_width": 11,
        "metrics": [{"metric": "ntk_change"}],
    }
    figure = make(kind="scaling", **fields)
    picture = figure.draw(figure.table(fake_measurements(arrays), arrays))
    ticks = [list(ax.xaxis.get_majorticklocs()) for ax in picture.axes]
    assert ticks[0] == [4, 16]
    assert {10, 39} < set(ticks[1]) < set(range(10, 40))
    assert 5 <= len(ticks[1]) <= 9
    assert overlaps(picture) == []
    fields |= {"facet": "none", "variants": ["standard"], "min_width": 13}
    figure = make(kind="scaling", **fields)
    picture = figure.draw(figure.table(fake_measurements(arrays), arrays))
    assert {10, 13, 39} < set(picture.axes[0].xaxis.get_majorticklocs())


def test_scaling_of_what_a_claim_calls_exact_has_no_interval():
    arrays = FakeArrays(variants=("ntk",))
    rows = fake_measurements(arrays, seeds=1)
    law = {"id": "T-1", "says": "s", "source": "s", "metric": "ntk_change"}
    arrays.claims = (PowerLaw(**law, predicted=-1.0, tolerance=0.1, exact=True),)
    figure = make(kind="scaling", metrics=[{"metric": "ntk_change"}])
    table = figure.table(rows, arrays)
    fit = table[table["part"] == "fit"]
    assert (fit["slope"] == fit["slope_low"]).all() and fit["note"].isna().all()
    words = figure.draw(table).axes[0].get_legend().get_texts()[0].get_text()
    assert "slope −" in words and "[" not in words


def test_scaling_of_one_seed_has_no_mean_of_seeds():
    arrays = FakeArrays()
    figure = make(kind="scaling", **KINDS["scaling"])
    one = figure.draw(figure.table(fake_measurements(arrays, seeds=1), arrays))
    assert not {"geometric mean", "one seed"} & set(legend(one))
    several = figure.draw(figure.table(fake_measurements(arrays, seeds=2), arrays))
    assert {"geometric mean", "one seed"} < set(legend(several))


def test_scaling_of_equal_values_shows_each():
    arrays = FakeArrays()
    measurements = fake_measurements(arrays)
    first = measurements[measurements["variant"] == "ntk"]
    same = pd.concat([first, first.assign(variant="standard")])
    figure = make(kind="scaling", metrics=[{"metric": "ntk_change"}])
    lines = figure.draw(figure.table(same, arrays)).axes[0].lines
    points = [line for line in lines if line.get_marker() in list("osD^v")]
    assert len({line.get_marker() for line in points}) == 2
    assert points[1].get_markerfacecolor() == "none"
    assert points[1].get_markersize() > points[0].get_markersize()


@pytest.mark.parametrize(
    ("low", "high"), [(0.995, 1.05), (1.01, 2.4), (0.08, 0.95), (3, 28), (0.5, 49)]
)
def test_short_logarithmic_axes_have_enough_ticks(low, high):
    ax = Figure().add_subplot()
    ax.set(yscale="log", ylim=(low, high))
    axes.log_ticks(ax)
    seen = [tick for tick in ax.yaxis.get_majorticklocs() if low <= tick <= high]
    assert 3 <= len(seen) <= 12


def fits(one, figure, metric):
    """(variant or variants, settings) of each power law of a metric that is drawn."""
    if isinstance(figure.along, dict):
        begin = metric.begin("") or figure.min_width or 0
        along = {v: a for v, a in figure.along.items() if a >= begin}
        yield None, (figure.step, figure.statistic, along)
        return
    for variant in figure.variants or one.variants:
        begin = metric.begin(variant) or figure.min_width or 1
        x = begin
        if figure.along == "width":
            widths = figure.widths or one.variants[variant].widths
            x = [n for n in widths if n >= begin]
        yield variant, (figure.step, figure.statistic, x)


def judged(one, figure, metric, variant):
    """Settings of the claims of the same power law, controls only if no other is."""
    found = {True: [], False: []}
    for claim in one.claims:
        if claim.kind != "power_law" or claim.metric != metric.metric:
            continue
        x = claim.along
        if isinstance(figure.along, dict):
            if not isinstance(x, dict) or not x.items() <= figure.along.items():
                continue
        elif x != figure.along or claim.variant not in (None, variant):
            continue
        elif x == "index":
            x = claim.min_index
        else:
            widths = one.variants[variant].widths
            last = claim.max_width or np.inf
            x = [n for n in widths if claim.min_width <= n <= last]
        found[claim.nature == "control"].append((claim.step, claim.statistic, x))
    return found[False] or found[True]


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_power_laws_are_drawn_as_they_are_judged(path):
    one = study.load(path)
    for figure in one.figures:
        if figure.kind != "scaling" or figure.width_power:
            continue
        for metric in figure.metrics:
            for variant, settings in fits(one, figure, metric):
                claims = judged(one, figure, metric, variant)
                assert not claims or settings in claims, (figure.name, metric, variant)


def test_scaling_with_many_panels_leaves_none_squeezed():
    slopes = {f"weight_change/W{k}": -0.5 for k in range(1, 6)}
    arrays = FakeArrays()
    measurements = fake_measurements(arrays, slopes)
    metrics = [{"metric": metric, "predicted": -0.5} for metric in slopes]
    figure = make(kind="scaling", metrics=metrics)
    picture = figure.draw(figure.table(measurements, arrays))
    assert overlaps(picture) == []
    assert min(ax.get_position().width for ax in picture.axes[:5]) > 0.2


def test_scaling_along_a_number_of_the_variants():
    figure, table, picture = draw(
        kind="scaling",
        metrics=[{"metric": "ntk_change"}],
        along={"ntk": 1, "standard": 10},
        along_label="output scale α",
        widths=[16, 64],
    )
    assert figure.variants_read() == ("ntk", "standard")
    assert set(table["variant"]) == {"n = 16", "n = 64"}
    assert set(table.loc[table["part"] == "statistic", "x"]) == {1, 10}
    assert picture.axes[0].get_xlabel() == "output scale α"
    _, table, _ = draw(
        kind="scaling",
        metrics=[{"metric": "ntk_change"}],
        along={"ntk": 2, "standard": 4},
        width_power=-1,
    )
    points = table[table["part"] == "statistic"].groupby("variant")["x"]
    assert points.apply(sorted).to_dict() == {
        "ntk": [2 / 64, 2 / 16],
        "standard": [4 / 64, 4 / 16],
    }


def test_scaling_of_a_spread_has_no_seeds():
    fields = KINDS["scaling"] | {"statistic": "std"}
    _, table, figure = draw(kind="scaling", **fields)
    assert "seed" not in set(table["part"])
    assert "standard deviation over seeds" in legend(figure)


def test_scaling_says_why_there_is_no_slope():
    fields = KINDS["scaling"] | {"widths": [16], "variants": ["ntk"]}
    *_, figure = draw(kind="scaling", **fields)
    entry = figure.axes[0].get_legend().get_texts()[0].get_text()
    assert "no slope: one width" in entry
    with pytest.raises(ValueError, match=r"figure fig: .*ntk_chnge"):
        draw(kind="scaling", metrics=[{"metric": "ntk_chnge"}])


def test_dynamics_of_one_network(drawn):
    _, table, figure = drawn["dynamics"]
    assert set(table["point"]) == {*(f"train {k}" for k in (1, 2, 3, 4)), "test 4"}
    assert set(table["model"]) == {"network", "linearized", "limit"}
    np.testing.assert_allclose(table["time"], ETA * table["step"])
    starts = table[table["step"] == 0].groupby(["variant", "width", "point"])["median"]
    assert (starts.max() - starts.min()).max() < 1e-12  # all from the same f(x, 0)
    ends = table[(table["step"] == STEPS) & table["target"].notna()]
    np.testing.assert_allclose(ends["median"], ends["target"], atol=1e-3)
    assert table.loc[table["point"] == "test 4", "target"].isna().all()
    assert figure.axes[0].get_ylabel() == "output f(x, t)"
    assert "training point 1" in legend(figure) and "infinite width" in legend(figure)


def test_dynamics_of_all_networks_has_the_gaussian_of_the_limit():
    _, table, figure = draw(kind="dynamics", seed=None, log_x=True)
    first = table.query("model == 'limit' and step == 0 and variant == 'ntk'").iloc[0]
    np.testing.assert_allclose(first["high"] - first["median"], 0.5 * base.P90)
    assert "10 – 90 % of seeds" in legend(figure)
    assert figure.axes[0].get_xscale() == "symlog"


def test_modes_of_a_linear_network_decay_as_predicted():
    arrays = FakeArrays(widths=(10**8,))
    figure = make(kind="modes")
    table = figure.table(None, arrays)
    assert table["mode"].max() == POINTS
    eigenvalues = table.groupby("mode")["eigenvalue"].first().to_numpy()
    assert (np.diff(eigenvalues) < 0).all()
    slow = table[(table["mode"] == POINTS) & (table["component"] > 1e-3)]
    np.testing.assert_allclose(slow["component"], slow["predicted"], rtol=1e-3)
    picture = figure.draw(table)
    assert picture.axes[0].get_yscale() == "log"
    assert legend(picture)[-1].startswith("predicted")


def test_modes_have_labels_wherever_their_axis_is_another():
    *_, picture = draw(kind="modes")  # a row has a time of its own, not a column
    first, second, *lower = picture.axes
    assert first.get_xlabel() == second.get_xlabel() == lower[0].get_xlabel() != ""
    assert first.get_ylabel() != "" == second.get_ylabel()
    # λ_i are eigenvalues of H = Θ/N, as in the manual
    assert legend(picture)[-1] == r"predicted $|1-\eta\lambda_i|^{t/\eta}$"
    *_, picture = draw(kind="function_band")
    assert [ax.get_xlabel() for ax in picture.axes[:2]] == ["", ""]


def test_components_of_several_outputs():
    random = np.random.default_rng(0)
    residual = random.normal(size=(3, 4, 2))
    half = random.normal(size=(4, 4))
    traced = (half @ half.T)[:, None, :, None]
    full = np.einsum("abcd,kl->akcl", traced, np.eye(2))
    values, size = modes._components(traced, residual)
    both, sizes = modes._components(full, residual)
    np.testing.assert_allclose(both[::2], values)
    np.testing.assert_allclose(np.hypot(sizes[:, ::2], sizes[:, 1::2]), size)


def test_function_band(drawn):
    _, table, figure = drawn["function_band"]
    limit = table.query("variant == 'ntk' and width == 0").set_index("part")
    p50, p90 = (limit.loc[f"limit {p}", "value"].to_numpy() for p in ("P50", "P90"))
    spread = p90 - p50
    np.testing.assert_allclose(spread, 0.3 * base.P90)
    assert len(limit.loc["data"]) == POINTS
    assert (np.diff(limit.loc["limit P50", "x"]) >= 0).all()
    assert set(table.loc[table["width"] == 16, "part"]) == {"network"}
    assert "P10, P50, P90 at infinite width" in legend(figure)
    labels = [tick.get_text() for tick in figure.axes[-1].get_xticklabels()]
    assert "π/2" in labels and figure.axes[-1].get_xlabel() == "angle γ"


def test_function_band_of_many_networks_has_their_percentiles():
    arrays = FakeArrays(seeds=20, variants=("ntk",))
    figure = make(kind="function_band", seeds=3)
    table = figure.table(None, arrays)
    assert table.loc[table["part"] == "network", "seed"].max() == 2
    median = table[(table["part"] == "networks P50") & (table["width"] == 16)]
    expected = np.median(arrays("network", "ntk", 16)["f_test"][:, -1, :, 0], axis=0)
    np.testing.assert_allclose(median["value"], expected)
    assert "P10, P50, P90 of networks" in legend(figure.draw(table))


def test_kernel_slice(drawn):
    _, table, figure = drawn["kernel_slice"]
    assert set(table["when"]) == {"before", "after", "limit"}
    limit = table.query("width == 0 and variant == 'ntk'")
    arrays = FakeArrays()
    np.testing.assert_allclose(
        limit["value"], arrays.kernel(arrays.x_test, arrays.x_test)[:, 0]
    )
    assert limit["x0"].iloc[0] == pytest.approx(-np.pi)
    assert figure.axes[0].get_ylabel() == "kernel Θ(x₀, x)"
    *_, after = draw(kind="kernel_slice", points="train", limit=False)
    assert legend(after)[:2] == ["one network, before training", "after training"]


def test_heatmap(drawn):
    _, table, figure = drawn["heatmap"]
    wide = table.query("variant == 'ntk' and width == 16").pivot_table(
        index=["row", "column"], columns="part", values="value"
    )
    np.testing.assert_allclose(wide["after"] - wide["before"], wide["change"])
    assert len(wide) == POINTS**2
    titles = [ax.get_title(loc="left") for ax in figure.axes[:4]]
    assert titles[:3] == ["Θ before training", "Θ after training", "change"]
    assert titles[3] == "Θ, infinite width"
    images = [ax.images[0] for ax in figure.axes[:4]]
    assert images[0].norm.vmax == images[1].norm.vmax == images[3].norm.vmax
    assert images[2].norm.vmin == -images[2].norm.vmax


def test_heatmap_of_untrained_networks_has_no_empty_panels():
    arrays = FakeArrays(variants=("ntk",), widths=(16,))
    network = arrays.network("ntk", 16)
    arrays.network = lambda *_: network | {"ntk": network["ntk"][:, :1]}
    table = make(kind="heatmap").table(None, arrays)
    assert list(dict.fromkeys(table["part"])) == ["before", "limit"]


def test_heatmap_by_angle():
    arrays = FakeArrays(variants=("ntk",), widths=(16,))
    arrays.x = arrays.x[::-1]
    table = make(kind="heatmap", order="angle").table(None, arrays)
    limit = table[table["part"] == "limit"].pivot_table(
        index="row", columns="column", values="value"
    )
    np.testing.assert_allclose(limit, arrays.kernels()[0][::-1, ::-1])


def test_heatmap_of_test_points():
    arrays = FakeArrays(variants=("ntk",), widths=(16,))
    figure = make(kind="heatmap", points="test", axis="angle")
    table = figure.table(None, arrays)
    before = table[table["part"] == "before"]
    at = before.pivot_table(index="row", columns="column", values="value")
    kernel = arrays("network", "ntk", 16)["ntk_test"][0, 0, :, 0, :, 0]
    np.testing.assert_allclose(at, kernel)
    np.testing.assert_allclose(at.index, np.linspace(-np.pi, np.pi, TESTS))
    ax = figure.draw(table).axes[0]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("γ′", "n = 16\nγ")
    half = np.pi / (TESTS - 1)
    np.testing.assert_allclose(
        ax.images[0].get_extent()[:2], [-np.pi - half, np.pi + half]
    )
    with pytest.raises(ValueError, match="not equally spaced along x"):
        make(kind="heatmap", points="test").table(None, arrays)
    with pytest.raises(pydantic.ValidationError, match="training points only"):
        make(kind="heatmap", points="test", kernel="nngp")


def test_spectrum(drawn):
    _, table, figure = drawn["spectrum"]
    limit = table.query("width == 0 and variant == 'ntk'")
    expected = np.linalg.eigvalsh(FakeArrays().kernels()[0])[::-1] / POINTS
    np.testing.assert_allclose(limit["median"], expected)
    assert figure.axes[0].get_ylabel() == "eigenvalue of Θ/N"
    assert "predicted slope −2" in legend(figure)


def test_spectrum_predicts_a_slope_of_each_variant():
    slopes = {"ntk": -1, "standard": -2}
    *_, picture = draw(kind="spectrum", predicted=slopes, labels={"ntk": "NTK"})
    for ax, slope in zip(picture.axes, slopes.values(), strict=True):
        (first, last), (high, low) = ax.lines[-1].get_data()
        np.testing.assert_allclose(np.log(low / high) / np.log(last / first), slope)
    assert "predicted slope −1, −2" in legend(picture)
    *_, picture = draw(kind="spectrum", predicted={"ntk": -1})
    assert "predicted slope −1" in legend(picture)


def test_spectrum_of_the_limit_alone(drawn):
    _, table, picture = draw(kind="spectrum", when=[])
    assert set(table["width"]) == {0} and legend(picture) == ["infinite width"]
    left, right = picture.axes
    assert left.lines[0].get_marker() == "o"
    assert left.get_ylim() == right.get_ylim() and left.get_xlim() == right.get_xlim()


def test_spectrum_shows_which_eigenvalues_are_rounding():
    values = spectrum._eigenvalues(np.ones((1, 4, 4)))  # of rank one
    assert list(values["median"] > values["rounding"]) == [True, False, False, False]
    assert values["median"].is_monotonic_decreasing and (values["low"] >= 0).all()


MOVING = ("functions", "matrices", "ellipses", "landscapes")


@pytest.mark.parametrize(
    "kind", ["trajectories", "dynamics", "modes", "function_band", "heatmap", *MOVING]
)
def test_a_figure_of_diverged_networks_says_so(kind):
    arrays = arrays_of(kind, variants=("ntk",), widths=(16,))
    arrays.diverged = {("ntk", 16): range(6)}
    figure = make(kind=kind, **KINDS[kind])
    table = figure.table(fake_measurements(arrays), arrays)
    frames = figure.frames(table) if kind in MOVING else []
    for picture in (figure.draw(table), *frames):
        assert "diverged" in picture.texts[0].get_text()


@pytest.mark.parametrize("kind", MOVING)
def test_animations_are_the_same_bytes_and_move(kind, tmp_path):
    arrays = arrays_of(kind, variants=("ntk",))
    figure = make(**KINDS[kind] | {"kind": kind, "animated": True})
    table = figure.table(fake_measurements(arrays), arrays)
    back = pd.read_csv(io.StringIO(table.to_csv(index=False)))
    paths = [tmp_path / name for name in ("a.gif", "b.gif", "still.png")]
    save.save(figure.draw(table), paths[::2], figure.frames(table))
    save.save(figure.draw(back), paths[1:2], figure.frames(back))
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert paths[2].read_bytes()[:4] == b"\x89PNG"
    with Image.open(paths[0]) as gif:
        steps = arrays("network", "ntk", 16)[
            "snapshot" if kind == "ellipses" else "step"
        ]
        runs = len(table.groupby(["variant", "width"]))
        assert gif.n_frames == (runs if kind == "landscapes" else len(steps))
        assert gif.info["loop"] == 0
        first = np.asarray(gif.convert("RGB"), int)
        gif.seek(gif.n_frames - 1)
        assert np.abs(np.asarray(gif.convert("RGB"), int) - first).max() > 50
        # what is small has its own colour all the same
        target = kind != "matrices"
        near = np.abs(first - [0xD5, 0x5E, 0x00]).sum(-1) < 30
        assert near.any() or not target


def test_a_still_figure_is_no_gif(drawn, tmp_path):
    with pytest.raises(ValueError, match="png, svg or pdf, not gif"):
        save.save(drawn["modes"][2], [tmp_path / "f.gif"])


def test_functions(drawn):
    _, table, picture = drawn["functions"]
    arrays = FakeArrays()
    end = table.query("variant == 'ntk' and width == 64 and step == 200")
    expected = arrays("network", "ntk", 64)["f_test"][2, -1, :, 0]
    np.testing.assert_allclose(end["f3"], expected, atol=5.1e-5)
    assert set(table["step"].dropna()) == {0, 200}
    assert len(picture.axes) == 8  # four runs at two steps
    assert len(picture.axes[0].collections[0].get_segments()) == 6
    points = table.query("variant == 'ntk' and part == 'data'")
    np.testing.assert_allclose(points["y"], arrays.y[:, 0])
    moving = make(kind="functions", axis="angle", animated=True)
    steps = set(moving.table(None, arrays)["step"].dropna())
    assert steps == set(arrays.step)
    assert len(next(moving.frames(moving.table(None, arrays))).axes) == 4


def test_random_functions_know_no_targets():
    *_, picture = draw(kind="functions", axis="angle")
    assert all(len(line.get_xdata()) == 0 for ax in picture.axes for line in ax.lines)


def test_matrices():
    arrays = FakeArrays(variants=("ntk",))
    figure = make(kind="matrices", animated=True)
    table = figure.table(None, arrays)
    matrix = arrays("network", "ntk", 16)["matrix"]
    rows = table.query("width == 16 and step == 200")
    rms = np.sqrt((matrix[0] ** 2).mean())
    entries = rows[[f"w{k}" for k in range(1, 8)]]
    np.testing.assert_allclose(entries, matrix[-1] / rms, atol=5.1e-5)
    moved = np.linalg.norm(matrix[-1] - matrix[0]) / np.linalg.norm(matrix[0])
    np.testing.assert_allclose(rows["change"], moved)
    *_, last = figure.frames(table)
    shown = [ax.images[0].get_array() for ax in last.axes if ax.images]
    np.testing.assert_allclose(shown[0] - shown[2], matrix[0] / rms, atol=2e-4)


def test_what_does_not_change_is_white():
    change = FakeArrays(variants=("ntk",))
    table = make(kind="matrices").table(None, change)
    image = make(kind="matrices").draw(table).axes[2].images[0]
    assert image.to_rgba(np.zeros((1, 1))).ravel().tolist() == [1, 1, 1, 1]


def test_ellipses_tell_the_step_of_each_network():
    arrays = TwoPoints(variants=("ntk", "standard"), widths=(16,))
    figure = make(kind="ellipses", animated=True)
    table = figure.table(None, arrays)
    longer = table["step"].where(table["variant"] == "ntk", table["step"] * 10)
    *_, last = figure.frames(table.assign(step=longer))
    ends = [ax.texts[0].get_text().splitlines()[0] for ax in last.axes]
    assert ends == [f"step {STEPS:,}", f"step {10 * STEPS:,}"]
    assert last._suptitle is None


def test_ellipses_have_axes_of_one_over_root_lambda(drawn):
    _, table, picture = drawn["ellipses"]
    first = table.iloc[0]
    assert first["lambda1"] == pytest.approx(3) and first["lambda2"] == pytest.approx(1)
    # the larger eigenvalue's vector is (4, 3)/5
    assert first["angle"] == pytest.approx(np.degrees(np.arctan2(3, 4)))
    ellipse = picture.axes[0].patches[0]
    assert ellipse.angle == pytest.approx(first["angle"])
    assert ellipse.height / ellipse.width == pytest.approx(np.sqrt(3))
    last = table[table["step"] == STEPS].iloc[0]
    assert last["change"] == pytest.approx(3)  # four times the kernel
    end = picture.axes[0].patches[-1]
    assert ellipse.height / end.height == pytest.approx(2)
    # these networks are those of a constant kernel
    np.testing.assert_allclose(table["constant1"], table["f1"], atol=1e-12)
    np.testing.assert_allclose(table["constant2"], table["f2"], atol=1e-12)
    assert "‖ΔΘ‖/‖Θ₀‖ = 3" in [text.get_text() for text in picture.axes[0].texts]


def test_ellipses_need_two_outputs():
    with pytest.raises(ValueError, match=r"needs two outputs in all.*there are 5"):
        make(kind="ellipses").table(None, FakeArrays())


def test_variants_are_called_by_their_labels():
    labels = {"ntk": "NTK parametrisation"}
    *_, figure = draw(kind="modes", labels=labels)
    assert "NTK parametrisation" in figure.axes[0].get_title(loc="left")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "modes", "variants": ["mup"]}, "no variant mup .* ntk, standard"),
        ({"kind": "modes", "widths": [17]}, "no width 17; it has 16, 64"),
        ({"kind": "modes", "seed": 9}, "no seed 9: there are 6"),
        ({"kind": "kernel_slice", "anchor": 999}, "there is no test point 999"),
        (
            {"kind": "trajectories", "panels": [{"quantity": "weight_change/W7"}]},
            "no layer W7; there are W1, b1, W2, b2",
        ),
        (
            {"kind": "trajectories", "panels": [{"quantity": "kernel"}]},
            "kernel.*ntk_change",
        ),
    ],
)
def test_errors_tell_what_to_change(fields, message):
    with pytest.raises(ValueError, match=message):
        draw(**fields)


def test_slugs_only():
    with pytest.raises(pydantic.ValidationError):
        make(kind="modes", name="../x")


def test_colours_go_from_light_to_dark():
    colors = list(style.width_colors([10, 100, 1000, 10000]).values())
    light = [sum(int(color[k : k + 2], 16) for k in (1, 3, 5)) for color in colors]
    assert light == sorted(light, reverse=True)


def test_module_is_light():
    code = (
        "import sys, ntkpipe.figures; "
        "print([m for m in ('matplotlib', 'seaborn', 'jax') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_landscapes(drawn):
    _, table, picture = drawn["landscapes"]
    run = table.query("variant == 'ntk' and width == 16").set_index("distance")
    # (f − y)²/(2α²) of f = 16·(0.5 + 0.25) and of its tangent 16·0.5
    np.testing.assert_allclose(run.loc[0.5, "loss"], (12 - 2) ** 2 / 2 / 256)
    np.testing.assert_allclose(run.loc[0.5, "loss_tangent"], (8 - 2) ** 2 / 2 / 256)
    assert len(picture.axes) == 6
    least = [line for line in picture.axes[1].lines if line.get_marker() == "o"]
    assert [float(line.get_xdata()[0]) for line in least] == pytest.approx([0.1, 0.1])
    # all curves reach the ends of their axes
    assert picture.axes[0].get_xlim() == (-1, 1)
    # the least loss of what was computed is none where it goes on falling
    far = table.assign(loss=np.exp(-table["distance"]))
    ax = make(kind="landscapes").draw(far).axes[1]
    assert [line.get_color() for line in ax.lines if line.get_marker() == "o"] == [
        style.GREY
    ]


def test_trajectories_coloured_by_variant_have_the_limit_and_the_residual():
    panels = [{"quantity": q} for q in ("loss", "test_loss", "residual_across")]
    figure, table, picture = draw(
        kind="trajectories", panels=panels, models=["network", "limit"], color="variant"
    )
    assert set(figure.reads) == {"network", "limit", "dataset"}
    arrays = FakeArrays()
    limit, data = arrays("limit", "ntk"), arrays("dataset", "ntk")
    rows = table.query("variant == 'ntk' and model == 'limit' and width == 64")
    loss = rows.loc[rows["quantity"] == "loss", "median"].to_numpy()
    # over initialisations: squared mean and variance
    square = (limit["mean_train"] - data["y_train"])[..., 0] ** 2
    expected = (square + limit["sd_train"] ** 2).mean(1) / 2
    np.testing.assert_allclose(loss, expected[: len(loss)])
    across = rows.loc[rows["quantity"] == "residual_across", "median"].to_numpy()
    y = data["y_train"][:, 0] / np.linalg.norm(data["y_train"])
    residual = (limit["mean_train"] - data["y_train"])[..., 0]
    across_of = np.linalg.norm(residual - np.outer(residual @ y, y), axis=1)
    np.testing.assert_allclose(across, across_of[: len(across)] / np.sqrt(POINTS))
    assert len(picture.axes) == 6  # a row for each width
    assert {"ntk", "standard", "infinite width"} <= set(legend(picture))
    assert overlaps(picture) == []


def test_scaling_along_an_index_is_the_slope_over_it():
    arrays = FakeArrays(variants=("ntk",), widths=(16,))
    rows = [
        ("study", "ntk", 16, seed, 9, f"fit_time/{k}", (5 + 0.1 * seed) * k**1.5)
        for seed in range(4)
        for k in (1, 2, 4, 8)
    ]
    columns = ["study", "variant", "width", "seed", "step", "metric", "value"]
    figure = make(
        kind="scaling",
        metrics=[{"metric": "fit_time/*", "label": "time", "predicted": 2}],
        along="index",
        along_label="frequency k",
        min_width=2,
    )
    table = figure.table(pd.DataFrame(rows, columns=columns), arrays)
    fit = table[table["part"] == "fit"]
    assert fit["slope"].iloc[0] == pytest.approx(1.5)
    assert fit["x"].min() == 2
    assert sorted(table.loc[table["part"] == "statistic", "x"]) == [1, 2, 4, 8]
    picture = figure.draw(table)
    assert picture.axes[0].get_xlabel() == "frequency k"


class EqualAngles(FakeArrays):
    """Eight equal angles, a circulant kernel and the descent of it."""

    VALUES = 1 / (1 + np.arange(5.0)) ** 2

    def dataset(self, variant, width):
        angle = 2 * np.pi * np.arange(8) / 8
        return {"y_train": (np.cos(angle) + 2 * np.sin(3 * angle))[:, None]}

    def network(self, variant, width):
        row = np.fft.irfft(self.VALUES * 8, 8)
        theta = row[np.abs(np.subtract.outer(np.arange(8), np.arange(8)))]
        left = (1 - ETA * self.VALUES) ** self.step[:, None]
        y = self.dataset(variant, width)["y_train"]
        residual = np.fft.irfft(left * np.fft.rfft(y[:, 0]), 8, axis=-1)
        ones = np.ones((self.seeds, 1, 1, 1))
        return super().network(variant, width) | {
            "f_train": ones * (y - residual[..., None]),
            "ntk": (ones * theta)[:, :, :, None, :, None],
        }


def test_modes_of_frequencies_are_fourier_components():
    arrays = EqualAngles()
    figure = make(kind="modes", of="frequencies", modes=[1, 3, 9])
    table = figure.table(fake_measurements(arrays), arrays)
    assert sorted(set(table["mode"])) == [1, 3]  # 9 of eight points is left out
    for k, size in ((1, 1), (3, 2)):
        rows = table[(table["mode"] == k) & (table["width"] == 16)]
        np.testing.assert_allclose(rows["eigenvalue"], arrays.VALUES[k])
        assert rows["component"].iloc[0] == pytest.approx(size)
        np.testing.assert_allclose(
            rows["component"], rows["predicted"], rtol=1e-6, atol=1e-13
        )
    assert "k = 3" in legend(figure.draw(table))


def test_projections_add_up_and_are_those_of_the_eigenvectors(drawn):
    _, table, _ = drawn["projections"]
    arrays = FakeArrays()
    rows = table[table["variant"] == "ntk"]
    theta = arrays("limit", "ntk")["ntk_train_train"]
    values, vectors = np.linalg.eigh(theta / POINTS)
    np.testing.assert_allclose(rows["eigenvalue"], values[::-1])
    y = arrays.y[:, 0] / np.linalg.norm(arrays.y)
    assert rows["share"].iloc[0] == pytest.approx((vectors[:, -1] @ y) ** 2)
    assert rows["share"].iloc[-1] == pytest.approx(1)


def test_projections_draw_a_kernel_once_if_all_have_the_same(drawn):
    figure, table, picture = drawn["projections"]
    assert [line.get_color() for line in picture.axes[0].lines] == [style.INK]
    grow = np.where(table["variant"] == "ntk", 1, 2)
    other = figure.draw(table.assign(eigenvalue=table["eigenvalue"] * grow))
    assert len(other.axes[0].lines) == 2


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_what_is_read_has_no_raw_powers(path):
    one = study.load(path)
    read = [one.title, one.question, *one.notes]
    for figure in one.figures:
        read += [figure.title, figure.caption, *figure.labels.values()]
    assert [text for text in read if "^" in text or "`" in text] == []


def test_titles_are_told_apart():
    titles = [f.title for path in STUDIES for f in study.load(path).figures]
    assert len(set(titles)) == len(titles)
    assert not [title for title in titles if title.startswith("The same")]


def test_components_are_eigenvectors_of_root_mean_square_one(drawn):
    _, table, picture = drawn["components"]
    arrays = FakeArrays()
    rows = table[table["variant"] == "ntk"]
    theta = arrays("limit", "ntk")["ntk_train_train"] / POINTS
    for axis in "xy":
        v = rows[axis].to_numpy()
        assert np.mean(v**2) == pytest.approx(1)
        np.testing.assert_allclose(theta @ v, rows[f"eigenvalue_{axis}"] * v)
    assert (rows["eigenvalue_x"] > rows["eigenvalue_y"]).all()
    assert (rows["class"] == (arrays.y[:, 0] > 0)).all()
    assert "component 2" in picture.axes[0].get_xlabel()
    with pytest.raises(ValueError, match="component 6 of 5 points"):
        figure = make(kind="components", components=[2, 6])
        figure.table(fake_measurements(arrays), arrays)
