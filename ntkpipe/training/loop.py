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
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ntkpipe import xla
from ntkpipe.data.base import Data
from ntkpipe.kernels import taps
from ntkpipe.kernels.devices import shared_over_devices
from ntkpipe.models.mlp import MLP
from ntkpipe.training.loss import SQUARED
from ntkpipe.training.optimizers import transformation
from ntkpipe.training.protocol import Training
from ntkpipe.training.recorders import RECORDERS
from ntkpipe.training.recorders.base import Now, Recorder, Start
from ntkpipe.training.recorders.outputs import layer_names
from ntkpipe.training.trajectory import Trajectory

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
# The compiler's optimisation level. Of a short job compilation is most: at level 1 the
# loop takes 9 to 19 % less CPU time to compile than at the default and the draw of the
# weights 25 to 32 %, other functions about as long; the loop then runs 0.97 to 1.06
# times as long (40 networks of width 10, 128 and 300, tanh and relu, float64, on a
# shared machine). What runs once goes at level 0, which compiles in 0.6 times the time
# of level 1, unless it draws so many weights, of all seeds, that it runs longer than
# that saves: 107 ns a weight at level 0, 17 at level 1.
LEVEL = 1
FEW_WEIGHTS = 2_000_000


class _State(NamedTuple):
    params: tuple
    optimizer: tuple
    steps_done: jax.Array
    stopped: jax.Array


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
    points = Points(x, y, x_test)
    run = Run(model, training, width)
    shapes = jax.eval_shape(run.init, points, key, 0)
    size = sum(leaf.size for leaf in jax.tree.leaves(shapes))
    devices = jax.local_device_count()
    batch = seeds if size <= SIDE_BY_SIDE else devices
    together = size <= SIDE_BY_SIDE or devices > 1
    # each device has as many, those of the last batch that are too many are dropped
    batch = math.ceil(batch / devices) * devices
    compiled = run.compiled(points, key, seeds, size, together)
    batches = []
    for first in range(0, seeds, batch):
        last = min(first + batch, seeds) - 1
        label = f"width {width}, seed {first}" + f"–{last}" * (last > first)
        replicates: Any = first
        if together:
            replicates = np.arange(first, first + batch)
            replicates = shared_over_devices(replicates)
        record = _train_batch(compiled, replicates, training, partial(progress, label))
        batches.append(record if together else {k: v[None] for k, v in record.items()})
    whole = {
        name: np.concatenate([batch[name] for batch in batches])[:seeds]
        for name in batches[0]
    }
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


def _train_batch(run, replicates, training, progress) -> dict[str, np.ndarray]:
    """Advance one network, or many side by side, from record to record."""
    state, start = run.begin(replicates)
    steps = training.recorded()
    snapshots = set(training.snapshot_indices().tolist())
    observed, kernels, ends = [], [], [_numpy(run.ends(state.params, start))]
    for index, step in enumerate(steps):
        if index:
            state = run.advance(state, start.f0, int(step - steps[index - 1]))
        observed.append(_numpy(run.observe(state.params, start, index)))
        if index in snapshots:
            kernels.append(_numpy(run.snapshot(state.params, start)))
        progress(int(step), int(steps[-1]))
    ends.append(_numpy(run.ends(state.params, start)))
    axis = state.stopped.ndim  # of time: after the seeds, where there are several
    record = {n: np.asarray(a) for n, a in start.kept.items() if n in run.arrays}
    for moments in (observed, kernels, ends):
        record |= jax.tree.map(lambda *a: np.stack(a, axis), *moments)
    record |= _numpy(run.end(state.params, start))
    final_loss = np.asarray(observed[-1]["loss"])
    diverged = ~np.isfinite(final_loss)
    for name in ("f_test", "ntk"):  # float32 may end here before it ends in the loss
        over_time = tuple(range(axis, record[name].ndim))
        diverged = diverged | ~np.isfinite(record[name]).all(over_time)
    return record | {
        "stop_step": np.asarray(state.steps_done),
        "converged": ~diverged & (final_loss < (training.stop_at_loss or -np.inf)),
        "diverged": diverged,
    }


class Points(NamedTuple):
    """Training points and targets, and test points."""

    x: jax.Array
    y: jax.Array
    x_test: jax.Array

    def all(self) -> jax.Array:
        """Training and test points."""
        return jnp.concatenate([self.x, self.x_test])


class Compiled(NamedTuple):
    """The functions of `Run`, compiled, of a key and points."""

    begin: Callable
    advance: Callable
    observe: Callable
    snapshot: Callable
    ends: Callable
    end: Callable
    arrays: frozenset[str]
    """Names of what is recorded."""


