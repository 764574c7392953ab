"""What the tests of the moving pictures share: node, tables with known numbers, a page.

Tests that need node or Chromium are skipped where it is not installed. With
NTKPIPE_REQUIRE_BROWSER in the environment they fail instead.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from browser import CHROMIUM

from ntkpipe import claims, study
from ntkpipe.report import explorable, page, theorem

ROOT = Path(__file__).parents[1]
NETWORK = ROOT / "ntkpipe/report/network.js"
REQUIRED = bool(os.environ.get("NTKPIPE_REQUIRE_BROWSER"))
NODE = shutil.which("node")
needs_node = pytest.mark.skipif(not NODE and not REQUIRED, reason="no node")
needs_browser = pytest.mark.skipif(not CHROMIUM and not REQUIRED, reason="no Chromium")

X, Y = np.array([[-3.0], [0.5]]), np.array([[2.0], [-1.0]])
GRID = np.linspace(-4.75, 2.25, 29)
SCALINGS = {"standard": 2e-3, "ntk": 0.5}


def node(code, data):
    """What a script says: the last expression of `code`, with `N` and `data`."""
    script = (
        f"const N = require({json.dumps(str(NETWORK))});"
        "const data = JSON.parse(require('fs').readFileSync(0, 'utf8'));"
        f"process.stdout.write(JSON.stringify((() => {{ {code} }})()));"
    )
    done = subprocess.run(
        [NODE or "node", "-e", script],
        input=json.dumps(data),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def problem(parameterization, steps, record, grid=GRID):
    return {
        "x": X[:, 0].tolist(),
        "y": Y[:, 0].tolist(),
        "grid": list(grid),
        "parameterization": parameterization,
        "learningRate": SCALINGS[parameterization],
        "steps": steps,
        "stop": 5e-11,
        "record": list(record),
    }


def studies():
    """The studies whose results the pictures show."""
    return [
        study.load(ROOT / f"config/studies/{name}.yaml") for name in theorem.FIGURES
    ]


def fit(variant, widths, slope):
    """Rows of a fitted power law, as the figure `scaling` has them."""
    about = {"variant": variant, "part": "fit", "slope": slope}
    about |= {"slope_low": slope - 0.02, "slope_high": slope + 0.02}
    return pd.DataFrame(
        [
            about | {"x": float(n), "value": 5 * n**slope}
            for n in (widths[0], widths[-1])
        ]
    )


def of_seeds(variant, metric, widths, steps, value, seeds=12):
    """Rows of measurements: `value(width, step)` times a factor of each seed."""
    return [
        ("study", variant, n, seed, step, metric, value(n, step) * (1 + seed / 20))
        for n in widths
        for seed in range(seeds)
        for step in steps
    ]


def measurements(rows):
    columns = ["study", "variant", "width", "seed", "step", "metric", "value"]
    return pd.DataFrame(rows, columns=columns)


def review():
    frames = []
    for variant in ("torch", "ntk", "torch_converged"):
        for n in (10, 100, 1000):
            step = np.linspace(0, 1000, 11).astype(int)
            for quantity in ("loss", "weight_change"):
                median = np.exp(-step / 60) if quantity == "loss" else step / 1e3 / n
                about = {"variant": variant, "width": n, "quantity": quantity}
                about |= {"model": "network", "seeds": 20, "step": step}
                about |= {"low": median / 2, "median": median, "high": median * 2}
                frames.append(pd.DataFrame(about))
    return pd.concat(frames, ignore_index=True)


def kernels_on_the_circle():
    angle, widths = np.linspace(-np.pi, np.pi, 9), (64, 128, 512)
    limit = 0.1 + 0.1 * np.cos(angle) ** 2
    about = {"variant": "trained", "x": angle}
    curves = [pd.DataFrame(about | {"when": "limit", "width": 0, "value": limit})]
    for n in (64, 512):
        for seed in range(3):
            for when in ("before", "after"):
                curve = {"when": when, "width": n, "seed": seed}
                value = limit * (1 + seed / np.sqrt(n))
                curves.append(pd.DataFrame(about | curve | {"value": value}))
    rows = []
    for i, at in ((2, 0.3), (3, 0.15), (4, 0.07)):
        rows += of_seeds(
            "init", f"kernel_at/{i}", widths, (0,), lambda n, _, at=at: at + 1 / n
        )
    distance = [
        {"variant": "init", "part": "seed", "x": float(n), "value": s / np.sqrt(n)}
        for n in widths
        for s in (1.0, 2.0, 3.0)
    ]
    laws = pd.concat([pd.DataFrame(distance), fit("init", widths, -0.5)])
    return pd.concat(curves), measurements(rows), laws


def outputs_and_modes():
    step = np.array([0, 1, 10, 100, 1000])
    time = step * 0.05
    frames, modes = [], []
    for n in (64, 1024):
        for point, target in (("train 1", -1.0), ("train 2", 0.5)):
            for kind in ("network", "linearized", "limit"):
                f = target * (1 - np.exp(-time)) + (kind == "network") / n
                about = {"variant": "flow", "width": n, "point": point, "model": kind}
                about |= {"step": step, "time": time, "median": f, "target": target}
                frames.append(pd.DataFrame(about))
        for mode, rate in ((1, 1.0), (2, 0.1)):
            about = {"variant": "flow", "width": n, "mode": mode, "eigenvalue": rate}
            about |= {"component": np.exp(-rate * time) * (1 + 1 / n)}
            modes.append(pd.DataFrame(about | {"predicted": np.exp(-rate * time)}))
    return pd.concat(frames), pd.concat(modes)


def band():
    x = np.linspace(-np.pi, np.pi, 9)
    spread = 0.2 * np.sin(x) ** 2
    frames = []

    def add(part, width, value, seed=np.nan):
        about = {"variant": "paper", "part": part, "width": width, "seed": seed}
        frames.append(pd.DataFrame(about | {"x": x, "value": value}))

    for width, factor in ((0, 1.0), (50, 1.5), (1000, 1.1)):
        name = "networks" if width else "limit"
        for part, z in (("P10", -1.28155), ("P50", 0), ("P90", 1.28155)):
            add(f"{name} {part}", width, factor * z * spread)
        for seed in range(2 if width else 0):
            add("network", width, factor * (seed - 0.5) * spread, seed)
    add("data", 0, 0.3 * np.cos(x))
    return pd.concat(frames)


def paths():
    frames = []
    for name, e in study.load(ROOT / "config/studies/ellipses.yaml").variants.items():
        step = np.array([0, 10, 1000])
        grow = 1 + np.array([0, 0.1, 1]) / e.model.alpha
        about = {"variant": name, "step": step, "y1": 3.0, "y2": -1.0}
        about |= {"f1": [0, 1, 3], "f2": [0, -0.5, -1], "change": grow - 1}
        about |= {"constant1": [0, 1, 3], "constant2": [0, -0.4, -1]}
        about |= {"lambda1": 14 * grow, "lambda2": 4 * grow, "angle": 17.0}
        frames.append(pd.DataFrame(about))
    return pd.concat(frames)


def tables():
    """Tables of all figures, with numbers that are known."""
    circle, at_start, laws = kernels_on_the_circle()
    functions, modes = outputs_and_modes()
    widths = (64, 256)
    changes = [
        row
        for variant, power in (("tanh", -1.0), ("relu", -0.5))
        for row in of_seeds(
            variant,
            "ntk_change",
            widths,
            (0, 10, 60),
            lambda n, step, power=power: step * n**power / 10,
        )
    ]
    fits = [fit("tanh", widths, -1.0), fit("relu", widths, -0.5)]
    return {
        ("width", "review"): review(),
        ("jacot_kernel", "circle"): circle,
        ("jacot_kernel", "convergence"): laws,
        ("jacot_kernel", "measurements"): at_start,
        ("constancy", "kernel_change"): pd.concat(fits),
        ("constancy", "measurements"): measurements(changes),
        ("gradient_flow", "functions"): functions,
        ("gradient_flow", "modes"): modes,
        ("gaussian_limit", "functions"): band(),
        ("ellipses", "ellipses"): paths(),
    }


def contents(**changes):
    return explorable.contents(studies(), tables() | changes, theorem.PICTURES)


def verdict(study_name, claim, **changes):
    """A supported claim."""
    fields = {"study": study_name, "claim": claim, "says": "It falls as 1/n"}
    fields |= {"source": "Jacot et al. 2018", "expected": "supported", "n": 100}
    fields |= {"verdict": "supported", "as_expected": True, "estimate": -0.99}
    fields |= {"ci_low": -1.02, "ci_high": -0.96, "low": -1.1, "high": -0.9}
    fields |= {"metric": "ntk_change", "statistic": "slope", "variant": "tanh"}
    fields |= {"predicted": -1.0, "widths": "64, 256"}
    return claims.Verdict(**fields | changes)


def verdicts():
    """A law, and a control that is refuted as it should be."""
    refuted = {"verdict": "contradicted", "expected": "contradicted"}
    control = verdict("gradient_flow", "J-7n", nature="control", **refuted)
    return claims.table([verdict("constancy", "J-2"), control])


def shown_page(found=None):
    found = contents() if found is None else found
    return page.page([], verdicts(), {}, explorable=found)
