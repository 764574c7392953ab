"""Kernels of any size: on disk, reduced on the fly, or never formed at all.

`tiles.tiles` yields Θ tile by tile. The functions here write the tiles to a file
(`save`) or add them up (`reduce`, `compare`). Two kernels of 60,000 points are thus
compared exactly in the memory of their signals and a few tiles. The log states the work
and the memory before a computation begins.

A product Θv without Θ costs one backward and one forward pass of all points
(`vector_product`). With such products, `extreme_eigenvalues` runs Lanczos, and `change`
estimates ‖Θ₁ − Θ₀‖ where the estimate is cheaper than the sum over tiles.
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
import jax.numpy as jnp
import numpy as np
from threadpoolctl import threadpool_limits

from ntkpipe.kernels import empirical, taps, tiles
from ntkpipe.kernels.assemble import place
from ntkpipe.kernels.compare import matrix
from ntkpipe.kernels.devices import free_memory
from ntkpipe.kernels.taps import Apply, Outputs
from ntkpipe.kernels.tiles import Tile

log = logging.getLogger("ntkpipe")


TOLERANCE = {"float64": 1e-9, "float32": 1e-3}
"""Relative difference of Θv and J(Jᵀv) up to which it is rounding."""


def save(path: str | Path, apply: Apply, params, x1, x2=None, **options) -> np.ndarray:
    """Write Θ(x1, x2) to a .npy file (n k m k) and return the memory-mapped array.

    Both triangles are written, so that any rows can be read alone.

    Args:
        path: the file, created or overwritten.
        apply: network `apply(params, x, site)`.
        params: its parameters.
        x1: points (n d).
        x2: points (m d); default x1.
        **options: options of `tiles.tiles` other than `layers`.

    Raises:
        OSError: the disk is too small.
        ValueError: `layers="each"`, as one file holds one kernel.
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

    Of a symmetric kernel, the function is also called with the transposed tiles below
    the diagonal.

    Args:
        function: takes two slices and one tile (a k b k) of each kernel, and returns a
            tree of numbers or arrays. The trees are added in float64.
        *kernels: iterators of `tiles.tiles` for the same points.

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
                "the kernels are cut differently: give `tiles` of all of them the same "
                "`tile` and `budget`"
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
    **options,
) -> Comparison:
    """How far Θ moved between two sets of parameters, exactly, in bounded memory.

    With Δ = Θ₁ − Θ₀ the sums Σ Θ₀², Σ Θ₁², Σ Δ² and Σ Δ(Θ₀ + Θ₁) suffice:
    ‖Θ₁‖ − ‖Θ₀‖ = ⟨Δ, Θ₀ + Θ₁⟩/(‖Θ₀‖ + ‖Θ₁‖), and the cosine distance is
    ½(‖Δ‖² − (‖Θ₁‖ − ‖Θ₀‖)²)/(‖Θ₀‖‖Θ₁‖), which keeps the digits that 1 − cos loses.
    The sums are centred, H = 1 − 11ᵀ/n, by the row sums Θ1. The alignment with y is
    `kernels.compare.alignment` (Cortes et al. 2012) of the traced kernel.

    As a check, Θv is summed for one random v and compared with J(Jᵀv).

    Args:
        apply: network `apply(params, x, site)`.
        before: parameters of Θ₀.
        after: parameters of Θ₁.
        x: points (n d).
        y: targets (n k) for the alignment; optional.
        outputs: `full`, or `trace` over outputs divided by k.
        check: compare Θv with J(Jᵀv).
        key: random key of v; default key 0.
        budget: bytes for both kernels; default half of the free memory.
        **options: `tile` and `devices` of `tiles.tiles`.

    Raises:
        ArithmeticError: Θv and J(Jᵀv) differ by more than rounding.
    """
    budget = free_memory() / 2 if budget is None else budget
    options |= {"outputs": outputs, "budget": budget / 2}
    log.info("two kernels at the same time; each of them needs:")
    cut = _announce(apply, before, x, None, options)
    n, k = cut.shape[:2]
    y = np.zeros((n, 0)) if y is None else np.asarray(y, float).reshape(n, -1)
    centred = y - y.mean(0)
    vectors = np.hstack([np.ones((n, 1)), centred])  # multiplied by traced kernels
    key = jax.random.key(0) if key is None else key
    v = np.asarray(jax.random.normal(key, (n, k)), float)
    scalars = np.zeros(9)
    acted = np.zeros((2, *vectors.shape))
    products = np.zeros((2, *v.shape))
    pairs = _aligned(
        tiles.tiles(apply, before, x, **options),
        tiles.tiles(apply, after, x, **options),
    )
    # XLA uses all cores: with threads of its own, BLAS takes ten times as long
    with threadpool_limits(1, "blas"):
        for a, b in pairs:
            i, j, mirrored = a.rows, a.columns, a.mirrored
            sums, right, left = _sums(
                a.theta, b.theta, vectors[i], vectors[j], v[i], v[j], mirrored
            )
            scalars += (1 + mirrored) * sums
            acted[:, i] += right[0]
            products[:, i] += np.reshape(right[1], (2, -1, k))
            if mirrored:
                acted[:, j] += left[0]
                products[:, j] += np.reshape(left[1], (2, -1, k))
    errors = (math.nan, math.nan)
    if check:
        errors = (
            _checked(apply, before, x, v, products[0], outputs),
            _checked(apply, after, x, v, products[1], outputs),
        )
    return _comparison(scalars, acted, centred, errors)


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


