"""The rows of the table, and the functions that measure them.

A row is measured in rounds. Each round runs both sides in turn and gives one ratio, so
other load of the machine affects both sides alike.
"""

import ctypes
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from benchmarks.rivals import Rivals
from ntkpipe.kernels import (
    convolutional,
    curvature,
    empirical,
    infinite,
    linear,
    tiles,
)
from ntkpipe.kernels.signals import learning_rates
from ntkpipe.models.layers import convolutions
from ntkpipe.models.mlp import MLP
from ntkpipe.runtime import KEEP_FREED
from ntkpipe.training.loop import Points, Run
from ntkpipe.training.protocol import Training

ROOT = Path(__file__).parent.parent


class Row(NamedTuple):
    """One row: its target, and how it is measured."""

    name: str
    text: str
    sense: str  # ≥ or ≤
    target: float
    unit: str
    measure: Callable[..., list[float]]
    sizes: dict
    toy: dict
    rounds: int = 5


# --- clocks ---------------------------------------------------------------------------


def clock(run: Callable) -> Callable[[], float]:
    """A function that calls the compiled `run` and returns the seconds it took."""
    jax.block_until_ready(run())

    def timed():
        begin = time.perf_counter()
        jax.block_until_ready(run())
        return time.perf_counter() - begin

    return timed


def turns(rounds: int, *sides: Callable[[], float]) -> list[list[float]]:
    """Seconds of each side in each round; fast sides: the median of several calls."""
    repeats = []
    for side in sides:
        repeats.append(max(1, min(50, math.ceil(0.05 / max(side(), 1e-6)))))
    taken = [[] for _ in sides]
    for _ in range(rounds):
        for times, side, repeat in zip(taken, sides, repeats, strict=True):
            times.append(float(np.median([side() for _ in range(repeat)])))
    return taken


def gemm_rate(dtype="float32") -> Callable[[], float]:
    """A function that returns seconds per FLOP of a 1024 × 2048 × 1024 product."""
    a = jnp.ones((1024, 2048), dtype)
    b = jnp.ones((2048, 1024), dtype)
    product = clock(partial(jax.jit(jnp.matmul), a, b))
    return lambda: product() / (2 * 1024 * 2048 * 1024)


def network(points, width, k=1, depth=2, d=1, dtype="float32", activation="relu"):
    """A network, its parameters, and points."""
    model = MLP(depth=depth, activation=activation)
    params = model.init_params(jax.random.key(1), width, d, k, dtype)
    return model, params, jax.random.normal(jax.random.key(0), (points, d), dtype)


# --- the kernel -----------------------------------------------------------------------


def kernel_gemm(rounds, rivals, **sizes) -> list[float]:
    """Rate of Θ in per cent of that of a matrix product; each pair of points once."""
    model, params, x = network(**sizes)
    rates = learning_rates(params)

    def run():
        if len(x) <= empirical.WHOLE:
            return empirical._halves(model.apply, params, x, "full", "sum", rates)
        for tile in tiles.tiles(model.apply, params, x, rates=rates):
            last = tile.theta
        return last

    flop = tiles.plan(model.apply, params, x).flop
    own, reference = turns(rounds, clock(run), gemm_rate(sizes.get("dtype", "float32")))
    return [100 * r * flop / t for t, r in zip(own, reference, strict=True)]


def kernel_rival(rounds, rivals: Rivals, *, cases, d=1, **sizes) -> list[float]:
    """Seconds of the fastest of the rivals' cases over ours, for the whole Θ."""
    model, params, x = network(d=d, **sizes)
    own = clock(lambda: empirical.ntk(model.apply, params, x))
    others = []
    for name, case in cases:
        ready = rivals.ready(name, **case, **sizes, d=d)
        others.append(turns(rounds, own, ready))
        own()
    ratios = [
        [theirs / ours for ours, theirs in zip(*pair, strict=True)] for pair in others
    ]
    return min(ratios, key=np.median)


