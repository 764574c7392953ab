"""One GPU: its peak rates, the errors of its results, and its speed.

    python -m benchmarks gpu                          at most nine minutes, one GPU
    python -m benchmarks gpu --toy --output FOLDER    tiny sizes, any machine

Each number is printed and written to gpu.csv at once, so an interrupted run keeps its
rows. The most important parts come first. A second process computes references in
float64 on the CPU of the same machine. Both processes use the same weights, which numpy
draws. The benchmark needs only JAX and a few small packages; `python -m benchmarks
wheels` collects these packages for a machine without network.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.rows import ROOT, clock
from ntkpipe import training
from ntkpipe.data.base import Data
from ntkpipe.kernels import (
    compare,
    curvature,
    empirical,
    infinite,
    large,
    linear,
    tiles,
)
from ntkpipe.models.mlp import MLP
from ntkpipe.training import loop
from ntkpipe.training.protocol import Training

COLUMNS = (
    "part case points width outputs seeds dtype value unit seconds error note device "
    "jax date"
).split()
LIMIT_S = 9 * 60
DTYPES = ("float32", "float64")
# true float32 (not TF32) is right to seven digits; sums lose one or two
ALLOWED = {"float32": 1e-5, "float64": 1e-10}
Numbers = dict[str, Any]


class Case(NamedTuple):
    """One row of gpu.csv: its sizes, and the function that measures other columns."""

    name: str
    sizes: Numbers
    measure: Callable[[], Numbers]


# --- 1. ceilings ----------------------------------------------------------------------


def ceilings(toy: bool) -> Iterator[Case]:
    """Rates of copying, and of matrix products at each precision, with their errors."""
    numbers = 10**6 if toy else 10**9
    yield Case("copy", {"points": numbers, "dtype": "float32"}, partial(copy, numbers))
    side = 256 if toy else 8192
    for dtype in DTYPES:
        sizes = {"points": side, "width": side, "dtype": dtype}
        yield Case("matrix product", sizes, partial(gemm, side, dtype, "HIGHEST"))
    for name in (
        "DEFAULT",
        "TF32_TF32_F32",
        "TF32_TF32_F32_X3",
        "BF16_BF16_F32",
        "BF16_BF16_F32_X3",
        "BF16_BF16_F32_X6",
        "BF16_BF16_F32_X9",
    ):
        sizes = {"points": side, "width": side, "dtype": "float32"}
        measure = partial(gemm, side, "float32", name)
        yield Case(f"matrix product, {name}", sizes, measure)


def copy(numbers: int) -> Numbers:
    """Bytes that are read and written per second when 1 is added to an array."""
    a = jnp.zeros(numbers, "float32")
    seconds = fastest(partial(jax.jit(lambda a: a + 1), a))
    return {"seconds": seconds, "value": 8 * numbers / seconds / 1e9, "unit": "GB/s"}


def gemm(side: int, dtype: str, name: str) -> Numbers:
    """FLOP/s of a square product, and its error against float64."""
    precisions = {p.name: p for p in jax.lax.Precision}
    precision = precisions.get(name) or jax.lax.DotAlgorithmPreset[name]
    multiply = jax.jit(partial(jnp.matmul, precision=precision))
    a, b = jax.random.normal(jax.random.key(0), (2, side, side), dtype)
    seconds = fastest(partial(multiply, a, b))
    rate = 2 * side**3 / seconds / 1e12
    exact = np.asarray(a[:256], float) @ np.asarray(b, float)
    error = relative(multiply(a, b)[:256], exact)
    return {"seconds": seconds, "value": rate, "unit": "TFLOP/s", "error": error}


# --- 2. correctness -------------------------------------------------------------------


class Given(MLP):
    """A network whose weights numpy draws: the same on every device and precision."""

    def init_params(self, key, width, d, k, dtype=float):
        """Standard normal weights, whatever the key."""
        del key
        shape = partial(super().init_params, width=width, d=d, k=k, dtype=dtype)
        rng = np.random.default_rng(0)
        return jax.tree.map(
            lambda leaf: jnp.asarray(rng.standard_normal(leaf.shape), dtype),
            jax.eval_shape(shape, jax.random.key(0)),
        )


def given(dtype: str, points=48, width=256, k=1, d=3, **model):
    """A network, its parameters, and points."""
    network = Given(**({"depth": 2, "activation": "tanh", "b_std": 0.1} | model))
    x = np.random.default_rng(1).standard_normal((points, d))
    return network, network.init_params(None, width, d, k, dtype), jnp.asarray(x, dtype)


def whole_kernel(dtype, **options):
    """Θ in one expression."""
    network, params, x = given(dtype, **options)
    return empirical.ntk(network.apply, params, x)


def layers(dtype):
    """Θ of each layer, traced, between two sets of points."""
    network, params, x = given(dtype, k=3)
    parts = empirical.ntk(network.apply, params, x, x[:7], "trace", "each")
    return jnp.stack(list(parts.values()))


def by_tiles(dtype):
    """The sum of the squared entries of each tile of Θ."""
    network, params, x = given(dtype, points=100)
    parts = tiles.tiles(network.apply, params, x, tile=32)
    return np.array([(np.asarray(t.theta, float) ** 2).sum() for t in parts])


def infinite_kernels(dtype, activation):
    """NNGP and NTK of the infinitely wide network."""
    x = given(dtype)[2]
    settings = {"W_std": 1.5, "b_std": 0.1}
    kernels = infinite.kernels(x, depth=3, activation=activation, **settings)
    return jnp.stack(kernels)


def hessian(dtype, depth):
    """‖∇²f‖ at some points, with so many iterations that the start has no effect."""
    network, params, x = given(dtype, points=4, depth=depth)
    if depth == 1:
        return curvature.one_hidden_layer(network, params, x).hessian_norm
    return curvature.curvature(network.apply, params, x, iterations=96).hessian_norm


def linearised(dtype):
    """The linearised model's outputs after some steps of gradient descent."""
    network, params, x = given(dtype)
    theta, f0 = empirical.ntk(network.apply, params, x), network.apply(params, x)
    steps = np.array([0, 1, 10, 100, 1000])
    return linear.predict(theta, f0, jnp.sin(x[:, :1]), steps, 0.1).f_train


