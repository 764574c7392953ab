"""Kernels of any size: on disk, reduced on the fly, or never formed at all.

`empirical.tiles` gives Θ square by square. Here the squares go to a file (`save`), or
into sums (`reduce`, `compare`), so that two kernels of 60,000 points are compared
exactly in the memory of their signals and a few squares. What is said of work and
memory before it begins is in the log.

Products Θv without Θ cost one backward and one forward pass of all points
(`vector_product`): extreme eigenvalues by Lanczos (`extreme_eigenvalues`), and an
estimate of ‖Θ₁ − Θ₀‖ where that is cheaper than the sum over squares (`change`).
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
"""Largest relative difference of Θv from its jvp of a vjp that is rounding."""


def save(path: str | Path, apply: Apply, params, x1, x2=None, **options) -> np.ndarray:
    """Write Θ(x1, x2) to `path`, a .npy file (n k m k), and return it mapped.

    Both triangles are written, so that any rows can be read by themselves.

    Args:
        path: the file, made or overwritten.
        apply: network `apply(params, x, site)`.
        params: its parameters.
        x1: points (n d).
        x2: points (m d); default x1.
        **options: of `empirical.tiles`, but `layers`.

    Raises:
        OSError: the disk is too small.
        ValueError: `layers="each"`, which has no one file.
    """
    if options.get("layers") == "each":
        raise ValueError("a file holds one kernel: layers='each' has several")
    cut = _announce(apply, params, x1, x2, options)
    free = shutil.disk_usage(Path(path).parent).free
    if cut.kernel_bytes > free:
        raise OSError(
            f"{path} would take {cut.kernel_bytes / 1e9:.1f} GB and "
            f"{free / 1e9:.1f} GB are free there: choose another disk, "
            "`outputs='trace'`, or `reduce`, which stores nothing"
        )
    dtype = tiles.output(apply, params, x1).dtype
    kernel = np.lib.format.open_memmap(path, "w+", dtype, cut.shape)
    for square in tiles.tiles(apply, params, x1, x2, **options):
        place(kernel, square.rows, square.columns, square.theta, square.mirrored)
    kernel.flush()
    return np.load(path, mmap_mode="r")


def reduce(function: Callable, *kernels: Iterable[Tile]):
    """Σ over all squares of function(rows, columns, Θ₁, Θ₂, …), nothing is stored.

    Of a symmetric kernel the mirrored squares are handed over as well.

    Args:
        function: of two slices and one square (a k b k) of each kernel, to a tree of
            numbers or arrays, which are added in float64.
        *kernels: what `empirical.tiles` gives for the same points.

    Raises:
        ValueError: the kernels are cut differently, or their squares are dicts.
    """
    total = None
    for squares in _alike(*kernels):
        rows, columns, _, mirrored = squares[0]
        thetas = [square.theta for square in squares]
        parts = [function(rows, columns, *thetas)]
        if mirrored:
            flipped = [theta.transpose(2, 3, 0, 1) for theta in thetas]
            parts.append(function(columns, rows, *flipped))
        for part in parts:
            part = jax.tree.map(partial(np.asarray, dtype=float), part)
            total = part if total is None else jax.tree.map(operator.add, total, part)
    return total


def _alike(*kernels: Iterable[Tile]) -> Iterator[tuple[Tile, ...]]:
    """The squares of several kernels at the same place."""
    for squares in zip(*kernels, strict=True):
        if any(isinstance(s.theta, dict) for s in squares):
            raise ValueError("squares of each layer (layers='each') are not added up")
        if len({(str(s.rows), str(s.columns), s.mirrored) for s in squares}) > 1:
            raise ValueError(
                "the kernels are cut differently: give `tiles` of all of them the same "
                "`tile` and `budget`"
            )
        yield squares


def _announce(apply, params, x1, x2, options) -> tiles.Plan:
    """Say what is about to be computed."""
    options = dict(options)
    devices = options.pop("devices", None) or jax.local_devices()
    cut = tiles.plan(apply, params, x1, x2, devices=len(devices), **options)
    log.info("%s", cut)
    return cut


class Comparison(NamedTuple):
    """Θ₀ = Θ(before) against Θ₁ = Θ(after), float64."""

    change: float  # ‖Θ₁ − Θ₀‖/‖Θ₀‖, Frobenius norms
    cosine_distance: float  # 1 − ⟨Θ₀, Θ₁⟩/(‖Θ₀‖‖Θ₁‖)
    trace_ratio: float  # tr Θ₁/tr Θ₀
    norms: tuple[float, float]  # ‖Θ₀‖, ‖Θ₁‖
    centred_cosine: float  # ⟨HΘ₀H, HΘ₁H⟩/(‖HΘ₀H‖‖HΘ₁H‖), traced over outputs
    alignments: tuple[float, float]  # of either with y, NaN without y
    errors: tuple[float, float]  # of Θv against the jvp of a vjp, NaN if not checked


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

    With Δ = Θ₁ − Θ₀ the sums Σ Θ₀², Σ Θ₁², Σ Δ² and Σ Δ(Θ₀ + Θ₁) are all it takes:
    ‖Θ₁‖ − ‖Θ₀‖ = ⟨Δ, Θ₀ + Θ₁⟩/(‖Θ₀‖ + ‖Θ₁‖), and the cosine distance is
    ½(‖Δ‖² − (‖Θ₁‖ − ‖Θ₀‖)²)/(‖Θ₀‖‖Θ₁‖), which keeps the digits that 1 − cos loses.
    Centring, H = 1 − 11ᵀ/n, is done on the sums by the row sums Θ1. Alignment with
    y is that of `constancy.alignment` (Cortes et al. 2012), of the traced kernel.

    On the way Θv is added up for one random v and held against one vjp and one jvp.

    Args:
        apply: network `apply(params, x, site)`.
        before: parameters of Θ₀.
        after: parameters of Θ₁.
        x: points (n d).
        y: targets (n k) to align with, if any.
        outputs: `full`, or `trace` over outputs divided by k.
        check: hold Θv against its product.
        key: of v; default key 0.
        budget: bytes for both kernels; default half of what is free.
        **options: `tile` and `devices` of `empirical.tiles`.

    Raises:
        ArithmeticError: Θv is not the jvp of the vjp.
    """
    budget = free_memory() / 2 if budget is None else budget
    options |= {"outputs": outputs, "budget": budget / 2}
    log.info("two kernels side by side, each takes what follows")
    cut = _announce(apply, before, x, None, options)
    n, k = cut.shape[:2]
    y = np.zeros((n, 0)) if y is None else np.asarray(y, float).reshape(n, -1)
    centred = y - y.mean(0)
    known = np.hstack([np.ones((n, 1)), centred])  # traced kernels act on these
    key = jax.random.key(0) if key is None else key
    v = np.asarray(jax.random.normal(key, (n, k)), float)
    scalars = np.zeros(9)
    acted = np.zeros((2, *known.shape))
    products = np.zeros((2, *v.shape))
    squares = _alike(
        tiles.tiles(apply, before, x, **options),
        tiles.tiles(apply, after, x, **options),
    )
    # XLA has all cores: threads of BLAS would wait for one, ten times as long
    with threadpool_limits(1, "blas"):
        for a, b in squares:
            i, j, mirrored = a.rows, a.columns, a.mirrored
            sums, right, left = _sums(
                a.theta, b.theta, known[i], known[j], v[i], v[j], mirrored
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


def _sums(a, b, known_i, known_j, v_i, v_j, mirrored):
    """What one square of Θ₀ and of Θ₁ adds, float64: sums, products, their mirrors."""
    pair = [np.asarray(theta, float) for theta in (a, b)]
    k = pair[0].shape[1]
    # in numpy: float64 also where JAX has it switched off
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
    right = [t @ known_j for t in traced], [t @ v_j.ravel() for t in pair]
    left = [t.T @ known_i for t in traced], [t.T @ v_i.ravel() for t in pair]
    return np.array(sums), right, left


@np.errstate(divide="ignore", invalid="ignore")
def _comparison(scalars, acted, centred, errors) -> Comparison:
    """The numbers of a `Comparison` from its sums; NaN where a kernel is zero."""
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
    """Θ(x, x) v, v (n k), in chunks of points: Jᵀv is summed, then J of it is taken.

    The learning rates that the dense layers state are those of Θ.

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
    """‖Θv − J(Jᵀv)‖/‖J(Jᵀv)‖ for one random v: the closed form against autodiff.

    Cheap for a few dozen points, which is enough to find a network that the closed
    form does not hold for (one whose samples see each other, as in batch norm).

    Args:
        apply: network `apply(params, x, site)`.
        params: its parameters.
        x: points (n d).
        outputs: `full` or `trace`.
        key: of v; default key 0.

    Raises:
        ArithmeticError: the difference is no rounding error.
    """
    theta = np.asarray(empirical.ntk(apply, params, x, outputs=outputs), float)
    key = jax.random.key(0) if key is None else key
    v = np.asarray(jax.random.normal(key, theta.shape[:2]), float)
    product = np.einsum("nimj,mj->ni", theta, v)
    return _checked(apply, params, x, v, product, outputs)


def _checked(apply, params, x, v, product, outputs) -> float:
    """Relative difference of Θv, as it was found, from its product by autodiff."""
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
    size = np.linalg.norm(expected) or 1.0  # a kernel of zeros differs by nothing
    error = float(np.linalg.norm(product - expected) / size)
    if not error < TOLERANCE[y.dtype.name]:
        raise ArithmeticError(
            f"Θv differs by {error:.1e} from the jvp of the vjp: do samples see each "
            "other (batch norm)?"
        )
    return error


class Extremes(NamedTuple):
    """Smallest and largest eigenvalue, and how far at most an eigenvalue is away."""

    low: float
    high: float
    low_error: float
    high_error: float
    products: int


def lanczos(product: Callable, start: np.ndarray, iterations: int) -> Extremes:
    """Extreme eigenvalues of a symmetric operator, with full reorthogonalisation.

    Errors are residual norms |β_m s_m| of the Ritz vectors: some eigenvalue is as near
    as that. The largest of an NTK takes about 10 products. The smallest is found too
    large, and no bound tells how much: see its error, or form the kernel.

    Args:
        product: A v for arrays v of the shape of `start`.
        start: where to begin, random.
        iterations: products at most.

    Raises:
        ValueError: there is nothing to begin with.

    Source: Golub & Van Loan, Matrix Computations, §10.1.
    """
    if iterations < 1 or not np.any(start):
        raise ValueError("`iterations` must be at least 1, and `start` not be zero")
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
    """‖Θ₁ − Θ₀‖/‖Θ₀‖, and its standard error, 0 where it is exact."""

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
    """‖Θ₁ − Θ₀‖/‖Θ₀‖ by whichever is cheaper: exact squares, or random products.

    A product Θv is 12 FLOP a weight and point, the exact kernel grows with the square
    of the points and of the outputs: 16 probes are fewer FLOPs where N(1 + k²) is above
    150 widths, that is 75,000 points of one output at width 1,000, or 1,500 of ten; and
    from fewer where parameters have no closed form.

    Args:
        apply: network `apply(params, x, site)`.
        before: parameters of Θ₀.
        after: parameters of Θ₁.
        x: points (n d).
        probes: products with Θ₁ − Θ₀, and as many with Θ₀, at least 8.
        method: `auto`, or the one that is wanted.
        key: of the random vectors; default key 0.
        chunk: points at a time of a product.
        **options: of `compare`, for the exact one.

    Raises:
        ValueError: there is no such method, or an estimate of a traced kernel is asked
            for.
    """
    if method not in (known := ("auto", "exact", "estimate")):
        raise ValueError(f"method: {', '.join(known)}; not {method!r}")
    if options.get("outputs") == "trace":
        if method == "estimate":
            raise ValueError("a traced kernel is compared exactly: method='exact'")
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

    ‖A‖² = ‖AQ‖² + ‖A(1 − QQᵀ)‖²: a quarter of the products finds the range Q of the
    few large eigenvalues, a quarter makes its part exact, and half of them estimate
    the rest without bias, as E‖A(1 − QQᵀ)g‖² with normal g (Hutch++,
    Meyer, Musco, Musco & Woodruff 2021, 2010.09649, for A²).

    Args:
        product: A v for arrays v of `shape`.
        shape: of v.
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
