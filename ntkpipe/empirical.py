"""The empirical NTK, layer by layer in closed form.

For a dense layer z = s·h W + t·β the gradient of output i at input x with respect to
W is s·h(x) δ_i(x)ᵀ with δ_i = ∂f_i/∂z, hence

    Θ(x, x')_ij = Σ_l (η_l s_l² h_l(x)·h_l(x') + η'_l t_l²) (δ_li(x)·δ_lj(x')),

where η_l, η'_l are the layer's relative learning rates (1 unless the parametrisation
says otherwise), so that Θ is the kernel that gradient descent follows. One forward
and one backward pass give h and δ; no Jacobian is ever formed
(Novak, Sohl-Dickstein & Schoenholz 2022, "structured derivatives").

Parameters that no dense layer reads (a gain, a convolution, a weight used twice)
enter by their Jacobian, one sample at a time, so that any `apply` has its kernel.

A kernel of n × m points and k outputs is an array (n k m k), also for k = 1; traced
over outputs it is (n 1 m 1) and means tr_k(Θ)/k. `ntk` gives it whole; `tiles` gives
it square by square and needs no memory for more than one of them.
"""

import collections
import inspect
import math
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ntkpipe.constancy import matrix as matrix
from ntkpipe.models import Scale, dense
from ntkpipe.squares import aligned, place

Array = jax.Array
Apply = Callable[..., Array]
Outputs = Literal["full", "trace"]
Layers = Literal["sum", "each"]

WHOLE = 2048
"""Up to so many rows N·k `ntk` is one compiled expression; above it is made of tiles.

Measured on two cores, float32, ms as one expression / as tiles: N = 300, width 64:
0.4 / 1.4; 512, 1024: 11 / 18; 1024, 1024: 28 / 35; 1024, 128: 3.2 / 4.8; 2048, 1024:
82 / 88; 2048, 128: 15 / 17; ten outputs and width 512: 200 points 21 / 32, 512 points
117 / 112.
"""
LEAF = 256
"""Squares with so many rows are not halved further for the sake of symmetry."""
QUEUE = 8
"""Tiles computed ahead of the one that is read."""


# --- signals ----------------------------------------------------------------------


class Signals(NamedTuple):
    """What one dense layer saw: inputs h (n p) and backward signals δ (n k q).

    Of parameters that no dense layer reads, h is 1 (n 1) and δ the Jacobian (n k q).
    """

    h: Array
    delta: Array
    scale: Scale


jax.tree_util.register_pytree_node(
    Signals,
    lambda s: ((s.h, s.delta), s.scale),
    lambda scale, arrays: Signals(*arrays, scale),
)


class Heard(NamedTuple):
    """What tracing a network tells of its dense layers and its parameters."""

    taps: dict[str, tuple[jax.ShapeDtypeStruct, Scale]]  # layers in closed form
    loose: dict[int, str]  # the other parameters: index among the leaves, name
    rates: list[float]  # relative learning rate of each leaf


