"""Products with known numbers, and their figures, for the tests of figures."""

import functools
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pydantic
from matplotlib.backends.backend_agg import FigureCanvasAgg

from ntkpipe import figures
from ntkpipe.figures import style

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
    """The first two points, for which H has the eigenvectors (4, 3) and (3, −4)."""

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
    """f = n(r + r²) at distance r from w₀, with the target 2 and α = 16."""

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


def draw(kind, arrays=None, measured=None, **fields):
    """A figure, its table and its picture, from fake products and measurements."""
    arrays = arrays or arrays_of(kind)
    measured = fake_measurements(arrays) if measured is None else measured
    figure = make(kind=kind, **fields)
    table = figure.table(measured, arrays)
    return figure, table, figure.draw(table)


@functools.cache
def drawn(kind):
    """Figure, table and picture of a kind in `KINDS`; tests must not change them."""
    return draw(kind, **KINDS[kind])


def texts(figure):
    """(text, box in pixels) of all visible texts."""
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
    """Whether two boxes overlap by more than the two pixels of space around letters."""
    width = min(box.x1, other.x1) - max(box.x0, other.x0)
    height = min(box.y1, other.y1) - max(box.y0, other.y0)
    return width > 2 and height > 2


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


class EqualAngles(FakeArrays):
    """Eight points at equal angles, with a circulant kernel and its descent."""

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