def kernel_memory(rounds, rivals, **sizes) -> list[float]:
    """Peak resident memory of Θ beyond the parameters in GB, in its own process."""
    found = in_a_process(f"""
model, params, x = network(**{sizes!r})
small = network(300, 16)
empirical.ntk(small[0].apply, *small[1:])
jax.block_until_ready(params)
print(peak(lambda: empirical.ntk(model.apply, params, x)))
""")
    return [float(found)]


def in_a_process(code: str) -> str:
    """The output of `code` in its own Python process, with the settings of a job."""
    start = """
from ntkpipe import xla
xla.set_flags()
import jax
from benchmarks.rows import network, peak
from ntkpipe.kernels import empirical, large
"""
    run = [sys.executable, "-c", start + code]
    done = subprocess.run(
        run,
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env=os.environ | KEEP_FREED,
    )
    return done.stdout


def peak(run: Callable) -> float:
    """Gigabytes of resident memory that `run` takes at most, on Linux."""

    def status(name):
        lines = Path("/proc/self/status").read_text()
        return int(re.search(rf"{name}:\s+(\d+)", lines)[1])

    # the process would reuse freed memory that it keeps, and the peak would miss it
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    jax.block_until_ready(run())
    return (status("VmHWM") - before) * 1024 / 1e9


def kernel_float32(rounds, rivals, **sizes) -> list[float]:
    """‖Θ_float32 − Θ_float64‖/‖Θ_float64‖ with the same weights."""
    model, params, x = network(**sizes, dtype="float32")
    single = np.asarray(empirical.ntk(model.apply, params, x), float)
    params, x = jax.tree.map(lambda a: a.astype(float), (params, x))
    double = np.asarray(empirical.ntk(model.apply, params, x))
    return [float(np.linalg.norm(single - double) / np.linalg.norm(double))]


def kernel_reference(rounds, rivals) -> list[float]:
    """The largest relative error against float64 values of neural-tangents."""
    folder = ROOT / "tests" / "data"
    errors = []
    for name, about in json.loads((folder / "index.json").read_text()).items():
        reference = np.load(folder / f"{name}.npz")
        errors.append(_distance(about, reference))
    return [max(errors)]


def _distance(about, reference) -> float:
    model = MLP(
        depth=about["depth"],
        activation=about["act"],
        W_std=about["w_std"],
        b_std=about["b_std"],
    )
    layers = []
    for i in range(about["depth"] + 1):
        layer = {"w": jnp.asarray(reference[f"w{i}"])}
        if about["b_std"]:
            layer["b"] = jnp.asarray(reference[f"b{i}"])[0]
        layers.append(layer)
    x = jnp.asarray(reference["x_train"])
    theta = np.asarray(empirical.ntk(model.apply, (tuple(layers),), x))
    expected = reference["emp_ntk_full_train_train"].transpose(0, 2, 1, 3)
    return float(np.linalg.norm(theta - expected) / np.linalg.norm(expected))


# --- training -------------------------------------------------------------------------


def _trainer(points, width, dtype="float32"):
    """The compiled training of one network, its state, and what it starts from."""
    model, _, x = network(points, width, dtype=dtype)
    data = Points(x, jnp.sin(x), x)
    run = Run(model, Training(learning_rate=1e-3, steps=1), width)
    size = width * (width + 2)
    compiled = run.compiled(jax.random.key(0), 1, size, side_by_side=False).on(data)
    state, start = compiled.begin(0)
    return compiled, [state], start


def _steps(compiled, state, start, steps):
    """Advance the state, which is in a list because its buffers are donated."""
    state[0] = compiled.advance(state[0], start.f0, steps)
    return state[0].params


def descent_gemm(rounds, rivals, *, points, width, steps) -> list[float]:
    """Rate of gradient descent in per cent of that of a matrix product."""
    trainer = _trainer(points, width)
    own, reference = turns(rounds, clock(partial(_steps, *trainer, steps)), gemm_rate())
    # forward, and backward to weights and inputs; no gradient of the points
    flop = 2 * points * steps * (3 * width * width + 3 * width + 2 * width)
    return [100 * r * flop / t for t, r in zip(own, reference, strict=True)]