def hear(apply: Apply, params, x: Array) -> Heard:
    """Trace a network, without computing, for what `Heard` says of it.

    Raises:
        ValueError: two layers have one name, or a layer states a learning rate for
            what is computed from parameters and is none itself.
    """
    sites, read, rates = {}, collections.Counter(), {}

    def trace(params, x):
        index = {id(leaf): i for i, leaf in enumerate(jax.tree.leaves(params))}

        def look(name, h, layer, scale):
            if name in sites:
                raise ValueError(
                    f"two layers are called {name!r}: give each its own name"
                )
            leaves = {
                key: index.get(id(layer[key])) for key in ("w", "b") if key in layer
            }
            for key, i in leaves.items():
                rate = getattr(scale, f"lr_{key}")
                computed = i is None and isinstance(layer[key], jax.core.Tracer)
                if computed and rate not in (0, 1):
                    raise ValueError(
                        f"layer {name!r} has a learning rate of {rate:g} for {key!r}, "
                        "which is no parameter itself"
                    )
                rates[i] = rate
            read.update(leaves.values())
            # zeros for parameters: those needed all the same are read elsewhere
            layer = layer | {
                key: jnp.zeros_like(layer[key])
                for key, i in leaves.items()
                if i is not None
            }
            z = dense(name, h, layer, scale)
            if "b" not in layer:
                scale = scale._replace(b=0.0)
            rows = h.ndim == 2 and len(h) == len(x)
            sites[name] = (z, scale, tuple(leaves.values()), rows)
            return z

        return apply(params, x, look) if _listens(apply) else apply(params, x)

    read.update(_inputs_read(jax.make_jaxpr(trace)(params, x).jaxpr))
    # the closed form needs weights that are parameters themselves, each in one layer
    closed = {
        name: site
        for name, site in sites.items()
        if site[3] and all(i is not None and read[i] == 1 for i in site[2])
    }
    known = {i for _, _, leaves, _ in closed.values() for i in leaves}
    paths = jax.tree_util.tree_leaves_with_path(params)
    loose = {
        i: jax.tree_util.keystr(path)
        for i, (path, leaf) in enumerate(paths)
        if i not in known and jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)
    }
    return Heard(
        taps={
            name: (jax.ShapeDtypeStruct(z.shape, z.dtype), scale)
            for name, (z, scale, _, _) in closed.items()
        },
        loose=loose,
        rates=[rates.get(i, 1.0) for i in range(len(paths))],
    )


def _inputs_read(jaxpr) -> Iterator[int]:
    """Indices of the inputs of which the outputs of a traced function are made."""

    def variables(atoms):  # and no constants, which have a value
        return {a for a in atoms if not hasattr(a, "val")}

    needed = variables(jaxpr.outvars)
    for equation in reversed(jaxpr.eqns):
        if not needed.isdisjoint(equation.outvars):
            needed |= variables(equation.invars)
    return (i for i, v in enumerate(jaxpr.invars) if v in needed)


def _listens(apply: Apply) -> bool:
    """Whether a network takes the dense layer as its third argument."""
    try:
        inspect.signature(apply).bind(None, None, None)
    except TypeError:
        return False
    return True


@jax.default_matmul_precision("highest")
def signals(apply: Apply, params, x: Array) -> tuple[Array, dict[str, Signals]]:
    """Outputs (n k) and the signals of each dense layer, in the order of the layers.

    A zero is added to each pre-activation; the derivative with respect to it is δ.
    Layers whose weights are not parameters, or are read twice, and parameters outside
    of dense layers follow under the parameter's name, with their Jacobian as δ: that
    is n·k numbers a parameter, and needs samples that do not see each other.

    Args:
        apply: network `apply(params, x, site)` written in `models.dense`; one without
            `site` works, by its Jacobian.
        params: its parameters.
        x: points (n d).
    """
    heard = hear(apply, params, x)
    zeros = {name: jnp.zeros(z.shape, z.dtype) for name, (z, _) in heard.taps.items()}

    def tapped(taps):
        inputs = {}

        def listen(name, h, layer, scale):
            z = dense(name, h, layer, scale)
            if name not in taps:
                return z
            inputs[name] = h
            return z + taps[name]

        y = apply(params, x, listen) if _listens(apply) else apply(params, x)
        return y, inputs

    y, pullback, inputs = jax.vjp(tapped, zeros, has_aux=True)
    basis = jnp.broadcast_to(
        jnp.eye(y.shape[1], dtype=y.dtype)[:, None], (y.shape[1], *y.shape)
    )
    # points first: products of two layers' δ are then plain matrix products
    (deltas,) = jax.vmap(pullback, out_axes=1)(basis)
    sites = {
        name: Signals(inputs[name], deltas[name], scale)
        for name, (_, scale) in heard.taps.items()
    }
    return y, sites | _loose_signals(apply, params, x, heard)


