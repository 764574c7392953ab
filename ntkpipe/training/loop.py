"""Training, with the kernel measured during training.

Loss L(w) = 1/(Nα²) Σ_i ℓ(f(x_i; w), y_i), `losses`, with f = α(h − h₀), where h₀ is
zero or the network at initialisation (`FROZEN_COPY`). Gradient descent w ← w − η∇L then
moves f by −(η/N) Θ ∂ℓ/∂f, with Θ the NTK of h, for every α. Time is t = η·step.

The steps between two records are one compiled loop over donated buffers. The recorders
read outputs at recorded steps and kernels at snapshots. No trajectory of weights is
stored.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ntkpipe import xla
from ntkpipe.data.base import Data
from ntkpipe.kernels.devices import shared_over_devices
from ntkpipe.kernels.linear import linearize
from ntkpipe.kernels.signals import signals
from ntkpipe.models.base import FROZEN_COPY
from ntkpipe.models.mlp import MLP
from ntkpipe.training import batches
from ntkpipe.training.optimizers import transformation
from ntkpipe.training.protocol import Training
from ntkpipe.training.recorders import RECORDERS
from ntkpipe.training.recorders.base import Now, Points, Recorder, Start
from ntkpipe.training.recorders.outputs import layer_names
from ntkpipe.training.trajectory import Trajectory

# The networks of a width, if they have at most SIDE_BY_SIDE weights, are one array with
# an axis of seeds and train together. Wider networks train one after the other, one on
# each device. The steps of networks that train together are a vmap up to
# STEPPED_TOGETHER weights. Above it, they are a lax.map on a CPU, which takes 0.7 of
# the time of a vmap at width 128 on one core (docs/performance.md, "Seeds").
STEPPED_TOGETHER = 10_000
SIDE_BY_SIDE = 100_000
# The compiler's optimisation level. A short job mostly compiles, and the loop compiles
# in 0.9 of the time of the default level. Functions that run once are compiled at level
# 0, except for drawing more than FEW_WEIGHTS weights, seeds included: there the slower
# draw costs more than compilation saves (docs/performance.md, "Seeds").
LEVEL = 1
FEW_WEIGHTS = 2_000_000


class _State(NamedTuple):
    params: tuple
    optimizer: Any
    steps_done: jax.Array
    stopped: jax.Array
    w0: Any = None
    """The initial weights, if steps need them."""
    key: Any = None
    """Of the batches, if there are any."""


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

    The key of replicate r is fold_in(fold_in(key, width), r), so widths share no key.

    Args:
        model: architecture.
        training: optimiser, steps and recordings.
        data: training and test points of all networks; or, along a first axis, those
            of each network.
        width: hidden width n.
        key: the study's key.
        seeds: number of networks.
        dtype: float32 or float64, of weights and outputs.
        progress: called with (what, steps done, total number of steps).
    """
    model, points, one = ready(model, data, width, key, seeds, dtype)
    redrawn = points is not one
    run, devices = Run(model, training, width), jax.local_device_count()
    shapes = run.shapes(one, key)
    size = sum(leaf.size for leaf in jax.tree.leaves(shapes))
    side_by_side = size <= SIDE_BY_SIDE or devices > 1
    # a multiple of the number of devices; surplus networks are dropped at the end
    batch = math.ceil(seeds / devices) * devices if size <= SIDE_BY_SIDE else devices
    compiled = run.compiled(key, seeds, size, side_by_side, redrawn)
    records = []
    for first in range(0, seeds, batch):
        last = min(first + batch, seeds) - 1
        label = f"width {width}, seed {first}" + f"–{last}" * (last > first)
        replicates: Any = first
        if side_by_side:
            replicates = shared_over_devices(np.arange(first, first + batch))
        seen = points_of(points, replicates, seeds) if redrawn else points
        run_batch, show = compiled.on(seen), partial(progress, label)
        record = _train_batch(run_batch, replicates, training, show)
        records.append(jax.tree.map(lambda a: a if side_by_side else a[None], record))
    whole = {k: np.concatenate([r[k] for r in records])[:seeds] for k in records[0]}
    for recorder in run.recorders:
        if recorder.first_only:
            whole |= {name: whole[name][0] for name in recorder.optional}
        whole |= recorder.of_seeds(run, points, key, seeds, progress)
    return {
        "step": training.recorded(),
        "snapshot": training.recorded()[training.snapshot_indices()],
        "layer": np.array(layer_names(shapes)),
        "seed": np.arange(seeds),
        **whole,
    }