def descent_torch(rounds, rivals, *, points, width, steps) -> list[float]:
    """Seconds of the loop in torch, on one thread, over ours."""
    case = {"points": points, "width": width, "depth": 2, "d": 1, "steps": steps}
    theirs = rivals.ready("torch", case="descent", **case)
    ours = clock(partial(_steps, *_trainer(points, width), steps))
    return [b / a for a, b in zip(*turns(rounds, ours, theirs), strict=True)]


def kernel_on_the_way(rounds, rivals, *, points, width, every, times) -> list[float]:
    """Per cent by which Θ at every `every`-th step lengthens training."""
    compiled, state, start = _trainer(points, width)

    def without():
        for _ in range(times):
            params = _steps(compiled, state, start, every)
        return params

    def along():
        for _ in range(times):
            params = _steps(compiled, state, start, every)
            kernel = compiled.snapshot(params, start)
        return kernel

    a, b = turns(rounds, clock(without), clock(along))
    return [100 * (y / x - 1) for x, y in zip(a, b, strict=True)]


def linearised(rounds, rivals, *, points, width, steps, times) -> list[float]:
    """Seconds of the linearised model by steps in weights over those by closed form.

    The closed form includes Θ and its eigendecomposition. All steps take the same time,
    so a tenth of them is timed and multiplied by ten.
    """
    model, params, x = network(points, width, dtype="float64")
    y, rate = jnp.sin(x), 1e-3
    value, push = jax.linearize(lambda w: model.apply(w, x), params)
    pull = jax.linear_transpose(push, params)

    @jax.jit
    def descend(moved):
        def step(_, moved):
            residual = value + push(moved) - y
            (gradient,) = pull(residual / points)
            return jax.tree.map(lambda w, g: w - rate * g, moved, gradient)

        return jax.lax.fori_loop(0, steps // 10, step, moved)

    still = jax.tree.map(jnp.zeros_like, params)
    at = jnp.linspace(0, steps, times)

    def closed():
        theta = empirical.ntk(model.apply, params, x)
        return linear.predict(theta, model.apply(params, x), y, at, rate).f_train

    ours, theirs = turns(rounds, clock(closed), clock(lambda: descend(still)))
    return [10 * b / a for a, b in zip(ours, theirs, strict=True)]


# --- infinite width, curvature, processes ---------------------------------------------


def infinite_kernel(
    rounds, rivals, *, points, activation, depth=2, d=10
) -> list[float]:
    """Seconds of neural-tangents over ours, NNGP and NTK, float64."""
    case = {"points": points, "depth": depth, "d": d, "activation": activation}
    theirs = rivals.ready("neural_tangents", case="infinite", **case)
    x = jax.random.normal(jax.random.key(0), (points, d))
    ours = clock(lambda: infinite.kernels(x, depth=depth, activation=activation))
    return [b / a for a, b in zip(*turns(rounds, ours, theirs), strict=True)]


def convolutional_kernel(
    rounds, rivals, *, points, side, pool, symmetric, depth=4
) -> list[float]:
    """Seconds of neural-tangents over ours, NNGP and NTK of images, relu, float64."""
    case = {"points": points, "side": side, "depth": depth, "pool": pool}
    theirs = rivals.ready(
        "neural_tangents", case="convolutional", symmetric=symmetric, **case
    )
    x1, x2 = jax.random.normal(jax.random.key(0), (2, points, side, side, 3))
    ours = clock(
        lambda: convolutional.kernels(
            x1,
            None if symmetric else x2,
            layers=convolutions(depth, "relu"),
            readout="pool" if pool else "flatten",
            W_std=2**0.5,
        )
    )
    return [b / a for a, b in zip(*turns(rounds, ours, theirs), strict=True)]


def hessian(rounds, rivals, *, width, iterations, depth=2) -> list[float]:
    """Seconds of Lanczos with autodiff products (jvp of grad) over the compact form.

    The former does not reorthogonalise.
    """
    model, params, x = network(1, width, depth=depth, activation="tanh")
    flat, unravel = ravel_pytree(params)

    @jax.jit
    def autodiff(flat, start):
        gradient = jax.grad(lambda w: model.apply(unravel(w), x)[0, 0])

        def step(carry, _):
            before, now, beta = carry
            w = jax.jvp(gradient, (flat,), (now,))[1] - beta * before
            alpha = w @ now
            w = w - alpha * now
            size = jnp.linalg.norm(w)
            return (now, w / size, size), (alpha, size)

        zero = (jnp.zeros_like(start), start / jnp.linalg.norm(start), jnp.zeros(()))
        zero = jax.tree.map(lambda a: a.astype(start.dtype), zero)
        _, (alpha, beta) = jax.lax.scan(step, zero, None, iterations)
        off = jnp.diag(beta[:-1], 1)
        return jnp.abs(jnp.linalg.eigvalsh(jnp.diag(alpha) + off + off.T)).max()

    start = jax.random.normal(jax.random.key(2), flat.shape, flat.dtype)

    def compact():
        return curvature.curvature(model.apply, params, x, iterations=iterations)

    ours, theirs = turns(rounds, clock(compact), clock(lambda: autodiff(flat, start)))
    return [b / a for a, b in zip(ours, theirs, strict=True)]


STUDY = """
title: Toy
question: How long does a short job take?
source: none
dataset:
  kind: circle
  points: 20
  target: {kind: noise}
model: {depth: 2, activation: tanh}
training: {learning_rate: 0.1, steps: 300, record: 20}
widths: [64, 128]
seeds: 10
variants:
  base: {}
claims: []
figures: []
"""


def toy_job(rounds, rivals, *, width) -> list[float]:
    """Seconds of the whole process of a training job over those of `import jax`.

    The compilation cache is warm. The job trains 10 networks of width 64 with 2 hidden
    layers for 300 steps.
    """
    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder, "toy.yaml")
        study.write_text(STUDY)
        data, output = f"{folder}/dataset.npz", f"{folder}/network.npz"
        environment = os.environ | {
            "NTKPIPE_CACHE": f"{folder}/cache",
            "PYTHONPATH": str(ROOT),
        }
        stage = [sys.executable, "-m", "ntkpipe"]

        def run(*command):
            done = subprocess.run(
                command, capture_output=True, text=True, env=environment, cwd=folder
            )
            if done.returncode:
                raise RuntimeError(done.stderr[-500:])

        run(*stage, "dataset", study, "--output", data)
        train = [*stage, "train", study, "--width", str(width), "--gpu", "0"]
        train += ["--input", data, "--output", output]
        ours = clock(lambda: run(*train))
        bare = clock(lambda: run(sys.executable, "-c", "import jax"))
        return [a / b for a, b in zip(*turns(rounds, ours, bare), strict=True)]