def fifty_steps(dtype, optimizer, seeds=1):
    """Outputs during 50 steps of training, and Θ at the end."""
    network, _, x = given(dtype, points=16, width=128)
    rate = {"gd": 0.5, "momentum": 0.1, "adam": 1e-3}[optimizer]
    how = Training(optimizer=optimizer, learning_rate=rate, steps=50, record=5)
    data = Data(x[:12], jnp.sin(x[:12, :1]), x[12:], None)
    found = training.train(network, how, data, 128, jax.random.key(0), seeds, dtype)
    return np.concatenate([found["f_train"].ravel(), found["ntk"][:, -1].ravel()])


CORRECT: dict[str, Callable[[str], Any]] = {
    "kernel, tanh": whole_kernel,
    "kernel, relu, 3 outputs": partial(whole_kernel, activation="relu", k=3),
    "kernel, width 4096": partial(whole_kernel, width=4096),
    "kernel of each layer, traced": layers,
    "kernel by tiles": by_tiles,
    **{f"50 steps, {o}": partial(fifty_steps, optimizer=o) for o in ("gd", "momentum")},
    "50 steps, adam": partial(fifty_steps, optimizer="adam"),
    "50 steps, gd, 7 seeds": partial(fifty_steps, optimizer="gd", seeds=7),
    **{
        f"infinite kernels, {a}": partial(infinite_kernels, activation=a)
        for a in ("relu", "erf", "tanh")
    },
    "Hessian norm, 1 hidden layer": partial(hessian, depth=1),
    "Hessian norm, 3 hidden layers": partial(hessian, depth=3),
    "linearised model": linearised,
}


TOY = ("kernel, tanh", "kernel by tiles", "50 steps, gd, 7 seeds", "linearised model")


def correctness(toy: bool, cpu: "OnCPU") -> Iterator[Case]:
    """Each quantity at both precisions, against float64 on the CPU."""
    for name, dtype in product(TOY if toy else CORRECT, DTYPES):
        yield Case(name, {"dtype": dtype}, partial(against_cpu, name, dtype, cpu))