def _loose_signals(apply: Apply, params, x, heard: Heard) -> dict[str, Signals]:
    """Jacobians (n k q) of the parameters that have no closed form."""
    leaves, tree = jax.tree.flatten(params)

    def at(loose, point):
        changed = [loose.get(i, leaf) for i, leaf in enumerate(leaves)]
        return apply(jax.tree.unflatten(tree, changed), point[None])[0]

    loose = {i: jnp.asarray(leaves[i]) for i in heard.loose}
    if not loose:
        return {}
    jacobians = jax.vmap(jax.jacrev(at), (None, 0))(loose, x)
    return {
        heard.loose[i]: Signals(
            jnp.ones((len(x), 1), j.dtype),
            j.reshape(*j.shape[:2], -1),
            Scale(1.0, 0.0, heard.rates[i], 0.0),
        )
        for i, j in jacobians.items()
    }


def learning_rates(apply: Apply, params, x: Array):
    """Relative learning rates that the dense layers state, a tree like `params`."""
    rates = hear(apply, params, x).rates
    return jax.tree.unflatten(jax.tree.structure(params), rates)


# --- kernels ----------------------------------------------------------------------


def layer_block(s1: Signals, s2: Signals, outputs: Outputs = "full") -> Array:
    """One layer's part of Θ between two sets of points, (n k m k) or (n 1 m 1)."""
    scale = s1.scale
    inner = scale.lr_w * scale.w**2 * _dot(s1.h, s2.h)
    inner = (inner + scale.lr_b * scale.b**2)[:, None, :, None]
    (n, k, _), (m, _, q) = s1.delta.shape, s2.delta.shape
    if outputs == "trace":
        outer = _dot(s1.delta.reshape(n, -1), s2.delta.reshape(m, -1)) / k
        return inner * outer[:, None, :, None]
    # of matrices: XLA would transpose the factors and the product of an einsum of δ
    outer = _dot(s1.delta.reshape(-1, q), s2.delta.reshape(-1, q))
    return inner * outer.reshape(n, k, m, k)


def block(sites1, sites2, outputs: Outputs = "full", layers: Layers = "sum"):
    """Θ between two sets of points from their signals: the sum over layers.

    With `layers="each"` a dict of the layers' parts.
    """
    parts = {name: layer_block(sites1[name], sites2[name], outputs) for name in sites1}
    return sum(parts.values()) if layers == "sum" else parts


def ntk(
    apply: Apply,
    params,
    x1: Array,
    x2: Array | None = None,
    outputs: Outputs = "full",
    layers: Layers = "sum",
):
    """The empirical NTK Θ(x1, x2), (n k m k), or (n 1 m 1) with `outputs="trace"`.

    One compiled expression for few points and under jit, vmap or grad; else tiles,
    half of them where x2 is x1.

    Args:
        apply: network `apply(params, x, site)` written in `models.dense`.
        params: its parameters.
        x1: points (n d).
        x2: points (m d); default x1.
        outputs: `full`, or `trace` over outputs divided by k.
        layers: `sum`, or `each` for a dict of the layers' parts, {name: (n k m k)}.

    Raises:
        MemoryError: Θ is larger than what is free.
    """
    arguments = jax.tree.leaves((params, x1, x2))
    traced = any(isinstance(a, jax.core.Tracer) for a in arguments)
    if traced:
        return _whole(apply, params, x1, x2, outputs, layers)
    if _rows(apply, params, x1, x2, outputs) <= WHOLE:
        if x2 is not None:
            return _whole(apply, params, x1, x2, outputs, layers)
        # two expressions: in one, XLA computes mirror images anew, with other roundings
        return _join(_squares(apply, params, x1, outputs, layers))
    cut = plan(apply, params, x1, x2, outputs=outputs, layers=layers)
    if cut.kernel_bytes > free_memory():
        raise MemoryError(
            f"the {cut}; {free_memory() / 1e9:.3g} GB are free: use `panels.save`, or "
            "`tiles` and sums over its squares (`panels.reduce`, `panels.compare`)"
        )
    size = (len(x1), len(x1 if x2 is None else x2))
    squares = tiles(apply, params, x1, x2, outputs=outputs, layers=layers)
    put_together = _in_host_memory if jax.default_backend() == "cpu" else _on_device
    found = put_together(squares, *size)
    return found if layers == "each" else found[""]


