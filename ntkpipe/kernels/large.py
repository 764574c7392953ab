"""Kernels larger than memory: written to disk, or reduced tile by tile.

`tiles.tiles` yields Θ tile by tile. The functions here write the tiles to a file
(`save`) or add them up (`reduce`, `compare`). Two kernels of 60,000 points are thus
compared exactly in the memory of their signals and a few tiles. The log states the work
and the memory before a computation begins. `change` estimates ‖Θ₁ − Θ₀‖ from products
Θv where the estimate is cheaper than the sum over tiles.

`apply` is a network `apply(params, x)`, x are points (n …), and `key` is a random
key, by default key 0. Options are those of `tiles.plan` and `tiles.tiles`.
"""

import logging
import math
import operator
import shutil
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import jax
import numpy as np
from threadpoolctl import threadpool_limits

from ntkpipe.kernels import tiles
from ntkpipe.kernels.assemble import place
from ntkpipe.kernels.compare import matrix
from ntkpipe.kernels.devices import free_memory
from ntkpipe.kernels.products import checked, frobenius, vector_product
from ntkpipe.kernels.signals import Outputs
from ntkpipe.kernels.tiles import Tile
from ntkpipe.kernels.uses import Apply

log = logging.getLogger("ntkpipe")


def save(path: str | Path, apply: Apply, params, x1, x2=None, **options) -> np.ndarray:
    """Write Θ(x1, x2) to a .npy file (n k m k) and return the memory-mapped array.

    The file is created or overwritten. Both triangles are written, so that any rows can
    be read alone.

    Raises:
        OSError: the disk is too small.
        ValueError: `layers="each"`, because one file holds one kernel.
    """
    if options.get("layers") == "each":
        raise ValueError("a file holds one kernel: leave out layers='each'")
    cut = _announce(apply, params, x1, x2, options)
    free = shutil.disk_usage(Path(path).parent).free
    if cut.kernel_bytes > free:
        raise OSError(
            f"{path} needs {cut.kernel_bytes / 1e9:.1f} GB, its disk has "
            f"{free / 1e9:.1f} GB free: choose another disk, "
            "`outputs='trace'`, or `reduce`, which stores nothing"
        )
    dtype = tiles.output(apply, params, x1).dtype
    kernel = np.lib.format.open_memmap(path, "w+", dtype, cut.shape)
    for tile in tiles.tiles(apply, params, x1, x2, **options):
        place(kernel, tile.rows, tile.columns, tile.theta, tile.mirrored)
    kernel.flush()
    return np.load(path, mmap_mode="r")


def reduce(function: Callable, *kernels: Iterable[Tile]):
    """Σ over all tiles of function(rows, columns, Θ₁, Θ₂, …); no kernel is stored.

    `function` takes two slices and one tile (a k b k) of each kernel, and returns a
    tree of numbers or arrays. The trees are added in float64. For a symmetric kernel,
    the function is also called with the transposed tiles below the diagonal.

    Raises:
        ValueError: the kernels are cut differently, or their tiles are dicts.
    """
    total = None
    for group in _aligned(*kernels):
        rows, columns, _, mirrored = group[0]
        thetas = [tile.theta for tile in group]
        parts = [function(rows, columns, *thetas)]
        if mirrored:
            flipped = [theta.transpose(2, 3, 0, 1) for theta in thetas]
            parts.append(function(columns, rows, *flipped))
        for part in parts:
            part = jax.tree.map(partial(np.asarray, dtype=float), part)
            total = part if total is None else jax.tree.map(operator.add, total, part)
    return total


def _aligned(*kernels: Iterable[Tile]) -> Iterator[tuple[Tile, ...]]:
    """The tiles of several kernels at the same rows and columns."""
    for group in zip(*kernels, strict=True):
        if any(isinstance(tile.theta, dict) for tile in group):
            raise ValueError(
                "only whole kernels can be added up: leave out layers='each'"
            )
        if len({(str(t.rows), str(t.columns), t.mirrored) for t in group}) > 1:
            raise ValueError(
                "the kernels are cut differently: call `tiles` for all of them with "
                "the same `tile` and `budget`"
            )
        yield group


def _announce(apply, params, x1, x2, options) -> tiles.Plan:
    """Log the plan of a computation, and return it."""
    options = dict(options)
    devices = options.pop("devices", None) or jax.local_devices()
    cut = tiles.plan(apply, params, x1, x2, devices=len(devices), **options)
    log.info("%s", cut)
    return cut