def against_cpu(name: str, dtype: str, cpu: "OnCPU") -> Numbers:
    """‖a − b‖/‖b‖ with b computed on the CPU in float64."""
    begin = time.perf_counter()
    error = relative(CORRECT[name](dtype), cpu.reference(name))
    wrong = "" if error <= ALLOWED[dtype] else f"above {ALLOWED[dtype]:g}"
    return {"seconds": time.perf_counter() - begin, "error": error, "note": wrong}


# --- 3. kernels -----------------------------------------------------------------------


def kernels(toy: bool) -> Iterator[Case]:
    """Rates of Θ by tiles and of the whole Θ, as shares of that of a matrix product."""
    sizes = [
        (1024, 1024, 1),
        (4096, 1024, 1),
        (4096, 4096, 1),
        (16384, 1024, 1),
        (4096, 1024, 10),
        (4096, 16384, 1),
    ]
    if toy:
        sizes = [(64, 32, 3)]
    for (points, width, k), dtype in product(sizes, DTYPES):
        shape = {"points": points, "width": width, "outputs": k, "dtype": dtype}
        for name, run in (("by tiles", last_tile), ("whole", whole)):
            yield Case(f"kernel {name}", shape, partial(kernel, run, **shape))


def eigendecompositions(toy: bool) -> Iterator[Case]:
    """Eigendecompositions of Θ by JAX, and by numpy on the CPU."""
    for points in (20,) if toy else (100, 300, 1000, 3000):
        for dtype in DTYPES:
            for name, run in (("JAX", jnp.linalg.eigh), ("numpy", np.linalg.eigh)):
                measure = partial(eigenvalues, run, points, dtype)
                shape = {"points": points, "dtype": dtype}
                yield Case(f"eigendecomposition, {name}", shape, measure)


def many_points(toy: bool) -> Iterator[Case]:
    """Two kernels of many points, compared by tiles."""
    for points in (300,) if toy else (16384, 60_000):
        shape = {"points": points, "width": 16 if toy else 1024, "dtype": "float32"}
        measure = partial(two_kernels, **shape)
        yield Case("two kernels compared by tiles", shape, measure)


def random_network(points, width, outputs, dtype, depth=2, d=10):
    """A ReLU network, its parameters, and points, drawn on the device."""
    model = MLP(depth=depth, activation="relu")
    params = model.init_params(jax.random.key(1), width, d, outputs, dtype)
    return model, params, jax.random.normal(jax.random.key(0), (points, d), dtype)


def last_tile(apply, params, x):
    """Compute all tiles, and return the last one."""
    for tile in tiles.tiles(apply, params, x):
        last = tile.theta
    return last


def whole(apply, params, x):
    """Θ as an array."""
    return empirical.ntk(apply, params, x)


def kernel(run, points, width, outputs, dtype) -> Numbers:
    """FLOP/s of Θ, each pair of points counted once, over those of `gemm`."""
    model, params, x = random_network(points, width, outputs, dtype)
    seconds = fastest(partial(run, model.apply, params, x))
    flop = tiles.plan(model.apply, params, x).flop
    rate = reference_rate(dtype)
    return {
        "seconds": seconds,
        "value": 100 * flop / seconds / rate,
        "unit": "% of the matrix product",
    }


_RATES: dict[str, float] = {}


def reference_rate(dtype: str) -> float:
    """FLOP/s of a plain matrix product at highest precision, measured once."""
    if dtype not in _RATES:
        on_cpu = jax.default_backend() == "cpu"
        _RATES[dtype] = gemm(512 if on_cpu else 8192, dtype, "HIGHEST")["value"] * 1e12
    return _RATES[dtype]


def two_kernels(points, width, dtype) -> Numbers:
    """`kernels.large.compare`: the exact relative change of Θ, which is not stored."""
    model, before, x = random_network(points, width, 1, dtype)
    after = jax.tree.map(lambda w: w + 0.01 * jnp.sign(w), before)
    flop = 2 * tiles.plan(model.apply, before, x).flop
    begin = time.perf_counter()
    large.compare(model.apply, before, after, x)
    seconds = time.perf_counter() - begin  # once, with compilation
    share = 100 * flop / seconds / reference_rate(dtype)
    return {"seconds": seconds, "value": share, "unit": "% of the matrix product"}