def _in_host_memory(squares: Iterator["Tile"], n: int, m: int) -> dict[str, Array]:
    """Θ (n k m k) of each layer, or of all as the layer ``, from its squares."""
    found = {}
    for square in squares:
        for name, part in _parts(square).items():
            if name not in found:
                k = part.shape[1]
                found[name] = aligned((n, k, m, k), part.dtype)
            place(found[name], square.rows, square.columns, part, square.mirrored)
    return {name: jax.device_put(a, may_alias=True) for name, a in found.items()}


def _on_device(squares: Iterator["Tile"], n: int, m: int) -> dict[str, Array]:
    """The same without a way through the host: 100 times as fast on a GPU."""
    device = jax.local_devices()[0]
    found = {}
    for square in squares:
        i, j = square.rows.start, square.columns.start
        for name, part in _parts(square).items():
            part = jax.device_put(part, device)
            if name not in found:
                k = part.shape[1]
                found[name] = jnp.zeros((n, k, m, k), part.dtype, device=device)
            found[name] = _written(found[name], part, i, j)
            if square.mirrored:
                image = part.transpose(2, 3, 0, 1)
                found[name] = _written(found[name], image, j, i)
    return found


def _parts(square: "Tile") -> dict[str, Array]:
    return square.theta if isinstance(square.theta, dict) else {"": square.theta}


@partial(jax.jit, donate_argnums=0)
def _written(kernel, part, row, column):
    return jax.lax.dynamic_update_slice(kernel, part, (row, 0, column, 0))


def _rows(apply, params, x1, x2, outputs) -> int:
    """Rows N·k of the larger side of Θ."""
    points = max(len(x1), 0 if x2 is None else len(x2))
    if outputs == "trace" or points > WHOLE:
        return points
    return points * output(apply, params, x1).shape[1]


def output(apply: Apply, params, x) -> jax.ShapeDtypeStruct:
    """Shape (1 k) and dtype of f at one point: looked up, once it was traced."""
    one = jax.ShapeDtypeStruct((1, *np.shape(x)[1:]), jnp.result_type(x))
    return _jitted.eval_shape(apply, params, one)


@partial(jax.jit, static_argnames="apply")
def _jitted(apply, params, x):
    return apply(params, x)


@partial(jax.jit, static_argnames=("apply", "outputs", "layers"))
def _whole(apply, params, x1, x2, outputs, layers):
    _, sites1 = signals(apply, params, x1)
    sites2 = sites1 if x2 is None else signals(apply, params, x2)[1]
    return block(sites1, sites2, outputs, layers)