def vector_product(apply: Apply, params, x, v, *, chunk: int = 1024) -> np.ndarray:
    """Θ(x, x) v = J(Jᵀv) for v (n k), in chunks of points.

    Jᵀv is summed over all chunks before J is applied. Θ has the learning rates that the
    dense layers state.

    Args:
        apply: network `apply(params, x, site)`.
        params: its parameters.
        x: points (n d).
        v: (n k).
        chunk: points at a time.

    Raises:
        ValueError: v has another shape.
    """
    y = tiles.output(apply, params, x)
    v = np.asarray(v, y.dtype)
    if v.shape != (shape := (len(x), y.shape[1])):
        raise ValueError(f"v has the shape {v.shape}, not {shape}")
    chunk = min(chunk, len(x))
    chunks = tiles.chunks(x, chunk)
    pulled = None
    for rows, points in chunks:
        padded = np.zeros((chunk, v.shape[1]), v.dtype)
        padded[: rows.stop - rows.start] = v[rows]
        part = _pull(apply, params, points, padded)
        pulled = part if pulled is None else _add(pulled, part)
    parts = [
        np.asarray(_push(apply, params, points, pulled))[: rows.stop - rows.start]
        for rows, points in chunks
    ]
    return np.concatenate(parts)


@partial(jax.jit, static_argnames="apply")
@jax.default_matmul_precision("highest")
def _pull(apply, params, x, v):
    return jax.vjp(lambda p: apply(p, x), params)[1](v)[0]


@partial(jax.jit, static_argnames="apply")
@jax.default_matmul_precision("highest")
def _push(apply, params, x, pulled):
    rates = taps.learning_rates(apply, params, x)
    direction = jax.tree.map(lambda g, rate: g * rate, pulled, rates)
    return jax.jvp(lambda p: apply(p, x), (params,), (direction,))[1]


_add = partial(jax.jit, donate_argnums=0)(partial(jax.tree.map, jnp.add))


def self_check(apply: Apply, params, x, outputs: Outputs = "full", key=None) -> float:
    """‖Θv − J(Jᵀv)‖/‖J(Jᵀv)‖ for one random v: compare `ntk` with autodiff.

    A few dozen points are cheap and enough. They reveal a network for which the
    layerwise formula is wrong because samples depend on each other, as in batch norm.

    Args:
        apply: network `apply(params, x, site)`.
        params: its parameters.
        x: points (n d).
        outputs: `full` or `trace`.
        key: random key of v; default key 0.

    Raises:
        ArithmeticError: the difference is more than rounding.
    """
    theta = np.asarray(empirical.ntk(apply, params, x, outputs=outputs), float)
    key = jax.random.key(0) if key is None else key
    v = np.asarray(jax.random.normal(key, theta.shape[:2]), float)
    product = np.einsum("nimj,mj->ni", theta, v)
    return _checked(apply, params, x, v, product, outputs)


