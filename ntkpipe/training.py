"""Full-batch training, with the kernel measured on the way.

Loss L(w) = 1/(2Nα²) Σ_i ‖f(x_i; w) − y_i‖² with f = α(h − h₀), where h₀ is zero or the
network at initialisation (`zero_output: subtract`). Gradient descent w ← w − η∇L then
moves f by −(η/N) Θ (f − y), with Θ the NTK of h, whatever α is. Time is t = η·step.

Between two recorded steps everything is one jitted loop over donated buffers; at a
recorded step the outputs are read and at a snapshot the kernel is, so that no
trajectory of weights is ever stored.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ntkpipe import curvature, empirical, ensemble, linear, xla
from ntkpipe.datasets import Data
from ntkpipe.models import MLP
from ntkpipe.protocol import Training

# Up to SIDE_BY_SIDE weights a network, the seeds of a width are one array, and a call
# at each record is for all of them; wider networks train one after the other, of
# several devices one on each. Steps go by vmap up to STEPPED_TOGETHER weights, then by
# lax.map. Measured on a shared machine, two hidden layers, 20 points, float64, µs for a
# step of one network, seeds by vmap / lax.map / a Python loop. One core, which is what
# a job of this size has, CPU time: width 64 24/23/24, 128 109/74/75, 256 406/296/272,
# 300 581/520/437. Two cores, busy, wall time: 10 5/10/12, 32 15/20/24, 64 26/39/49, 128
# 116/90/128, 256 475/545/359, 300 675/734/581, 512 2107/2195/1503, 1024
# 14,670/6,376/6,019: there vmap and lax.map change places up to 512, and only for 1024
# it matters.
STEPPED_TOGETHER = 10_000
SIDE_BY_SIDE = 100_000
OF_THE_FIRST = ("matrix", "landscape_at", "landscape_f", "landscape_linear")
# The compiler's optimisation level. Of a short job compilation is most: at level 1 the
# loop takes 9 to 19 % less CPU time to compile than at the default and the draw of the
# weights 25 to 32 %, other functions about as long; the loop then runs 0.97 to 1.06
# times as long (40 networks of width 10, 128 and 300, tanh and relu, float64, on a
# shared machine). What runs once goes at level 0, which compiles in 0.6 times the time
# of level 1, unless it draws so many weights, of all seeds, that it runs longer than
# that saves: 107 ns a weight at level 0, 17 at level 1.
LEVEL = 1
FEW_WEIGHTS = 2_000_000


def transformation(training: Training):
    """The optimiser as an optax gradient transformation."""
    if training.optimizer == "adam":
        import optax  # 0.3 s, as long as many a training

        return optax.adam(training.learning_rate)
    momentum = training.momentum if training.optimizer == "momentum" else None
    return _Descent(training.learning_rate, momentum)


class _Descent(NamedTuple):
    """optax.sgd: v ← βv + g, w ← w − ηv; without momentum v is g."""

    learning_rate: float
    momentum: float | None

    def init(self, params):
        return () if self.momentum is None else jax.tree.map(jnp.zeros_like, params)

    def update(self, gradient, velocity, params):
        del params
        if self.momentum is None:
            return self._scaled(gradient), ()
        velocity = jax.tree.map(lambda g, v: g + self.momentum * v, gradient, velocity)
        return self._scaled(velocity), velocity

    def _scaled(self, direction):
        return jax.tree.map(lambda v: -self.learning_rate * v, direction)


class Trajectory(NamedTuple):
    """What was recorded: s seeds, t steps, p snapshots, l layers, see `train`."""

    step: np.ndarray  # (t,)
    loss: np.ndarray  # (s t)
    f_train: np.ndarray  # (s t n k)
    f_test: np.ndarray  # (s t m k)
    layer: np.ndarray  # (l,) names W1, b1, W2, …
    weight_norm: np.ndarray  # (s l) ‖w_l(0)‖
    weight_change: np.ndarray  # (s t l) ‖w_l(t) − w_l(0)‖
    snapshot: np.ndarray  # (p,) steps
    ntk: np.ndarray  # (s p n k n k)
    ntk_test_train: np.ndarray  # (s 1 m k n k), at step 0
    ntk_test: np.ndarray  # (s e m 1 m 1), traced, at the ends; e = 0 if not kept
    nngp: np.ndarray  # (s p n n), or (s p 0 0) of a model without layers
    gradient_norm: np.ndarray  # (s c) ‖∇h‖ at snapshots; c = 0 if not measured
    hessian_norm: np.ndarray  # (s c) ‖∇²h‖
    weight_gap: np.ndarray  # (s v) ‖w − w_lin‖ at each step; v = 0 if not measured
    matrix: np.ndarray  # (t i j) a corner of the first network's, or (t 0 0)
    landscape_at: np.ndarray  # (g,) signed distances from w₀; g = 0 if not kept
    landscape_f: np.ndarray  # (g n k) the first network there
    landscape_linear: np.ndarray  # (g n k) its linearisation
    moments: np.ndarray  # (s o) means over groups, see `ensemble`; o = 0 if not kept
    feature_change: np.ndarray  # (s p h) ‖h_l(t) − h_l(0)‖/‖h_l(0)‖, hidden layers
    flips: np.ndarray  # (s p a) share of units × points that changed sign; or a = 0
    neuron_move: np.ndarray  # (s b) max_r ‖w_r − w_r(0)‖, first layer; or b = 0
    stop_step: np.ndarray  # (s,) steps done
    converged: np.ndarray  # (s,) the loss to stop at was reached
    diverged: np.ndarray  # (s,) the loss left the finite numbers
    seed: np.ndarray  # (s,)


class _State(NamedTuple):
    params: tuple
    optimizer: tuple
    steps_done: jax.Array
    stopped: jax.Array


class _Start(NamedTuple):
    """What a network is before the first step."""

    params: tuple
    f0: jax.Array  # (n+m k) h₀ at training and test points, or (1 1) zero
    features: list  # (n p) activations of each hidden layer
    weight_norm: jax.Array  # (l,)
    ntk_test_train: jax.Array  # (m k n k)
    linear: jax.Array  # (t n k) the linearised model's w(t) − w₀ is −CJᵀ of it, or ()


Progress = Callable[[str, int, int], None]


def train(
    model: MLP,
    training: Training,
    data: Data,
    width: int,
    key: jax.Array,
    seeds: int,
    dtype: str = "float64",
    progress: Progress = lambda what, done, total: None,
) -> Trajectory:
    """Train `seeds` networks of one width, each from its own initialisation.

    The key of replicate r is fold_in(fold_in(key, width), r): no two widths share one.

    Args:
        model: architecture.
        training: optimiser, steps and what is recorded.
        data: training and test points.
        width: hidden width n.
        key: the study's key.
        seeds: number of networks.
        dtype: float32 or float64, of weights and outputs.
        progress: called with (what, steps done, steps in all).
    """
    # arguments and no constants of what is compiled, which is then the same program for
    # other data and keys
    x, y, x_test, _ = (jax.device_put(np.asarray(a, dtype)) for a in data)
    points = _Points(x, y, x_test)
    run = _Run(model, training, width)
    shapes = jax.eval_shape(run.init, points, key, 0)
    size = sum(leaf.size for leaf in jax.tree.leaves(shapes))
    devices = jax.local_device_count()
    batch = seeds if size <= SIDE_BY_SIDE else devices
    together = size <= SIDE_BY_SIDE or devices > 1
    # each device has as many, those of the last batch that are too many are dropped
    batch = math.ceil(batch / devices) * devices
    compiled = run.compiled(points, key, seeds, size, together)
    records = []
    for first in range(0, seeds, batch):
        last = min(first + batch, seeds) - 1
        label = f"width {width}, seed {first}" + f"–{last}" * (last > first)
        replicates = first
        if together:
            replicates = np.arange(first, first + batch)
            replicates = empirical.shared_over_devices(replicates)
        record = _train_batch(compiled, replicates, training, partial(progress, label))
        records.append(record if together else {k: v[None] for k, v in record.items()})
    whole = {
        name: np.concatenate([r[name] for r in records])[:seeds] for name in records[0]
    }
    for name in OF_THE_FIRST:
        whole[name] = whole[name][0]
    return Trajectory(
        step=training.recorded(),
        snapshot=training.recorded()[training.snapshot_indices()],
        layer=np.array(_layer_names(shapes)),
        seed=np.arange(seeds),
        moments=_moments(model, training, points, width, key, seeds, progress),
        **whole,
    )


def _moments(model, training, points, width, key, seeds, progress) -> np.ndarray:
    """Means over the group of networks of each seed, (s o), or (s 0)."""
    if training.ensemble is None:
        return np.zeros((seeds, 0))
    networks, outputs = training.ensemble.networks, points.y.shape[1]
    group = ensemble.moments(model, networks, width, outputs)
    key = jax.random.fold_in(key, width)
    found = []
    for replicate in range(seeds):
        found.append(np.asarray(group(points.x, jax.random.fold_in(key, replicate))))
        progress(f"width {width}, groups", replicate + 1, seeds)
    return np.stack(found)


def _train_batch(run, replicates, training, progress) -> dict[str, np.ndarray]:
    """Advance one network, or many side by side, from record to record."""
    state, start = run.begin(replicates)
    steps = training.recorded()
    snapshots = set(training.snapshot_indices().tolist())
    observed, kernels, test_kernels = [], [], []
    if training.test_kernel:
        test_kernels.append(_numpy(run.test_kernel(state.params)))
    for index, step in enumerate(steps):
        if index:
            state = run.advance(state, start.f0, int(step - steps[index - 1]))
        observed.append(_numpy(run.observe(state.params, start, index)))
        if index in snapshots:
            kernels.append(_numpy(run.snapshot(state.params, start)))
        progress(int(step), int(steps[-1]))
    axis = state.stopped.ndim  # of time: after the seeds, where there are several
    record = jax.tree.map(lambda *a: np.stack(a, axis), *observed)
    record |= jax.tree.map(lambda *a: np.stack(a, axis), *kernels)
    for norm in ("gradient_norm", "hessian_norm", "weight_gap", "neuron_move"):
        # (s p 1) → (s p), (s p 0) → (s 0)
        record[norm] = record[norm].reshape(*record[norm].shape[:axis], -1)
    if training.landscape:
        record |= _numpy(run.landscape(state.params, start))
    else:
        *seeds, n, k = observed[0]["f_train"].shape
        record["landscape_at"] = np.zeros((*seeds, 0))
        for name in ("landscape_f", "landscape_linear"):
            record[name] = np.zeros((*seeds, 0, n, k))
    if training.test_kernel:
        test_kernels.append(_numpy(run.test_kernel(state.params)))
        ntk_test = np.stack(test_kernels, axis)
    else:
        *seeds, m, _ = observed[0]["f_test"].shape
        ntk_test = np.zeros((*seeds, 0, m, 1, m, 1))
    done = np.asarray(state.steps_done)
    final_loss = np.asarray(observed[-1]["loss"])
    diverged = ~np.isfinite(final_loss)
    for name in ("f_test", "ntk"):  # float32 may end here before it ends in the loss
        over_time = tuple(range(axis, record[name].ndim))
        diverged = diverged | ~np.isfinite(record[name]).all(over_time)
    return record | {
        "weight_norm": np.asarray(start.weight_norm),
        "ntk_test_train": np.expand_dims(np.asarray(start.ntk_test_train), axis),
        "ntk_test": ntk_test,
        "stop_step": done,
        "converged": ~diverged & (final_loss < (training.stop_at_loss or -np.inf)),
        "diverged": diverged,
    }


class _Points(NamedTuple):
    x: jax.Array
    y: jax.Array
    x_test: jax.Array

    def all(self) -> jax.Array:
        return jnp.concatenate([self.x, self.x_test])


class _Compiled(NamedTuple):
    begin: Callable
    advance: Callable
    observe: Callable
    snapshot: Callable
    landscape: Callable
    test_kernel: Callable


class _Run:
    """The functions of one network that `train` compiles: few, as each takes time."""

    def __init__(self, model: MLP, training: Training, width: int):
        self.model, self.training, self.width = model, training, width
        self.optimizer = transformation(training)

    def compiled(
        self, points: _Points, key, seeds: int, size: int, together: bool
    ) -> _Compiled:
        """The functions compiled, of `seeds` networks of `size` weights.

        With an axis of seeds if they are together, and for one network otherwise.
        """
        on_cpu, several = jax.default_backend() == "cpu", jax.local_device_count() > 1
        few = seeds * size <= FEW_WEIGHTS

        def jit(f, *axes, donate=(), level=LEVEL):
            return jax.jit(
                jax.vmap(f, axes) if together and axes else f,
                donate_argnums=donate,
                compiler_options=(
                    xla.options(level, large=not few) if on_cpu else None
                ),
            )

        def one_by_one(points, states, f0, steps):
            step = partial(self.advance, points, steps=steps)
            return jax.lax.map(lambda network: step(*network), (states, f0))

        begin = jit(self.begin, None, None, 0, level=0 if few else LEVEL)
        if on_cpu and together and size > STEPPED_TOGETHER and not several:
            advance = jit(one_by_one, donate=1)
        else:
            advance = jit(self.advance, None, 0, 0, None, donate=1)
        return _Compiled(
            begin=partial(begin, points, key),
            advance=partial(advance, points),
            observe=partial(jit(self.observe, None, 0, 0, None), points),
            snapshot=partial(jit(self.snapshot, None, 0, 0), points),
            landscape=partial(jit(self.landscape, None, 0, 0, level=0), points),
            test_kernel=partial(jit(self.test_kernel, None, 0), points),
        )

    def init(self, points: _Points, key, replicate):
        """Raw parameters of replicate r."""
        key = jax.random.fold_in(jax.random.fold_in(key, self.width), replicate)
        d, k = points.x.shape[1], points.y.shape[1]
        return self.model.init_params(key, self.width, d, k, points.x.dtype)

    def begin(self, points: _Points, key, replicate) -> tuple[_State, _Start]:
        """A network and what is known of it before the first step."""
        params = self.init(points, key, replicate)
        zero = jnp.zeros((), jnp.int64 if jax.config.jax_enable_x64 else jnp.int32)
        state = _State(params, self.optimizer.init(params), zero, jnp.array(False))
        y, sites = empirical.signals(self.model.apply, params, points.all())
        subtract, n = self.model.zero_output == "subtract", len(points.x)
        train = empirical.of_points(sites, slice(n))
        test = empirical.of_points(sites, slice(n, None))
        return state, _Start(
            params=params,
            f0=y if subtract else jnp.zeros((1, 1), y.dtype),
            features=_features(train),
            weight_norm=_layer_norms(params),
            ntk_test_train=empirical.block(test, train, self.training.kernel),
            linear=self.linear(points, y[:n] * (not subtract), train),
        )

    def linear(self, points: _Points, h, sites) -> jax.Array:
        """Where the linearised model's weights go, as coefficients of the gradients.

        w_lin(t) = w₀ − CJᵀ a(t) with a(t) = U g_t(λ) Uᵀ (f₀ − y)/(Nα), C the relative
        learning rates and g_t of `linear.gain`. a is (t n k), of the recorded steps.
        """
        training, alpha = self.training, self.model.alpha
        if not training.linear_weights:
            return jnp.zeros(())
        n = len(points.x)
        theta = empirical.matrix(empirical.block(sites, sites)) / n
        values, vectors = jnp.linalg.eigh(theta)
        momentum = training.momentum if training.optimizer == "momentum" else 0.0
        _, moved = linear.gain(
            values, training.recorded(), training.learning_rate, momentum
        )
        residual = (alpha * h - points.y).ravel() / (n * alpha)
        a = (moved * (vectors.T @ residual)) @ vectors.T
        return a.reshape(len(a), *points.y.shape).astype(points.y.dtype)

    def outputs(self, params, x, f0):
        return self.model.alpha * (self.model.apply(params, x) - f0)

    def advance(self, points: _Points, state: _State, f0, steps) -> _State:
        """Do `steps` steps of training, or fewer where the loss is small enough."""
        x, y, _ = points
        target = self.training.stop_at_loss
        # in units of y: the α² of the loss is undone
        target = None if target is None else target / self.model.alpha**2
        rates = self.model.learning_rates(state.params)

        def loss_of(params):
            residual = self.outputs(params, x, f0[: len(x)]) - y
            return jnp.sum(residual**2) / (2 * len(x) * self.model.alpha**2)

        def step(state: _State) -> _State:
            loss, gradient = jax.value_and_grad(loss_of)(state.params)
            stop = jnp.array(False)
            if target is not None:
                stop = (loss < target) | ~jnp.isfinite(loss)
            updates, optimizer = self.optimizer.update(
                gradient, state.optimizer, state.params
            )
            go = jnp.where(stop, 0.0, 1.0).astype(x.dtype)
            params = jax.tree.map(
                lambda w, u, rate: w + (go * rate) * u, state.params, updates, rates
            )
            return _State(params, optimizer, state.steps_done + ~stop, stop)

        if target is None:
            return jax.lax.fori_loop(0, steps, lambda _, s: step(s), state)

        def running(carry):
            done, state = carry
            return (done < steps) & ~state.stopped

        def body(carry):
            done, state = carry
            return done + 1, step(state)

        return jax.lax.while_loop(running, body, (0, state))[1]

    def observe(self, points: _Points, params, start: _Start, index) -> dict:
        """Outputs, loss and weight change, at each recorded step."""
        n = len(points.x)
        f = self.outputs(params, points.all(), start.f0)
        return {
            "loss": jnp.sum((f[:n] - points.y) ** 2) / (2 * n),
            "f_train": f[:n],
            "f_test": f[n:],
            "weight_change": _layer_norms(
                jax.tree.map(jnp.subtract, params, start.params)
            ),
            "weight_gap": self.weight_gap(points, params, start, index),
            "matrix": self.corner(params),
        }

    def weight_gap(self, points: _Points, params, start: _Start, index) -> jax.Array:
        """‖w − w_lin‖ at a recorded step, w_lin of the linearised model."""
        if not self.training.linear_weights:
            return jnp.zeros(0)
        x = points.x
        _, pullback = jax.vjp(lambda w: self.model.apply(w, x), start.params)
        (gradient,) = pullback(start.linear[index])
        gaps = jax.tree.map(
            lambda w, w0, g, rate: jnp.sum((w - w0 + rate * g) ** 2),
            params,
            start.params,
            gradient,
            self.model.learning_rates(params),
        )
        return jnp.sqrt(sum(jax.tree.leaves(gaps)))[None]

    def landscape(self, points: _Points, params, start: _Start) -> dict:
        """The network and its linearisation on the line from w₀ through the last w."""
        kept, x, w0 = self.training.landscape, points.x, start.params
        line = jax.tree.map(jnp.subtract, params, w0)
        length = jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(line)))
        # a network that did not move has no direction: its landscape is flat
        line = jax.tree.map(lambda leaf: leaf / jnp.where(length > 0, length, 1), line)
        unit = jnp.linspace(-1, 1, kept.points, dtype=x.dtype)
        at = jnp.sort(jnp.concatenate([kept.reach * unit, kept.zoom * length * unit]))

        def f(w):
            return self.outputs(w, x, start.f0[: len(x)])

        f0, slope = jax.jvp(f, (w0,), (line,))
        along = jax.lax.map(
            lambda r: f(jax.tree.map(lambda w, v: w + r * v, w0, line)), at
        )
        return {
            "landscape_at": at,
            "landscape_f": along,
            "landscape_linear": f0 + at[:, None, None] * slope,
        }

    def corner(self, params) -> jax.Array:
        """Top left of the matrix that is kept, of a paired network's first copy."""
        kept = self.training.keep_matrix
        if kept is None:
            return jnp.zeros((0, 0))
        return params[0][kept.layer - 1]["w"][: kept.size, : kept.size]

    def snapshot(self, points: _Points, params, start: _Start) -> dict:
        """Kernels and features, at each snapshot."""
        _, sites = empirical.signals(self.model.apply, params, points.x)
        gradient_norm = hessian_norm = jnp.zeros(0)
        if self.training.curvature:
            found = curvature.of_model(self.model, params, points.x[:1])
            gradient_norm, hessian_norm = found.gradient_norm[0], found.hessian_norm[0]
        return {
            "ntk": empirical.block(sites, sites, self.training.kernel),
            "nngp": empirical.last_layer(sites),
            "gradient_norm": gradient_norm[:1],
            "hessian_norm": hessian_norm[:1],
            "flips": self.flips(sites, start),
            "neuron_move": self.neuron_move(params, start),
            "feature_change": jnp.array(
                [
                    jnp.linalg.norm(b - a) / jnp.linalg.norm(a)
                    for a, b in zip(start.features, _features(sites), strict=True)
                ]
            ),
        }

    def flips(self, sites, start: _Start) -> jax.Array:
        """Share of units × points of each hidden layer that changed sign, (h,).

        Of the activation: on and off for a ReLU (Du et al. 2019, figure 1b).
        """
        if not self.training.units:
            return jnp.zeros(0)
        pairs = zip(start.features, _features(sites), strict=True)
        share = [jnp.mean((a > 0) != (b > 0), dtype=a.dtype) for a, b in pairs]
        # a paired network has the layers of its twin after its own
        return jnp.array(share).reshape(len(start.params), -1).mean(0)

    def neuron_move(self, params, start: _Start) -> jax.Array:
        """max_r ‖w_r − w_r(0)‖ over the units of the first layer, (1,)."""
        if not self.training.units:
            return jnp.zeros(0)
        moved = [
            jnp.linalg.norm(layers[0]["w"] - first[0]["w"], axis=0).max()
            for layers, first in zip(params, start.params, strict=True)
        ]
        return jnp.stack(moved).max()[None]

    def test_kernel(self, points: _Points, params) -> jax.Array:
        """Θ among the test points, traced, (m 1 m 1)."""
        return empirical.ntk(self.model.apply, params, points.x_test, outputs="trace")


def _features(sites) -> list[jax.Array]:
    """Activations of the hidden layers: what all dense layers but the first read."""
    dense_layers = [name for name in sites if name[0].isdigit()]
    return [sites[name].h for name in dense_layers if not name.startswith("1.")]


def _layer_names(params) -> list[str]:
    return [
        f"{'W' if name == 'w' else 'b'}{index + 1}"
        for index, layer in enumerate(params[0])
        for name in sorted(layer, reverse=True)
    ]


def _layer_norms(params) -> jax.Array:
    """Norms of W1, b1, W2, …, over both copies where there are two."""
    squares = [
        sum(jnp.sum(layers[index][name] ** 2) for layers in params)
        for index, layer in enumerate(params[0])
        for name in sorted(layer, reverse=True)
    ]
    return jnp.sqrt(jnp.stack(squares))


def _numpy(tree):
    return jax.tree.map(np.asarray, tree)