def eigenvalues(run, points, dtype) -> Numbers:
    """Seconds of an eigendecomposition of Θ."""
    model, params, x = random_network(points, 256, 1, dtype)
    theta = compare.matrix(empirical.ntk(model.apply, params, x))
    if run is np.linalg.eigh:
        theta = np.asarray(theta)
    return {"seconds": fastest(partial(run, theta))}


# --- 4. training ----------------------------------------------------------------------


def grid(toy: bool) -> Iterator[Numbers]:
    """Sizes of networks: widths × seeds × precisions, as far as memory allows."""
    if toy:
        yield {"points": 20, "width": 16, "seeds": 3, "dtype": "float32"}
        return
    widths = (64, 256, 1024, 4096, 16384)
    for dtype, width, seeds in product(DTYPES, widths, (1, 10, 100)):
        # float64 at a few sizes: compilation takes most of the time of a case
        if seeds * width**2 <= 6e8 and (dtype == "float32" or width in (256, 4096)):
            yield {"points": 20, "width": width, "seeds": seeds, "dtype": dtype}


def steps(toy: bool) -> Iterator[Case]:
    """Steps of gradient descent per second, two hidden layers, seeds by vmap."""
    for sizes in grid(toy):
        measure = partial(steps_per_second, toy=toy, **sizes)
        yield Case("gradient descent", sizes, measure)


def steps_per_second(points, width, seeds, dtype, toy=False) -> Numbers:
    """Networks × steps per second, without compilation."""
    advance = trainer(points, width, seeds, dtype)
    count, seconds = 10, 0.0
    while seconds < (0.02 if toy else 0.5) and count < 10**6:
        count *= 3
        begin = time.perf_counter()
        advance(count)
        seconds = time.perf_counter() - begin
    rate = seeds * count / seconds
    return {"seconds": seconds / count, "value": rate, "unit": "network steps/s"}


def trainer(points, width, seeds, dtype) -> Callable[[int], None]:
    """A compiled function that advances `seeds` networks by a number of steps."""
    model = MLP(depth=2, activation="relu")
    x = jnp.linspace(-1, 1, points, dtype=dtype)[:, None]
    data = loop.Points(x, jnp.sin(x), x[:2])
    run = loop.Run(model, Training(learning_rate=1e-3, steps=1), width)
    several = seeds > 1
    size = width * (width + 2)
    compiled = run.compiled(jax.random.key(0), seeds, size, several).on(data)
    state, start = compiled.begin(np.arange(seeds) if several else 0)
    held = [state]

    def advance(count: int) -> None:
        held[0] = compiled.advance(held[0], start.f0, count)
        jax.block_until_ready(held[0])

    advance(2)
    return advance


# --- 5. the papers' widths ------------------------------------------------------------


def papers(toy: bool) -> Iterator[Case]:
    """Each study of config/paper at its largest width, from the time of a few steps."""
    from ntkpipe import study

    for path in sorted((ROOT / "config" / "paper").glob("*.yaml")):
        one = study.load(path)
        if toy and not path.stem.startswith("jacot"):
            continue
        for variant in list(one.variants)[:1]:
            width = 16 if toy else max(one.variants[variant].widths)
            e = one.variants[variant]
            seeds = e.seeds_at(max(e.widths))
            sizes = {"width": width, "seeds": seeds, "dtype": e.dtype}
            measure = partial(paper, e, width, seeds)
            yield Case(f"{one.name}, {variant}, whole training", sizes, measure)


def paper(e, width: int, seeds: int) -> Numbers:
    """Seconds of all networks of a width: start, steps and snapshots, extrapolated."""
    shape = e.dataset.sizes
    points, k, d = shape.train, shape.outputs, shape.dimension
    rng = np.random.default_rng(0)
    x = rng.standard_normal((points + shape.test, d))
    x, y = jnp.asarray(x, e.dtype), jnp.asarray(rng.standard_normal((points, k)))
    data = loop.Points(x[:points], y.astype(e.dtype), x[points:])
    run = loop.Run(e.model, e.training, width)
    size = (e.model.depth - 1) * width**2 + (d + k) * width
    compiled = run.compiled(jax.random.key(0), seeds, size, False).on(data)
    held = [compiled.begin(0)]
    jax.block_until_ready(held)
    start = held[0][1]

    def advance(count):
        held[0] = compiled.advance(held[0][0], start.f0, count), start
        jax.block_until_ready(held[0])

    advance(2)
    begin = time.perf_counter()
    advance(20)
    step = (time.perf_counter() - begin) / 20
    snapshot = fastest(partial(compiled.snapshot, held[0][0].params, start))
    held.clear()
    first = fastest(partial(compiled.begin, 1), at_most=1)
    each = first + e.training.steps * step + e.training.snapshots * snapshot
    note = f"step {step:.2e} s, snapshot {snapshot:.2e} s, start {first:.2e} s"
    return {"points": points, "outputs": k, "seconds": seeds * each, "note": note}