def _checked(apply, params, x, v, product, outputs) -> float:
    """Relative difference of Θv, given as `product`, from J(Jᵀv) by autodiff."""
    y = tiles.output(apply, params, x)
    k = y.shape[1]
    if outputs == "trace":
        units = [np.where(np.arange(k) == i, v, 0.0) for i in range(k)]
        expected = sum(
            vector_product(apply, params, x, unit)[:, i : i + 1].astype(float)
            for i, unit in enumerate(units)
        )
        expected = expected / k
    else:
        expected = vector_product(apply, params, x, v).astype(float)
    size = np.linalg.norm(expected) or 1.0  # a kernel of zeros
    error = float(np.linalg.norm(product - expected) / size)
    if not error < TOLERANCE[y.dtype.name]:
        raise ArithmeticError(
            f"Θv differs by {error:.1e} from J(Jᵀv): the layerwise formula is wrong "
            "for a network whose samples see each other, as in batch norm"
        )
    return error


class Extremes(NamedTuple):
    """Smallest and largest eigenvalue, each with a bound on its distance to one."""

    low: float
    high: float
    low_error: float
    high_error: float
    products: int


def lanczos(product: Callable, start: np.ndarray, iterations: int) -> Extremes:
    """Extreme eigenvalues of a symmetric operator, with full reorthogonalisation.

    The errors are the residual norms |β_m s_m| of the Ritz vectors: some eigenvalue
    lies within this distance. The largest eigenvalue of an NTK takes about 10 products.
    The smallest is overestimated by an unknown amount: for a precise value, form the
    kernel.

    Args:
        product: v ↦ A v, for arrays v of the shape of `start`.
        start: a random start vector.
        iterations: largest number of products.

    Raises:
        ValueError: `iterations` is below 1, or `start` is zero.

    Source: Golub & Van Loan, Matrix Computations, §10.1.
    """
    if iterations < 1 or not np.any(start):
        raise ValueError("`iterations` must be at least 1, and `start` must not be 0")
    basis = [np.ravel(start).astype(float) / np.linalg.norm(start)]
    alpha, beta = [], []
    for _ in range(min(iterations, start.size)):
        w = np.ravel(product(basis[-1].reshape(start.shape))).astype(float)
        alpha.append(w @ basis[-1])
        q = np.array(basis)
        for _ in range(2):  # twice is enough (Kahan and Parlett)
            w -= q.T @ (q @ w)
        beta.append(np.linalg.norm(w))
        if beta[-1] <= 1e-14 * np.abs(alpha).max() * math.sqrt(start.size):
            break
        basis.append(w / beta[-1])
    tridiagonal = np.diag(alpha) + np.diag(beta[:-1], 1) + np.diag(beta[:-1], -1)
    values, vectors = np.linalg.eigh(tridiagonal)
    errors = np.abs(beta[-1] * vectors[-1])
    lowest, highest = float(values[0]), float(values[-1])
    return Extremes(lowest, highest, float(errors[0]), float(errors[-1]), len(alpha))