class Run:
    """The functions of one network that `train` compiles: few, as each takes time."""

    def __init__(self, model: MLP, training: Training, width: int):
        self.model, self.training, self.width = model, training, width
        self.loss, self.optimizer = SQUARED, transformation(training)
        self.recorders = [r for r in RECORDERS if r.wanted(training)]

    def compiled(
        self, points: Points, key, seeds: int, size: int, together: bool
    ) -> Compiled:
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
        return Compiled(
            arrays=frozenset(
                n for r in self.recorders for n in (*r.arrays, *r.optional)
            ),
            begin=partial(begin, points, key),
            advance=partial(advance, points),
            observe=partial(jit(self.observe, None, 0, 0, None), points),
            snapshot=partial(jit(self.snapshot, None, 0, 0), points),
            ends=self._if_any("ends", jit(self.ends, None, 0, 0), points),
            end=self._if_any("end", jit(self.end, None, 0, 0, level=0), points),
        )

    def _if_any(self, moment: str, f: Callable, points: Points) -> Callable:
        """A function that is called only where a recorder records something then."""
        nothing = getattr(Recorder, moment)
        if all(getattr(type(r), moment) is nothing for r in self.recorders):
            return lambda params, start: {}
        return partial(f, points)

    def _record(self, moment: str, now: Now) -> dict:
        found: dict = {}
        for recorder in self.recorders:
            found |= getattr(recorder, moment)(self, now)
        return found

    def init(self, points: Points, key, replicate):
        """Raw parameters of replicate r."""
        key = jax.random.fold_in(jax.random.fold_in(key, self.width), replicate)
        d, k = points.x.shape[1], points.y.shape[1]
        return self.model.init_params(key, self.width, d, k, points.x.dtype)

    def begin(self, points: Points, key, replicate) -> tuple[_State, Start]:
        """A network and what is known of it before the first step."""
        params = self.init(points, key, replicate)
        wide = jax.config.jax_enable_x64  # type: ignore[attr-defined]  # made at run time
        zero = jnp.zeros((), jnp.int64 if wide else jnp.int32)
        state = _State(params, self.optimizer.init(params), zero, jnp.array(False))
        y, sites = taps.signals(self.model.apply, params, points.all())
        subtract = self.model.zero_output == "subtract"
        kept = self._record("begin", Now(points, params, f=y, sites=sites))
        return state, Start(
            params, f0=y if subtract else jnp.zeros((1, 1), y.dtype), kept=kept
        )

    def outputs(self, params, x, f0):
        """f = α(h − h₀)."""
        return self.model.alpha * (self.model.apply(params, x) - f0)

    def advance(self, points: Points, state: _State, f0, steps) -> _State:
        """Do `steps` steps of training, or fewer where the loss is small enough."""
        x, y, _ = points
        target = self.training.stop_at_loss
        # in units of y: the α² of the loss is undone
        target = None if target is None else target / self.model.alpha**2
        rates = self.model.learning_rates(state.params)

        def loss_of(params):
            f = self.outputs(params, x, f0[: len(x)])
            return self.loss.value(f, y, self.model.alpha)

        def step(state: _State) -> _State:
            loss, gradient = jax.value_and_grad(loss_of)(state.params)
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
            return _State(params, optimizer, done, stop)

        if target is None:
            return jax.lax.fori_loop(0, steps, lambda _, s: step(s), state)

        def running(carry):
            done, state = carry
            return (done < steps) & ~state.stopped

        def body(carry):
            done, state = carry
            return done + 1, step(state)

        return jax.lax.while_loop(running, body, (0, state))[1]

    def observe(self, points: Points, params, start: Start, index) -> dict:
        """What is recorded at each recorded step."""
        f = self.outputs(params, points.all(), start.f0)
        return self._record("observe", Now(points, params, start, f=f, index=index))

    def snapshot(self, points: Points, params, start: Start) -> dict:
        """What is recorded at each snapshot."""
        _, sites = taps.signals(self.model.apply, params, points.x)
        return self._record("snapshot", Now(points, params, start, sites=sites))

    def ends(self, points: Points, params, start: Start) -> dict:
        """What is recorded before the first step and after the last."""
        return self._record("ends", Now(points, params, start))

    def end(self, points: Points, params, start: Start) -> dict:
        """What is recorded after the last step."""
        return self._record("end", Now(points, params, start))


def _numpy(tree):
    return jax.tree.map(np.asarray, tree)
