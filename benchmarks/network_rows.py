"""Rows of convolutional, residual and attention networks."""

import os
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.networks import network
from benchmarks.rivals import Rivals
from benchmarks.rows import Row, clock, gemm_rate, in_a_process, turns
from ntkpipe.kernels import empirical, tiles

SMALL = {"cnn": {"side": 4, "channels": 4}, "resnet": {"side": 4, "channels": 4}}
SMALL["attention"] = {"tokens": 3, "d": 8, "heads": 2, "hidden": 8}
TITLES = {
    "cnn": "CNN (3 convolutions)",
    "resnet": "ResNet (7 convolutions)",
    "attention": "attention (T = 16, d = 64, 2 blocks)",
}


def _kernel(name, points, k, **sizes):
    """A compiled function that returns the whole Θ."""
    apply, params, x = network(name, points, k, **sizes)
    return partial(empirical.ntk, apply, params, x)


def against_rival(rounds, rivals: Rivals, *, cases, name, points, k, **sizes):
    """Seconds of the fastest of the rivals' cases over ours, for the whole Θ."""
    own = clock(_kernel(name, points, k, **sizes))
    ratios = []
    for rival, case in cases:
        ready = rivals.ready(rival, **case, name=name, points=points, k=k, **sizes)
        ours, theirs = turns(rounds, own, ready)
        ratios.append([b / a for a, b in zip(ours, theirs, strict=True)])
    return min(ratios, key=np.median)


def against_jacobians(rounds, rivals, *, name, points, k, **sizes):
    """Seconds of per-sample Jacobians and one product per parameter over ours."""
    apply, params, x = network(name, points, k, **sizes)

    @jax.jit
    def by_jacobians(params, x):
        one = jax.vmap(jax.jacrev(lambda p, x: apply(p, x[None])[0]), (None, 0))
        flat = [j.reshape(points * k, -1) for j in jax.tree.leaves(one(params, x))]
        return sum(jnp.matmul(j, j.T) for j in flat)

    own = clock(partial(empirical.ntk, apply, params, x))
    ours, theirs = turns(rounds, own, clock(partial(by_jacobians, params, x)))
    return [b / a for a, b in zip(ours, theirs, strict=True)]


def of_the_gemm_rate(rounds, rivals, *, name, points, k, **sizes):
    """Rate of Θ in per cent of that of a matrix product.

    Counted are a forward pass, k backward passes, the forming of the gradients and each
    pair of points once: `Plan.flop`.
    """
    apply, params, x = network(name, points, k, **sizes)
    flop = tiles.plan(apply, params, x).flop
    own = clock(partial(empirical.ntk, apply, params, x))
    taken, reference = turns(rounds, own, gemm_rate())
    return [100 * r * flop / t for t, r in zip(taken, reference, strict=True)]


def memory_over_plan(rounds, rivals, *, name, points, k, **sizes):
    """Peak memory of the tiles of Θ, over what `plan` says before."""
    found = in_a_process(f"""
from benchmarks.networks import network
from ntkpipe.kernels import tiles

def all_tiles(apply, params, x):
    for tile in tiles.tiles(apply, params, x):
        last = tile.theta
    return last

small = network({name!r}, 16, {k}, **{SMALL[name]!r})
all_tiles(*small)
given = jax.block_until_ready(network({name!r}, {points}, {k}, **{sizes!r})[1:])
apply = network({name!r}, 1, {k}, **{sizes!r})[0]
said = tiles.plan(apply, *given).bytes / 1e9
print(peak(lambda: all_tiles(apply, *given)) / said)
""")
    return [float(found)]


def compiling(rounds, rivals, *, name, points, k, **sizes):
    """Seconds from the call to the first Θ of few points, in a new process."""
    found = in_a_process(f"""
import time
from benchmarks.networks import network
given = jax.block_until_ready(network({name!r}, {points}, {k}, **{sizes!r})[1:])
apply = network({name!r}, 1, {k}, **{sizes!r})[0]
begin = time.perf_counter()
jax.block_until_ready(empirical.ntk(apply, *given))
print(time.perf_counter() - begin)
""")
    return [float(found)]


def _row(what, name, points, k, sense, target, unit, measure, text, rounds=5, **more):
    sizes = {"name": name, "points": points, "k": k, **more}
    return Row(
        f"network/{what}/{name}/{points}/{k}",
        f"{text}: {TITLES[name]}, N = {points:,}, k = {k}",
        sense,
        target,
        unit,
        measure,
        sizes,
        sizes | SMALL[name] | {"points": 6},
        rounds,
    )


def _neural_tangents(name, points, k):
    """Its implementations; the second takes minutes for more points or outputs."""
    which = (1, 2, 3) if points <= 64 and k == 1 else (1, 3)
    case = {"case": "any_network", "patched": True}
    return [("neural_tangents", case | {"implementation": i}) for i in which]


SIZES = [
    ("cnn", 64, 1, 1.5),
    ("cnn", 256, 1, 1.5),
    ("cnn", 64, 10, 1.4),
    ("resnet", 64, 1, 1.5),
    ("resnet", 256, 1, 1.5),
    ("resnet", 64, 10, 1.4),
    ("attention", 256, 1, 1.2),
    ("attention", 64, 10, 1.4),
]
TORCH = {"case": "tutorial_cnn", "threads": os.cpu_count()}
ROWS = [
    *(
        _row(
            *("best", name, points, k, "≥", target, "×", against_rival),
            "Θ against the best of neural-tangents, patched",
            cases=_neural_tangents(name, points, k),
        )
        for name, points, k, target in SIZES
    ),
    *(
        _row(
            *("jacrev", name, points, k, "≥", target, "×", against_jacobians),
            "Θ against Jacobians of JAX, one a point",
        )
        for name, points, k, target in SIZES
    ),
    *(
        _row(
            *("gemm", name, points, k, "≥", target, "%", of_the_gemm_rate),
            "FLOPs of Θ over the GEMM rate",
        )
        for name, points, k, target in [
            ("cnn", 256, 1, 40),
            ("cnn", 64, 10, 40),
            ("resnet", 256, 1, 40),
            ("resnet", 64, 10, 40),
            ("attention", 256, 1, 30),
            ("attention", 64, 10, 30),
        ]
    ),
    *(
        _row(
            *("tutorial", "cnn", 64, k, "≥", target, "×", against_rival),
            "Θ against torch.func's tutorial",
            3,
            cases=[("torch", TORCH)],
        )
        for k, target in [(1, 5), (10, 2)]
    ),
    _row(
        *("memory", "resnet", 1024, 1, "≤", 1.3, "×", memory_over_plan),
        "Memory of the tiles of Θ over what the plan says",
        1,
    ),
    _row(
        *("compile", "resnet", 16, 1, "≤", 3, "s", compiling),
        "The first Θ, traced and compiled",
        1,
    ),
]