def extreme_eigenvalues(
    apply: Apply, params, x, *, iterations: int = 30, key=None, chunk: int = 1024
) -> Extremes:
    """Extreme eigenvalues of Θ(x, x)/n by `lanczos`; the kernel is never formed."""
    y = tiles.output(apply, params, x)
    key = jax.random.key(0) if key is None else key
    start = np.asarray(jax.random.normal(key, (len(x), y.shape[1])))

    def product(v):
        return vector_product(apply, params, x, v, chunk=chunk) / len(x)

    return lanczos(product, start, iterations)


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
    **options,
) -> Change:
    """‖Θ₁ − Θ₀‖/‖Θ₀‖ by the cheaper method: exact tiles, or random products.

    A product Θv takes 12 FLOP a weight and point. The exact kernel grows with the
    square of the points and of the outputs. At 16 probes the estimate is cheaper if
    N(1 + k²) > 150 n with n the width: from 75,000 points of one output at width 1,000,
    from 1,500 points of ten outputs, and earlier if parameters have no closed form.

    Args:
        apply: network `apply(params, x, site)`.
        before: parameters of Θ₀.
        after: parameters of Θ₁.
        x: points (n d).
        probes: number of products with Θ₁ − Θ₀, and also with Θ₀; at least 8.
        method: `exact`, `estimate`, or `auto` for the cheaper one.
        key: of the random vectors; default key 0.
        chunk: points at a time of a product.
        **options: options of `compare`, for the exact method.

    Raises:
        ValueError: `method` is unknown, or is `estimate` with a traced kernel.
    """
    if method not in (methods := ("auto", "exact", "estimate")):
        raise ValueError(f"method: one of {', '.join(methods)}, not {method!r}")
    if options.get("outputs") == "trace":
        if method == "estimate":
            raise ValueError(
                "outputs='trace': a traced kernel can only be compared exactly: give "
                "method='exact'"
            )
        method = "exact"
    if method == "auto":
        tiling = {k: v for k, v in options.items() if k in ("tile", "budget")}
        exact = 2 * tiles.plan(apply, before, x, **tiling).flop
        weights = sum(np.size(leaf) for leaf in jax.tree.leaves(before))
        method = "exact" if exact <= 3 * probes * 12 * len(x) * weights else "estimate"
        log.info("change of the kernel: %s, exact is %.1e FLOP", method, exact)
    if method == "exact":
        return Change(compare(apply, before, after, x, **options).change, 0.0, "exact")
    shape = (len(x), tiles.output(apply, before, x).shape[1])
    product = partial(vector_product, apply, x=x, chunk=chunk)
    key1, key2 = jax.random.split(jax.random.key(0) if key is None else key)
    moved, moved_error = frobenius(
        lambda v: product(after, v=v).astype(float) - product(before, v=v),
        shape,
        probes,
        key1,
    )
    norm, norm_error = frobenius(lambda v: product(before, v=v), shape, probes, key2)
    if not moved:
        return Change(0.0, 0.0, "estimate")
    value = moved / norm
    return Change(
        value, value * math.hypot(moved_error / moved, norm_error / norm), "estimate"
    )


def frobenius(
    product: Callable, shape: tuple[int, ...], probes: int, key
) -> tuple[float, float]:
    """Estimate of ‖A‖_F of a symmetric operator, and its standard error.

    ‖A‖² = ‖AQ‖² + ‖A(1 − QQᵀ)‖². A quarter of the products finds the range Q of the few
    large eigenvalues. A quarter computes ‖AQ‖² exactly. Half of the products estimate
    the second term without bias as E‖A(1 − QQᵀ)g‖² with normal g (Hutch++,
    Meyer, Musco, Musco & Woodruff 2021, 2010.09649, for A²).

    Args:
        product: v ↦ A v, for arrays v of `shape`.
        shape: the shape of v.
        probes: number of products, at least 8.
        key: of the random vectors.
    """
    if probes < 8:
        raise ValueError(f"`probes` must be at least 8, it is {probes}")
    size, sketch = math.prod(shape), probes // 4

    def act(columns):
        return np.stack(
            [np.ravel(product(v.reshape(shape))).astype(float) for v in columns.T], 1
        )

    normal = np.asarray(jax.random.normal(key, (size, probes - sketch)), float)
    q, _ = np.linalg.qr(act(normal[:, :sketch]))
    rest = normal[:, sketch:]
    rest = rest - q @ (q.T @ rest)
    squares = np.sum(act(rest) ** 2, 0)
    total = np.sum(act(q) ** 2) + squares.mean()
    if not total:
        return 0.0, 0.0
    spread = squares.std(ddof=1) / math.sqrt(len(squares))
    return math.sqrt(total), float(spread / (2 * math.sqrt(total)))