def ready(model, data: Data, width: int, key, seeds: int, dtype: str):
    """The model, built; the points of all networks or of each; those of the first."""
    # data and keys are arguments of compiled functions and not constants, so that the
    # compilation cache has one program for all data and keys
    x, y, x_test, _ = (jax.device_put(np.asarray(a, dtype)) for a in data)
    points = Points(x, y, x_test)
    one = points_of(points, 0, seeds) if x.ndim == 3 else points
    if hasattr(model, "built"):
        keys = [Run.key(key, width, replicate) for replicate in range(min(seeds, 2))]
        model = model.built(width, one.all(), y.shape[-1], keys)
    return model, points, one


def points_of(points: Points, replicates: Any, seeds: int) -> Points:
    """The points of one network, or of many along a first axis.

    The surplus networks of a batch have numbers from `seeds` on and see the last data.
    """
    if np.ndim(replicates) == 0:
        return Points(*(a[replicates] for a in points))
    rows = np.minimum(np.asarray(replicates), seeds - 1)
    return shared_over_devices(Points(*(a[rows] for a in points)))


def _train_batch(run, replicates, training, progress) -> dict[str, np.ndarray]:
    """Train one network, or many together, and record."""
    state, start = run.begin(replicates)
    steps = training.recorded()
    snapshots = set(training.snapshot_indices().tolist())
    observed, kernels, ends = [], [], [as_numpy(run.ends(state.params, start))]
    for index, step in enumerate(steps):
        if index:
            state = run.advance(state, start.f0, int(step - steps[index - 1]))
        observed.append(as_numpy(run.observe(state.params, start, index)))
        if index in snapshots:
            kernels.append(as_numpy(run.snapshot(state.params, start)))
        progress(int(step), int(steps[-1]))
    ends.append(as_numpy(run.ends(state.params, start)))
    axis = state.stopped.ndim  # the axis of time comes after the axis of seeds, if any
    record = {n: np.asarray(a) for n, a in start.kept.items() if n in run.arrays}
    for moments in (observed, kernels, ends):
        record |= jax.tree.map(lambda *a: np.stack(a, axis), *moments)
    record |= as_numpy(run.end(state.params, start))
    final_loss = np.asarray(observed[-1]["loss"])
    diverged = ~np.isfinite(final_loss)
    for name in ("f_test", "ntk"):  # in float32 these may overflow before the loss
        over_time = tuple(range(axis, record[name].ndim))
        diverged = diverged | ~np.isfinite(record[name]).all(over_time)
    return record | {
        "stop_step": np.asarray(state.steps_done),
        "converged": ~diverged & (final_loss < (training.stop_at_loss or -np.inf)),
        "diverged": diverged,
    }


class Compiled(NamedTuple):
    """The compiled functions of a `Run`, with its key; `on` gives them their points."""

    begin: Callable
    advance: Callable
    observe: Callable
    snapshot: Callable
    ends: Callable
    end: Callable
    arrays: frozenset[str]
    """Names of the recorded arrays."""

    def on(self, points: Points) -> "Compiled":
        """The functions of networks that see these points."""
        functions = self._asdict()
        arrays = functions.pop("arrays")
        seen = {name: partial(f, points) for name, f in functions.items()}
        return Compiled(**seen, arrays=arrays)