def _nt(*implementations, patched=False):
    case = {"case": "empirical", "depth": 2, "patched": patched}
    return [("neural_tangents", case | {"implementation": i}) for i in implementations]


def _torch(case):
    return [("torch", {"case": case, "depth": 2, "threads": os.cpu_count()})]


SMALL = {"points": 32, "width": 16}


def _kernel(key, n, width, k, target, text, cases, rounds=5):
    sizes = {"points": n, "width": width, "cases": cases}
    toy = SMALL | {"cases": cases}
    if k > 1 or cases[0][0] == "neural_tangents":
        sizes, toy = sizes | {"k": k}, toy | {"k": k}
    return Row(
        f"kernel/{key}/{n}/{width}" + f"/{k}" * (k > 1),
        f"Θ against {text}, N = {n}, width {width}" + f", k = {k}" * (k > 1),
        "≥",
        target,
        "×",
        kernel_rival,
        sizes,
        toy,
        rounds,
    )


BEST = "neural-tangents, patched"
ROWS = [
    *(
        Row(
            f"kernel/gemm/{n}/{width}",
            f"FLOPs of Θ over the GEMM rate, N = {n}, width {width}",
            "≥",
            65,
            "%",
            kernel_gemm,
            {"points": n, "width": width},
            {"points": 300, "width": 16},
        )
        for n, width in [(1024, 1024), (4096, 1024), (1024, 4096)]
    ),
    _kernel("best", 1024, 1024, 1, 2.5, BEST, _nt(3, patched=True)),
    _kernel("best", 4096, 1024, 1, 3, BEST, _nt(3, patched=True)),
    _kernel("best", 1024, 128, 1, 5, BEST, _nt(3, patched=True)),
    _kernel("best", 1024, 1024, 10, 4, BEST, _nt(3, patched=True), 3),
    _kernel("installed", 128, 1024, 1, 100, "neural-tangents, unpatched", _nt(1, 2)),
    _kernel(
        "tutorial", 128, 1024, 1, 100, "torch.func's tutorial", _torch("tutorial"), 3
    ),
    _kernel(
        "loop",
        128,
        1024,
        1,
        1000,
        "the blog's loop over points in torch",
        _torch("blog"),
        3,
    ),
    Row(
        "kernel/memory",
        "Memory of Θ beyond parameters, N = 4096, width 4096",
        "≤",
        0.7,
        "GB",
        kernel_memory,
        {"points": 4096, "width": 4096},
        {"points": 300, "width": 16},
        1,
    ),
    Row(
        "kernel/float32",
        "Θ in float32 against float64, N = 256, width 1024",
        "≤",
        1e-6,
        "",
        kernel_float32,
        {"points": 256, "width": 1024},
        SMALL,
        1,
    ),
    Row(
        "kernel/reference",
        "Θ in float64 against reference values",
        "≤",
        1e-12,
        "",
        kernel_reference,
        {},
        {},
        1,
    ),
    Row(
        "descent/gemm",
        "FLOPs of gradient descent over the GEMM rate, N = width = 1024",
        "≥",
        70,
        "%",
        descent_gemm,
        {"points": 1024, "width": 1024, "steps": 10},
        SMALL | {"steps": 2},
    ),
    *(
        Row(
            f"descent/torch/{width}",
            f"Gradient descent against a one-thread torch loop, N = 20, width {width}",
            "≥",
            target,
            "×",
            descent_torch,
            {"points": 20, "width": width, "steps": steps},
            SMALL | {"steps": 5},
        )
        for width, target, steps in [(64, 20, 1000), (1024, 2.5, 100)]
    ),
    Row(
        "descent/kernel",
        "Θ every 50 steps, on top of training, N = 20, width 1024",
        "≤",
        8,
        "%",
        kernel_on_the_way,
        {"points": 20, "width": 1024, "every": 50, "times": 12},
        SMALL | {"every": 5, "times": 2},
        9,
    ),
    Row(
        "linearised",
        "Linearised model at 50 times against 10⁴ steps in weights, N = 20, width 1024",
        "≥",
        1000,
        "×",
        linearised,
        {"points": 20, "width": 1024, "steps": 10_000, "times": 50},
        SMALL | {"steps": 10, "times": 5},
        3,
    ),
    *(
        Row(
            f"infinite/{activation}",
            f"Infinite {activation} kernel against neural-tangents, N = 4096",
            "≥",
            1.8,
            "×",
            infinite_kernel,
            {"points": 4096, "activation": activation},
            {"points": 32, "activation": activation},
        )
        for activation in ("relu", "erf")
    ),
    *(
        Row(
            f"convolutional/{readout}/{'symmetric' if symmetric else 'x2'}",
            f"Infinite convolutional kernel, {readout}, against neural-tangents, "
            + (f"N = {points}, x2 = x1" if symmetric else f"N = {points}, x2 given"),
            "≥",
            target,
            "×",
            convolutional_kernel,
            {"points": points, "side": side, "pool": pool, "symmetric": symmetric},
            {"points": 4, "side": 3, "pool": pool, "symmetric": symmetric},
        )
        for readout, pool, points, side, targets in (
            ("flatten", False, 128, 16, (1.5, 2.5)),
            ("pooling", True, 32, 8, (2, 4)),
        )
        for symmetric, target in zip((False, True), targets, strict=True)
    ),
    *(
        Row(
            f"hessian/{width}",
            f"Hessian norm against Lanczos on autodiff products, width {width}",
            "≥",
            8,
            "×",
            hessian,
            {"width": width, "iterations": 20},
            {"width": 16, "iterations": 4},
        )
        for width in (1024, 4096)
    ),
    Row(
        "process",
        "A toy training job, whole process, cache warm, over `import jax`",
        "≤",
        3,
        "×",
        toy_job,
        {"width": 64},
        {"width": 64},
    ),
]