class Comparison(NamedTuple):
    """Comparison of Θ₀ = Θ(before) and Θ₁ = Θ(after) in float64."""

    change: float  # ‖Θ₁ − Θ₀‖/‖Θ₀‖, Frobenius norms
    cosine_distance: float  # 1 − ⟨Θ₀, Θ₁⟩/(‖Θ₀‖‖Θ₁‖)
    trace_ratio: float  # tr Θ₁/tr Θ₀
    norms: tuple[float, float]  # ‖Θ₀‖, ‖Θ₁‖
    centred_cosine: float  # ⟨HΘ₀H, HΘ₁H⟩/(‖HΘ₀H‖‖HΘ₁H‖), traced over outputs
    alignments: tuple[float, float]  # of Θ₀ and of Θ₁ with y; NaN without y
    errors: tuple[float, float]  # ‖Θv − J(Jᵀv)‖/‖J(Jᵀv)‖ of both; NaN if unchecked


def compare(
    apply: Apply,
    before,
    after,
    x,
    y=None,
    *,
    outputs: Outputs = "full",
    check: bool = True,
    key: jax.Array | None = None,
    budget: float | None = None,
    rates=None,
    **options,
) -> Comparison:
    """The change of Θ between two sets of parameters, exactly, in bounded memory.

    With Δ = Θ₁ − Θ₀ the sums Σ Θ₀², Σ Θ₁², Σ Δ² and Σ Δ(Θ₀ + Θ₁) suffice:
    ‖Θ₁‖ − ‖Θ₀‖ = ⟨Δ, Θ₀ + Θ₁⟩/(‖Θ₀‖ + ‖Θ₁‖), and the cosine distance is
    ½(‖Δ‖² − (‖Θ₁‖ − ‖Θ₀‖)²)/(‖Θ₀‖‖Θ₁‖), which keeps the digits that 1 − cos loses.
    The row sums Θ1 give the sums of centred kernels, HΘH with H = 1 − 11ᵀ/n. The
    alignment with y is `kernels.compare.alignment` (Cortes et al. 2012) of the traced
    kernel.

    `before` and `after` are the parameters of Θ₀ and Θ₁, y the targets (n k). `budget`
    is the number of bytes for both kernels together. With `check`, Θv is computed from
    the tiles for one random v and compared with J(Jᵀv).

    Raises:
        ArithmeticError: Θv and J(Jᵀv) differ by more than rounding.
    """
    budget = free_memory() / 2 if budget is None else budget
    options |= {"outputs": outputs, "budget": budget / 2, "rates": rates}
    log.info("two kernels at the same time; each of them needs:")
    cut = _announce(apply, before, x, None, options)
    n, k = cut.shape[:2]
    y = np.zeros((n, 0)) if y is None else np.asarray(y, float).reshape(n, -1)
    centred = y - y.mean(0)
    vectors = np.hstack([np.ones((n, 1)), centred])  # multiplied by traced kernels
    key = jax.random.key(0) if key is None else key
    v = np.asarray(jax.random.normal(key, (n, k)), float)
    kernels = [tiles.tiles(apply, params, x, **options) for params in (before, after)]
    scalars, acted, (first, second) = _totals(kernels, vectors, v)
    errors = (math.nan, math.nan)
    if check:
        errors = (
            checked(apply, before, x, v, first, outputs, rates),
            checked(apply, after, x, v, second, outputs, rates),
        )
    return _comparison(scalars, acted, centred, errors)


def _totals(kernels, vectors, v):
    """`_sums` of two kernels over all tiles, and the kernels' products with vectors."""
    scalars = np.zeros(9)
    acted, products = np.zeros((2, *vectors.shape)), np.zeros((2, *v.shape))
    # XLA uses all cores already: with several threads, BLAS takes ten times as long
    with threadpool_limits(1, "blas"):
        for a, b in _aligned(*kernels):
            i, j, mirrored = a.rows, a.columns, a.mirrored
            sums, right, left = _sums(
                a.theta, b.theta, vectors[i], vectors[j], v[i], v[j], mirrored
            )
            scalars += (1 + mirrored) * sums
            acted[:, i] += right[0]
            products[:, i] += np.reshape(right[1], (2, -1, v.shape[1]))
            if mirrored:
                acted[:, j] += left[0]
                products[:, j] += np.reshape(left[1], (2, -1, v.shape[1]))
    return scalars, acted, products


def _sums(a, b, vectors_i, vectors_j, v_i, v_j, mirrored):
    """One tile's part of all sums, and its products and those of its transpose."""
    pair = [np.asarray(theta, float) for theta in (a, b)]
    k = pair[0].shape[1]
    # NumPy computes in float64 even if JAX has 64-bit numbers switched off
    traced = [
        sum(t[:, i, :, i] for i in range(k)) / k if k > 1 else t[:, 0, :, 0]
        for t in pair
    ]
    pair = [matrix(t) for t in pair]
    delta, both = pair[1] - pair[0], pair[1] + pair[0]
    factors = [(t, t) for t in (*pair, delta)] + [(delta, both)]
    factors += [(t, t) for t in traced] + [(traced[0], traced[1])]
    sums = [np.vdot(p, q) for p, q in factors]
    sums += [0.0 if mirrored else np.trace(t) for t in pair]
    right = [t @ vectors_j for t in traced], [t @ v_j.ravel() for t in pair]
    left = [t.T @ vectors_i for t in traced], [t.T @ v_i.ravel() for t in pair]
    return np.array(sums), right, left