class Run:
    """The functions of one network that `train` compiles.

    There are few functions, because compiling each takes time.
    """

    def __init__(
        self, model: MLP, training: Training, width: int, linear: bool = False
    ):
        self.model, self.training, self.width = model, training, width
        self.linear = linear
        self.loss, self.optimizer = training.loss, transformation(training)
        self.recorders = [r for r in RECORDERS if r.wanted(training)]
        # a user's function is run by Python, not within a compiled function
        self.draws_in_python = getattr(model, "draws_in_python", False)

    def compiled(
        self, key, seeds: int, size: int, side_by_side: bool, redrawn: bool = False
    ) -> Compiled:
        """Compile the functions for `seeds` networks of `size` weights.

        If `side_by_side`, the functions take many networks, with an axis of seeds.
        Otherwise they take one network. If `redrawn`, the points of many networks have
        this axis, too.
        """
        own = 0 if redrawn else None
        on_cpu, several = jax.default_backend() == "cpu", jax.local_device_count() > 1
        few = seeds * size <= FEW_WEIGHTS

        def jit(f, *axes, donate=(), level=LEVEL):
            return jax.jit(
                jax.vmap(f, axes) if side_by_side and axes else f,
                donate_argnums=donate,
                compiler_options=(
                    xla.options(level, large=not few) if on_cpu else None
                ),
            )

        def one_by_one(points, states, f0, steps):
            def step(network):
                state, f0, *own = network
                return self.advance(own[0] if redrawn else points, state, f0, steps)

            networks = (states, f0, points) if redrawn else (states, f0)
            return jax.lax.map(step, networks)

        begin = jit(self.begin, own, None, 0, level=0 if few else LEVEL)
        if on_cpu and side_by_side and size > STEPPED_TOGETHER and not several:
            advance = jit(one_by_one, donate=1)
        else:
            advance = jit(self.advance, own, 0, 0, None, donate=1)
        return Compiled(
            arrays=frozenset(
                n for r in self.recorders for n in (*r.arrays, *r.optional)
            ),
            begin=lambda points, replicates: begin(
                points, key, self.drawn(points, key, replicates)
            ),
            advance=advance,
            observe=jit(self.observe, own, 0, 0, None),
            snapshot=jit(self.snapshot, own, 0, 0),
            ends=self._if_any("ends", jit(self.ends, own, 0, 0)),
            end=self._if_any("end", jit(self.end, own, 0, 0, level=0)),
        )

    def _if_any(self, moment: str, f: Callable) -> Callable:
        """The compiled function f, or an empty record if no recorder needs `moment`."""
        nothing = getattr(Recorder, moment)
        if all(getattr(type(r), moment) is nothing for r in self.recorders):
            return lambda points, params, start: {}
        return f

    def _record(self, moment: str, now: Now) -> dict:
        record: dict = {}
        for recorder in self.recorders:
            record |= getattr(recorder, moment)(self, now)
        return record

    def _signals(self, params, x):
        return signals(self.model.apply, params, x, self.model.learning_rates(params))

    @staticmethod
    def key(key, width: int, replicate):
        """The key of replicate r."""
        return jax.random.fold_in(jax.random.fold_in(key, width), replicate)

    def init(self, points: Points, key, replicate):
        """Raw parameters of replicate r."""
        d, k = points.x.shape[-1], points.y.shape[-1]
        key = self.key(key, self.width, replicate)
        return self.model.init_params(key, self.width, d, k, points.x.dtype)

    def drawn(self, points: Points, key, replicates):
        """The numbers of replicates, and their parameters if Python draws these."""
        if not self.draws_in_python:
            return replicates, None
        if np.ndim(replicates) == 0:
            return replicates, self.init(points, key, replicates)
        each = [self.init(points, key, int(r)) for r in np.asarray(replicates)]
        params = jax.tree.map(lambda *a: jnp.stack(a), *each)
        return replicates, shared_over_devices(params)

    def shapes(self, points: Points, key):
        """The parameters of a network, or their shapes."""
        init = partial(self.init, points, key, 0)
        return init() if self.draws_in_python else jax.eval_shape(init)

    def begin(self, points: Points, key, drawn) -> tuple[_State, Start]:
        """A network at initialisation, and the arrays that recorders keep of it."""
        state = self.state(points, key, *drawn)
        params = state.params
        y, found = self._signals(params, points.all())
        kept = self._record("begin", Now(points, params, f=y, signals=found))
        return state, Start(params, f0=self.zero(y), kept=kept)

    def state(self, points: Points, key, replicate, params=None) -> _State:
        """Network number `replicate` at initialisation."""
        if params is None:
            params = self.init(points, key, replicate)
        wide = jax.config.jax_enable_x64  # type: ignore[attr-defined]  # made at run time
        zero = jnp.zeros((), jnp.int64 if wide else jnp.int32)
        state = _State(params, self.optimizer.init(params), zero, jnp.array(False))
        to_start = self.training.weight_decay and self.training.decay_to == "w0"
        if self.linear or to_start:
            state = state._replace(w0=params)
        if self.training.batch is not None:
            key = batches.key_of(key, self.width, replicate)
            state = state._replace(key=key)
        return state

    def zero(self, y):
        """h₀ (n+m k) of outputs y before the first step, or (1 1) zero."""
        subtract = self.model.zero_output in FROZEN_COPY
        return y if subtract else jnp.zeros((1, 1), y.dtype)

    def outputs(self, params, x, f0, w0=None):
        """f = α(h − h₀), with the linearisation of h at w₀ in a linear run."""
        apply = linearize(self.model.apply, w0) if self.linear else self.model.apply
        return self.model.alpha * (apply(params, x) - f0)

    def advance(self, points: Points, state: _State, f0, steps) -> _State:
        """Train for `steps` steps, or fewer if the loss falls below `stop_at_loss`."""
        target = self.training.stop_at_loss
        # `stop_at_loss` is in units of y, but the loss is divided by α²
        target = None if target is None else target / self.model.alpha**2
        rates = self.model.learning_rates(state.params)

        def step(state: _State) -> _State:
            x, y, at = self.batch(points, f0, state)

            def loss_of(params):
                f = self.outputs(params, x, at, state.w0)
                return self.loss.value(f, y, self.model.alpha)

            loss, gradient = jax.value_and_grad(loss_of)(state.params)
            gradient = self.decayed(gradient, state, rates)
            stop = jnp.array(False)
            if target is not None:
                stop = (loss < target) | ~jnp.isfinite(loss)
            # optax's Adam raises a decay rate to an integer power
            with jax.numpy_dtype_promotion("standard"):
                updates, optimizer = self.optimizer.update(
                    gradient, state.optimizer, state.params
                )
            go = jnp.where(stop, 0.0, 1.0).astype(x.dtype)
            params = jax.tree.map(
                lambda w, u, rate: w + (go * rate) * u, state.params, updates, rates
            )
            done = state.steps_done + (~stop).astype(state.steps_done.dtype)
            return state._replace(
                params=params, optimizer=optimizer, steps_done=done, stopped=stop
            )

        if target is None:
            return jax.lax.fori_loop(0, steps, lambda _, s: step(s), state)

        def running(carry):
            done, state = carry
            return (done < steps) & ~state.stopped

        def body(carry):
            done, state = carry
            return done + 1, step(state)

        return jax.lax.while_loop(running, body, (0, state))[1]

    def batch(self, points: Points, f0, state: _State):
        """Points, targets and h₀ of a step."""
        x, y, _ = points
        if (size := self.training.batch) is None:
            return x, y, f0[: len(x)]
        rows = batches.rows(state.key, state.steps_done, len(x), size)
        return x[rows], y[rows], f0[rows] if len(f0) > 1 else f0

    def decayed(self, gradient, state: _State, rates):
        """∇L + λR⁻¹(w − w_*), R the relative learning rates."""
        if not (decay := self.training.weight_decay):
            return gradient
        away = state.params
        if self.training.decay_to == "w0":
            away = jax.tree.map(jnp.subtract, away, state.w0)
        return jax.tree.map(
            lambda g, w, rate: g + decay / rate * w if rate else g,
            gradient,
            away,
            rates,
        )

    def observe(self, points: Points, params, start: Start, index) -> dict:
        """The records of a recorded step."""
        f = self.outputs(params, points.all(), start.f0)
        return self._record("observe", Now(points, params, start, f=f, index=index))

    def snapshot(self, points: Points, params, start: Start) -> dict:
        """The records of a snapshot."""
        _, found = self._signals(params, points.x)
        return self._record("snapshot", Now(points, params, start, signals=found))

    def ends(self, points: Points, params, start: Start) -> dict:
        """The records before the first step and after the last."""
        return self._record("ends", Now(points, params, start))

    def end(self, points: Points, params, start: Start) -> dict:
        """The records after the last step."""
        return self._record("end", Now(points, params, start))


def as_numpy(tree):
    """A tree of NumPy arrays."""
    return jax.tree.map(np.asarray, tree)