@partial(jax.jit, static_argnames=("apply", "outputs", "layers"))
def _squares(apply, params, x, outputs, layers):
    """Θ(x, x) by halves, (A, C, B) of [[A, C], [Cᵀ, B]], and A and B alike."""

    def halve(sites):
        n, k, _ = next(iter(sites.values())).delta.shape
        if n == 1 or n * (1 if outputs == "trace" else k) <= LEAF:
            return block(sites, sites, outputs, layers)
        first, second = (
            of_points(sites, slice(n // 2)),
            of_points(sites, slice(n // 2, n)),
        )
        return halve(first), block(first, second, outputs, layers), halve(second)

    return halve(signals(apply, params, x)[1])


@jax.jit
def _join(squares):
    """Θ from what `_squares` returns."""
    if not isinstance(squares, tuple):
        return squares

    def whole(a, c, b):
        left = jnp.concatenate([a, c.transpose(2, 3, 0, 1)], 0)
        return jnp.concatenate([left, jnp.concatenate([c, b], 0)], 2)

    a, c, b = squares
    return jax.tree.map(whole, _join(a), c, _join(b))


def of_points(sites: dict[str, Signals], rows: slice) -> dict[str, Signals]:
    """The signals of some of the points."""
    return {
        name: s._replace(h=s.h[rows], delta=s.delta[rows]) for name, s in sites.items()
    }


def last_layer(sites: dict[str, Signals]) -> Array:
    """The last layer's part of Θ, traced: s² h·h' + t², the empirical NNGP, (n n).

    It is the "Σ part" of Θ, the same for each output; the rest holds derivatives of
    the activation, the "Σ̇ part". Of weights that are not learned it is the NNGP all the
    same, which Θ then lacks. Sites are named `layer.copy`; without any, (0 0).
    """
    layer = {name: name.split(".")[0] for name in sites}
    depth = max((int(n) for n in layer.values() if n.isdigit()), default=None)
    if depth is None:
        return jnp.zeros((0, 0))
    last = [s for name, s in sites.items() if layer[name] == str(depth)]
    last = [
        s if s.scale.lr_w else s._replace(scale=s.scale._replace(lr_w=1.0))
        for s in last
    ]
    return sum(layer_block(s, s, "trace") for s in last)[:, 0, :, 0]


@jax.default_matmul_precision("highest")
def ntk_vector_product(apply: Apply, params, x: Array, v: Array, rates=None) -> Array:
    """Θ(x, x) v for v (n k), by one vjp and one jvp; works for any `apply`.

    `rates` are relative learning rates, a tree like `params`; default those that the
    dense layers state, with which it is a product with `ntk`.
    """
    rates = learning_rates(apply, params, x) if rates is None else rates

    def f(params):
        return apply(params, x)

    _, pullback = jax.vjp(f, params)
    (g,) = pullback(v)
    return jax.jvp(f, (params,), (jax.tree.map(jnp.multiply, g, rates),))[1]


# --- tiles ------------------------------------------------------------------------


class Tile(NamedTuple):
    """Θ between the points `rows` of x1 and `columns` of x2."""

    rows: slice
    columns: slice
    theta: Array  # (a k b k), or a dict of such arrays with `layers="each"`
    mirrored: bool  # the transposed square belongs to the kernel, and does not follow


class Plan(NamedTuple):
    """How a kernel is cut so that it fits into memory, and what it costs."""

    shape: tuple[int, int, int, int]  # of the kernel
    tile: int  # points along the side of a square
    band: int  # chunks of `tile` points whose signals are held
    bytes: int  # most memory at a time: signals and one square, without the kernel
    kernel_bytes: int  # what the kernel, or those of all layers, would take whole
    flop: float  # of signals and of the squares that are computed

    def __str__(self):
        """One line for the log."""
        n, k, m, _ = self.shape
        return (
            f"kernel of {n:,} × {m:,} points, {k} output{'s' * (k > 1)}: squares of "
            f"{self.tile:,} points, {self.bytes / 1e9:.2f} GB of memory, "
            f"{self.flop:.1e} FLOP; whole it is {self.kernel_bytes / 1e9:.2f} GB"
        )


def plan(
    apply: Apply,
    params,
    x1: Array,
    x2: Array | None = None,
    *,
    outputs: Outputs = "full",
    layers: Layers = "sum",
    tile: int | None = None,
    budget: float | None = None,
    devices: int = 1,
) -> Plan:
    """Cut Θ(x1, x2) so that signals and one square stay below `budget`.

    Nothing is computed. Signals of all points of x1 are held where they fit; else
    those of a band of them, and the signals of x2 are computed anew for each band.

    Args:
        apply: network `apply(params, x, site)`.
        params: its parameters.
        x1: points (n d).
        x2: points (m d); default x1.
        outputs: `full` or `trace`.
        layers: `sum` or `each`.
        tile: points along the side of a square; default 128 to 512, fewer for many
            outputs or where memory asks for it, 4096 on accelerators.
        budget: bytes; default half of what is free.
        devices: devices that share the rows of a square.

    Raises:
        MemoryError: the smallest squares do not fit.
    """
    n, m = len(x1), len(x1 if x2 is None else x2)
    one = jax.ShapeDtypeStruct((1, *np.shape(x1)[1:]), jnp.result_type(x1))
    y, sites = _signals.eval_shape(apply, params, one)
    k, size = (1 if outputs == "trace" else y.shape[1]), y.dtype.itemsize
    point = sum(a.size * a.dtype.itemsize for a in jax.tree.leaves(sites))
    budget = free_memory() / 2 if budget is None else budget
    side = tile or _side(max(n, m), k)
    parts = len(sites) if layers == "each" else 1
    while True:
        side = max(math.ceil(side / devices) * devices, 1)
        # XLA holds both factors of each layer before it multiplies them; passes hold
        # about as much as the signals that come out of them
        square = (2 * len(sites) + parts * (1 + QUEUE)) * (side * k) ** 2 * size
        base = square + 3 * side * point
        count = math.ceil(n / side)
        band = min(count, int((budget - base) // (side * point)))
        if band >= 1 or tile or side <= 16:
            break
        side //= 2
    if band < 1:
        raise MemoryError(
            f"squares of {side} points need {(base + side * point) / 1e9:.2g} GB and "
            f"{budget / 1e9:.2g} GB are allowed: raise `budget`, or choose a smaller "
            "`tile`, a narrower network or `outputs='trace'`"
        )
    starts = np.arange(0, n, side)
    pairs = n * m if x2 is not None else sum(min(side, n - i) * (n - i) for i in starts)
    bands = math.ceil(count / band)
    passes = n + m * bands if x2 is not None else n * (bands + 1) / 2
    widths = [(s.h.shape[1], s.delta.shape[2]) for s in sites.values()]
    outer = y.shape[1] if outputs == "trace" else k * k
    flop = 2 * pairs * sum(p + outer * q for p, q in widths)
    flop += 2 * passes * (1 + y.shape[1]) * sum(p * q for p, q in widths)
    total = base + band * side * point
    kernel = parts * n * m * k * k * size
    return Plan((n, k, m, k), side, band, int(total), kernel, float(flop))


def _side(points: int, k: int) -> int:
    """Points along the side of a square: large enough for the matrix product."""
    if jax.default_backend() != "cpu":
        return _equal(points, max(512, 4096 // k))
    # four or more rows of squares, or symmetry saves little; some 512 rows N·k, as
    # larger squares leave the cache between their layers
    side = min(512, max(128, points // 4 // 64 * 64))
    return _equal(points, max(64, min(side, 768 // k // 64 * 64)))


def _equal(points: int, side: int) -> int:
    """At most `side`, for squares of one size: the last would else be filled up."""
    return math.ceil(points / math.ceil(points / side) / 8) * 8


def free_memory() -> float:
    """Bytes free for arrays: of the accelerator, or of the machine."""
    stats = jax.local_devices()[0].memory_stats()
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    info = Path("/proc/meminfo")
    if info.exists():  # free pages alone would leave out what caches give back
        lines = dict(line.split(":") for line in info.read_text().splitlines())
        return 1024 * float(lines["MemAvailable"].split()[0])
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2


def tiles(
    apply: Apply,
    params,
    x1: Array,
    x2: Array | None = None,
    *,
    outputs: Outputs = "full",
    layers: Layers = "sum",
    tile: int | None = None,
    budget: float | None = None,
    devices: tuple[jax.Device, ...] | None = None,
) -> Iterator[Tile]:
    """Θ(x1, x2) square by square; of Θ(x1, x1) those on and above the diagonal.

    Up to `QUEUE` squares are computed ahead of the one that is read, so that no core
    waits for the reader. Rows of a square are shared by `devices`.

    Args:
        apply: network `apply(params, x, site)`.
        params: its parameters.
        x1: points (n d).
        x2: points (m d); default x1.
        outputs: `full` or `trace`.
        layers: `sum` or `each`.
        tile: points along the side of a square, see `plan`.
        budget: bytes, see `plan`.
        devices: default all local devices.
    """
    devices = tuple(jax.local_devices() if devices is None else devices)
    cut = plan(
        apply,
        params,
        x1,
        x2,
        outputs=outputs,
        layers=layers,
        tile=tile,
        budget=budget,
        devices=len(devices),
    )
    share, spread = _sharing(devices)
    params = share(params)
    rows = chunks(x1, cut.tile)
    columns = rows if x2 is None else chunks(x2, cut.tile)

    def see(x):
        return _signals(apply, params, spread(x))[1]

    waiting = collections.deque()
    for first in range(0, len(rows), cut.band):
        band = range(first, min(first + cut.band, len(rows)))
        held = {i: see(rows[i][1]) for i in band}
        for j in range(0 if x2 is not None else first, len(columns)):
            own = x2 is None and j in held
            right = share(held[j] if own else see(columns[j][1]))
            for i in band:
                if x2 is None and i > j:
                    break
                theta = _square(held[i], right, outputs, layers)
                mirrored = x2 is None and i != j
                waiting.append((rows[i][0], columns[j][0], theta, mirrored))
                if len(waiting) > QUEUE:
                    yield _trim(*waiting.popleft())
    while waiting:
        yield _trim(*waiting.popleft())


_signals = partial(jax.jit, static_argnames="apply")(signals)
_square = partial(jax.jit, static_argnames=("outputs", "layers"))(block)


def chunks(x, size: int) -> list[tuple[slice, np.ndarray]]:
    """Points in chunks of one size; the last is filled up with its last point.

    One size is one compilation, and divides by the number of devices.
    """
    x = np.asarray(x)
    found = []
    for start in range(0, len(x), size):
        part = x[start : start + size]
        filled = np.concatenate([part, np.repeat(part[-1:], size - len(part), 0)])
        found.append((slice(start, start + len(part)), filled))
    return found


def _trim(rows: slice, columns: slice, theta, mirrored: bool) -> Tile:
    """Cut off what `chunks` filled up, once the square is there."""
    a, b = rows.stop - rows.start, columns.stop - columns.start
    jax.block_until_ready(theta)
    if any(part.shape[::2] != (a, b) for part in jax.tree.leaves(theta)):
        theta = jax.tree.map(lambda part: part[:a, :, :b], theta)
    return Tile(rows, columns, theta, mirrored)


def _sharing(devices: tuple[jax.Device, ...]) -> tuple[Callable, Callable]:
    """Two ways to place arrays: a copy on every device, and the first axis shared."""
    if len(devices) == 1:
        return (partial(jax.device_put, device=devices[0]),) * 2
    mesh = Mesh(np.array(devices), ("points",))
    everywhere = NamedSharding(mesh, PartitionSpec())
    shared = NamedSharding(mesh, PartitionSpec("points"))
    return (
        partial(jax.device_put, device=everywhere),
        partial(jax.device_put, device=shared),
    )


def shared_over_devices(tree):
    """A tree of arrays (s …) with seeds s, or points, shared by all local devices.

    jax.vmap-ed and jitted functions of it run on all of them. Trees whose first axis
    the number of devices does not divide stay on one device.
    """
    devices = tuple(jax.local_devices())
    if any(len(leaf) % len(devices) for leaf in jax.tree.leaves(tree)):
        return tree
    return _sharing(devices)[1](tree)


_dot = partial(jnp.einsum, "ap,bp->ab", precision=jax.lax.Precision.HIGHEST)