# --- 6. two jobs on one device --------------------------------------------------------


def together(toy: bool) -> Iterator[Case]:
    """The same training in one process, and in two at the same time."""
    width = 32 if toy else 1024
    for count in (1, 2):
        sizes = {"points": 20, "width": width, "seeds": 10, "dtype": "float32"}
        measure = partial(processes, count, toy, **sizes)
        yield Case(f"{count} process{'es' * (count > 1)}", sizes, measure)


def processes(count: int, toy: bool, **sizes) -> Numbers:
    """Steps per second of all processes together, without memory preallocation."""
    environment = os.environ | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    call = json.dumps(sizes | {"toy": toy})
    command = [sys.executable, "-m", "benchmarks", "gpu", "--steps", call]
    run = partial(subprocess.Popen, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    begin = time.perf_counter()
    children = [run(command, env=environment) for _ in range(count)]
    outputs = [child.communicate(timeout=120)[0] for child in children]
    rates = [json.loads(output.splitlines()[-1])["value"] for output in outputs]
    seconds = time.perf_counter() - begin
    return {"seconds": seconds, "value": sum(rates), "unit": "network steps/s"}


# --- the CPU beside it ----------------------------------------------------------------


class OnCPU:
    """A second process on the CPU: references in float64, then rates of training."""

    def __init__(self, folder: Path, toy: bool):
        self.folder = folder
        environment = os.environ | {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}
        command = [sys.executable, "-m", "benchmarks", "gpu", "--cpu", str(folder)]
        self.process = subprocess.Popen(
            command + ["--toy"] * toy, env=environment, cwd=ROOT
        )

    def reference(self, name: str) -> np.ndarray:
        """Wait for a reference, and return it."""
        path = self.folder / f"{_file(name)}.npy"
        while not path.exists():
            if self.process.poll() is not None and not path.exists():
                raise RuntimeError("the process on the CPU ended")
            time.sleep(0.05)
        return np.load(path)

    def rows(self) -> list[Numbers]:
        """End the process, and return the rows that it measured."""
        self.process.kill()
        path = self.folder / "steps.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith("}")]


def on_cpu(folder: Path, toy: bool) -> None:
    """The work of the process of `OnCPU`."""
    for name in TOY if toy else CORRECT:
        partly = folder / f"{_file(name)}.tmp.npy"
        np.save(partly, np.asarray(CORRECT[name]("float64")))
        partly.rename(folder / f"{_file(name)}.npy")
    with open(folder / "steps.jsonl", "w") as file:
        for sizes in grid(toy):
            row = sizes | steps_per_second(**sizes, toy=toy)
            print(json.dumps(row), file=file, flush=True)


def _file(name: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in name)


# --- the run --------------------------------------------------------------------------


def fastest(run: Callable, at_most: int = 5) -> float:
    """Seconds of the fastest of up to `at_most` runs, without compilation."""
    timed = clock(run)
    begin, times = time.perf_counter(), []
    while len(times) < at_most and (not times or time.perf_counter() - begin < 1):
        times.append(timed())
    return min(times)