@np.errstate(divide="ignore", invalid="ignore")
def _comparison(scalars, acted, centred, errors) -> Comparison:
    """A `Comparison` from its sums; NaN if a kernel is zero."""
    a2, b2, delta2, both, *traced, trace_a, trace_b = scalars
    n = len(centred)
    norm_a, norm_b = np.sqrt([a2, b2])
    gap = both / (norm_a + norm_b)
    rows = acted[:, :, 0]
    # ⟨HAH, HBH⟩ = ⟨A, B⟩ − (2/n) A1·B1 + (1ᵀA1)(1ᵀB1)/n²
    caa, cbb, cab = (
        t - 2 / n * (rows[p] @ rows[q]) + rows[p].sum() * rows[q].sum() / n**2
        for t, p, q in zip(traced, (0, 1, 0), (0, 1, 1), strict=True)
    )
    target = np.linalg.norm(centred.T @ centred)
    inner = np.sum(centred * acted[:, :, 1:], axis=(1, 2))
    alignments = inner / (np.sqrt([caa, cbb]) * target)
    distance = (delta2 - gap**2) / (2 * norm_a * norm_b)
    return Comparison(
        change=float(np.sqrt(delta2) / norm_a),
        cosine_distance=float(np.maximum(distance, 0)),
        trace_ratio=float(trace_b / trace_a),
        norms=(float(norm_a), float(norm_b)),
        centred_cosine=float(cab / np.sqrt(caa * cbb)),
        alignments=tuple(alignments.tolist()),
        errors=errors,
    )


class Change(NamedTuple):
    """‖Θ₁ − Θ₀‖/‖Θ₀‖ and its standard error, which is 0 for the exact method."""

    value: float
    error: float
    method: str


def change(
    apply: Apply,
    before,
    after,
    x,
    *,
    probes: int = 16,
    method: Literal["auto", "exact", "estimate"] = "auto",
    key=None,
    chunk: int = 1024,
    rates=None,
    **options,
) -> Change:
    """‖Θ₁ − Θ₀‖/‖Θ₀‖ by the cheaper method: exact tiles, or random products.

    A product Θv takes 12 FLOP per weight and point. The cost of the exact kernel grows
    with the square of the number of points and of outputs. At 16 probes the estimate is
    cheaper if N(1 + k²) > 150 n with n the width. At width 1,000 this means 75,000
    points with one output, 1,500 points with ten outputs, and fewer points if some
    parameters have no closed form.

    `before` and `after` are the parameters of Θ₀ and Θ₁. `probes`, at least 8, is the
    number of products with Θ₁ − Θ₀, and the number of products with Θ₀. `chunk` is the
    number of points that a product takes at a time. The exact method takes the options
    of `compare`.

    Raises:
        ValueError: `method` is unknown, or is `estimate` with a traced kernel.
    """
    if method not in (methods := ("auto", "exact", "estimate")):
        raise ValueError(f"method: one of {', '.join(methods)}, not {method!r}")
    if options.get("outputs") == "trace":
        if method == "estimate":
            raise ValueError(
                "outputs='trace': a traced kernel can only be compared exactly; use "
                "method='exact'"
            )
        method = "exact"
    if method == "auto":
        tiling = {k: v for k, v in options.items() if k in ("tile", "budget")}
        exact = 2 * tiles.plan(apply, before, x, rates=rates, **tiling).flop
        weights = sum(np.size(leaf) for leaf in jax.tree.leaves(before))
        method = "exact" if exact <= 3 * probes * 12 * len(x) * weights else "estimate"
        log.info("change of the kernel: %s, exact is %.1e FLOP", method, exact)
    if method == "exact":
        found = compare(apply, before, after, x, rates=rates, **options)
        return Change(found.change, 0.0, "exact")
    shape = (len(x), tiles.output(apply, before, x).shape[1])
    product = partial(vector_product, apply, x=x, chunk=chunk, rates=rates)
    key1, key2 = jax.random.split(jax.random.key(0) if key is None else key)

    def difference(v):
        return product(after, v=v).astype(float) - product(before, v=v)

    moved, moved_error = frobenius(difference, shape, probes, key1)
    norm, norm_error = frobenius(lambda v: product(before, v=v), shape, probes, key2)
    if not moved:
        return Change(0.0, 0.0, "estimate")
    value, relative = moved / norm, math.hypot(moved_error / moved, norm_error / norm)
    return Change(value, value * relative, "estimate")