def relative(a, b) -> float:
    """‖a − b‖/‖b‖, in float64."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


class Table:
    """gpu.csv: each row is printed and written as soon as it is measured."""

    def __init__(self, folder: Path):
        self.path = folder / "gpu.csv"
        self.about = {
            "device": device(),
            "jax": jax.__version__,
            "date": time.strftime("%Y-%m-%d %H:%M"),
        }
        with open(self.path, "w", newline="") as file:
            csv.DictWriter(file, COLUMNS).writeheader()

    def add(self, **row) -> None:
        """Print a row, and append it to the file."""
        row = self.about | {k: v for k, v in row.items() if v not in ("", None)}
        row = {k: f"{v:.5g}" if isinstance(v, float) else v for k, v in row.items()}
        with open(self.path, "a", newline="") as file:
            csv.DictWriter(file, COLUMNS).writerow(row)
        print(*(f"{k}={row[k]}" for k in COLUMNS[:-3] if k in row), flush=True)


def page(folder: Path) -> Path:
    """Write gpu.md: the rows of gpu.csv, in one Markdown table for each part."""
    with open(folder / "gpu.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    about = sorted({f"{r['device']}, JAX {r['jax']}, {r['date']}" for r in rows})
    lines = ["# A GPU, measured", "", *(f"- {line}" for line in about)]
    for part in dict.fromkeys(row["part"] for row in rows):
        own = [row for row in rows if row["part"] == part]
        columns = [c for c in COLUMNS[1:-2] if any(row[c] for row in own)]
        lines += ["", f"## {part}", "", f"| {' | '.join(columns)} |"]
        lines.append("|---" * len(columns) + "|")
        lines += [f"| {' | '.join(row[c] for c in columns)} |" for row in own]
    path = folder / "gpu.md"
    path.write_text("\n".join(lines) + "\n")
    return path


def device() -> str:
    """Card and driver, or the CPU."""
    if jax.default_backend() == "cpu":
        return "cpu"
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        said = subprocess.run(query, capture_output=True, text=True, check=True)
        return said.stdout.splitlines()[0].strip()
    except (OSError, subprocess.CalledProcessError, IndexError):
        return jax.devices()[0].device_kind


def measure_all(folder: Path, toy: bool, limit: float, wanted: list[str]) -> Path:
    """Measure all parts, or the wanted ones, in turn until the time limit."""
    end = time.monotonic() + limit
    folder.mkdir(parents=True, exist_ok=True)
    table = Table(folder)
    with tempfile.TemporaryDirectory() as scratch:
        cpu = OnCPU(Path(scratch), toy)
        parts = {
            "ceilings": ceilings(toy),
            "correctness": correctness(toy, cpu),
            "steps": steps(toy),
            "kernels": kernels(toy),
            "eigendecompositions": eigendecompositions(toy),
            "two jobs": together(toy),
            "papers": papers(toy),
            "large": many_points(toy),
        }
        for part, cases in parts.items():
            if wanted and part not in wanted:
                continue
            for case in cases:
                row = {"part": part, "case": case.name} | case.sizes
                if time.monotonic() > end:
                    table.add(**row, note="not reached in time")
                    continue
                try:
                    table.add(**row | case.measure())
                except Exception as error:  # other rows may still be measured
                    said = " ".join(str(error).split())[:160]
                    table.add(**row, note=f"failed, {type(error).__name__}: {said}")
        for row in cpu.rows():
            row |= {"part": "steps", "case": "gradient descent", "device": "cpu"}
            table.add(**row)
    return table.path


def main(arguments: list[str]) -> int:
    """The arguments of `python -m benchmarks gpu`."""
    top = argparse.ArgumentParser(prog="benchmarks gpu", description=__doc__)
    top.formatter_class = argparse.RawDescriptionHelpFormatter
    top.add_argument("--toy", action="store_true", help="tiny sizes, on any machine")
    top.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results")
    top.add_argument("--limit", type=float, default=LIMIT_S, help="seconds for all")
    top.add_argument("--page", action="store_true", help="only write gpu.md")
    top.add_argument("--parts", nargs="+", default=[], help="only these parts")
    top.add_argument("--cpu", type=Path, help=argparse.SUPPRESS)
    top.add_argument("--steps", type=json.loads, help=argparse.SUPPRESS)
    options = top.parse_args(arguments)
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_default_matmul_precision", "highest")
    if options.cpu:
        on_cpu(options.cpu, options.toy)
    elif options.steps:
        print(json.dumps(steps_per_second(**options.steps)))
    elif options.page:
        print(page(options.output))
    elif options.toy and options.output == ROOT / "benchmarks" / "results":
        top.error("--toy needs --output: results/ is for full sizes")
    else:
        wanted = options.parts
        print(measure_all(options.output, options.toy, options.limit, wanted))
    return 0
