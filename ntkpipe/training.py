"""Full-batch training, with the kernel measured on the way.

Loss L(w) = 1/(2Nα²) Σ_i ‖f(x_i; w) − y_i‖² with f = α(h − h₀), where h₀ is zero or the
network at initialisation (`zero_output: subtract`). Gradient descent w ← w − η∇L then
moves f by −(η/N) Θ (f − y), with Θ the NTK of h, whatever α is. Time is t = η·step.

Between two recorded steps everything is one jitted loop over donated buffers; at a
recorded step the outputs are read and at a snapshot the kernel is, so that no
trajectory of weights is ever stored.
"""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from pydantic import Field

from ntkpipe import curvature, empirical
from ntkpipe.datasets import Data
from ntkpipe.models import MLP, dense
from ntkpipe.section import section

# Up to so many weights a network, seeds are trained side by side (vmap): the batched
# products of wider networks are slower than one network after the other.
SIDE_BY_SIDE = 100_000


@section
class Training:
    """Full-batch training and what is recorded of it."""

    optimizer: Literal["gd", "momentum", "adam"] = "gd"
    """Gradient descent, heavy ball, or Adam."""
    learning_rate: Annotated[float, Field(gt=0)]
    """Learning rate η."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Momentum β of the heavy ball."""
    steps: Annotated[int, Field(ge=0, le=10**9)]
    """Number of steps at most."""
    stop_at_loss: Annotated[float, Field(gt=0)] | None = None
    """Stop a network as soon as its training loss is below this."""
    record: Annotated[int, Field(ge=2, le=10_000)] = 50
    """Number of steps, 0 and the last included, at which outputs are recorded."""
    spacing: Literal["log", "linear"] = "log"
    """How recorded steps are spaced."""
    snapshots: Annotated[int, Field(ge=1, le=1000)] = 2
    """Number of recorded steps, 0 and the last included, with kernels."""
    kernel: Literal["full", "trace"] = "full"
    """All k × k outputs of the kernel, or its trace over them divided by k."""
    test_kernel: bool = False
    """Keep the kernel among the test points too, before and after training."""
    curvature: bool = False
    """Measure ‖∇f‖ and ‖∇²f‖ of the first output at the first training point."""

    def recorded(self) -> np.ndarray:
        """Steps at which outputs are recorded, ascending, 0 and `steps` included."""
        if self.spacing == "linear":
            steps = np.linspace(0, self.steps, self.record)
        else:
            steps = np.geomspace(1, max(self.steps, 1), self.record - 1)
        steps = np.minimum(np.round(steps).astype(int), self.steps)
        return np.unique([0, *steps, self.steps])

    def snapshot_indices(self) -> np.ndarray:
        """Which of the recorded steps have kernels."""
        last = len(self.recorded()) - 1
        if self.snapshots == 1:
            return np.array([0])
        return np.unique(np.round(np.linspace(0, last, self.snapshots)).astype(int))

    def transformation(self):
        """The optimiser as an optax gradient transformation."""
        import optax  # 0.3 s, which only this stage has to pay

        if self.optimizer == "adam":
            return optax.adam(self.learning_rate)
        momentum = self.momentum if self.optimizer == "momentum" else None
        return optax.sgd(self.learning_rate, momentum)


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
    nngp: np.ndarray  # (s p n n)
    gradient_norm: np.ndarray  # (s c) ‖∇h‖ at snapshots; c = 0 if not measured
    hessian_norm: np.ndarray  # (s c) ‖∇²h‖
    feature_change: np.ndarray  # (s p h) ‖h_l(t) − h_l(0)‖/‖h_l(0)‖, hidden layers
    stop_step: np.ndarray  # (s,) steps done
    converged: np.ndarray  # (s,) the loss to stop at was reached
    diverged: np.ndarray  # (s,) the loss left the finite numbers
    seed: np.ndarray  # (s,)


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
    x, y, x_test, _ = (jnp.asarray(a, dtype) for a in data)
    key = jax.random.fold_in(key, width)

    def init(replicate):
        key_r = jax.random.fold_in(key, replicate)
        return model.init_params(key_r, width, x.shape[1], y.shape[1], dtype)

    size = sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(init, 0)))
    together = size <= SIDE_BY_SIDE
    run = _Run(model, training, x, y, x_test).compiled(together)
    init_all = jax.jit(jax.vmap(init) if together else init)
    records = []
    for batch in [range(seeds)] if together else [[r] for r in range(seeds)]:
        params = init_all(jnp.asarray(batch) if together else batch[0])
        label = f"width {width}, seed {batch[0]}" + f"–{batch[-1]}" * together
        record = _train_batch(run, params, training, partial(progress, label))
        records.append(record if together else {k: v[None] for k, v in record.items()})
    whole = {name: np.concatenate([r[name] for r in records]) for name in records[0]}
    return Trajectory(
        step=training.recorded(),
        snapshot=training.recorded()[training.snapshot_indices()],
        layer=np.array(_layer_names(jax.eval_shape(init, 0))),
        seed=np.arange(seeds),
        **whole,
    )


def _train_batch(run, params, training, progress) -> dict[str, np.ndarray]:
    """Advance one network, or many side by side, from record to record."""
    first = run.first(params)
    start = jax.tree.map(jnp.copy, params)  # `advance` takes the buffers of `params`
    state = run.start(params)
    steps = training.recorded()
    snapshots = set(training.snapshot_indices().tolist())
    observed, kernels = [], []
    test_kernels = [_numpy(run.test_kernel(params))] if training.test_kernel else []
    for index, step in enumerate(steps):
        if index:
            state = run.advance(state, first["f0"], int(step - steps[index - 1]))
        observed.append(_numpy(run.observe(state, start, first["f0"])))
        if index in snapshots:
            kernels.append(_numpy(run.snapshot(state.params, start)))
        progress(int(step), int(steps[-1]))
    axis = state.stopped.ndim  # of time: after the seeds, where there are several
    record = jax.tree.map(lambda *a: np.stack(a, axis), *observed)
    record |= jax.tree.map(lambda *a: np.stack(a, axis), *kernels)
    for norm in ("gradient_norm", "hessian_norm"):  # (s p 1) → (s p), (s p 0) → (s 0)
        record[norm] = record[norm].reshape(*record[norm].shape[:axis], -1)
    if training.test_kernel:
        test_kernels.append(_numpy(run.test_kernel(state.params)))
        ntk_test = np.stack(test_kernels, axis)
    else:
        *seeds, m, _ = observed[0]["f_test"].shape
        ntk_test = np.zeros((*seeds, 0, m, 1, m, 1))
    done = np.asarray(state.steps_done)
    final_loss = np.asarray(observed[-1]["loss"])
    diverged = ~np.isfinite(final_loss)
    return record | {
        "weight_norm": np.asarray(first["weight_norm"]),
        "ntk_test_train": np.expand_dims(np.asarray(first["ntk_test_train"]), axis),
        "ntk_test": ntk_test,
        "stop_step": done,
        "converged": ~diverged & (final_loss < (training.stop_at_loss or -np.inf)),
        "diverged": diverged,
    }


class _Compiled(NamedTuple):
    start: Callable
    first: Callable
    advance: Callable
    observe: Callable
    snapshot: Callable
    test_kernel: Callable


class _Run:
    """The functions of one network that `train` compiles."""

    def __init__(self, model: MLP, training: Training, x, y, x_test):
        self.model, self.training = model, training
        self.x, self.y, self.x_test = x, y, x_test
        self.optimizer = training.transformation()

    def compiled(self, side_by_side: bool) -> "_Compiled":
        """The functions compiled, for one network or for many at once."""

        def over(f, in_axes=0):
            return jax.vmap(f, in_axes) if side_by_side else f

        return _Compiled(
            start=jax.jit(over(self.start)),
            first=jax.jit(over(self.first)),
            advance=jax.jit(over(self.advance, (0, 0, None)), donate_argnums=0),
            observe=jax.jit(over(self.observe)),
            snapshot=jax.jit(over(self.snapshot)),
            test_kernel=jax.jit(over(self.test_kernel)),
        )

    def start(self, params) -> _State:
        zero = jnp.zeros((), jnp.int64 if jax.config.jax_enable_x64 else jnp.int32)
        return _State(params, self.optimizer.init(params), zero, jnp.array(False))

    def first(self, params) -> dict:
        """What is known before the first step."""
        apply, subtract = self.model.apply, self.model.zero_output == "subtract"
        zero = jnp.zeros((), self.x.dtype)
        return {
            "f0": (
                apply(params, self.x) if subtract else zero,
                apply(params, self.x_test) if subtract else zero,
            ),
            "weight_norm": _layer_norms(params),
            "ntk_test_train": empirical.ntk(
                apply, params, self.x_test, self.x, outputs=self.training.kernel
            ),
        }

    def outputs(self, params, x, f0):
        return self.model.alpha * (self.model.apply(params, x) - f0)

    def loss(self, params, f0):
        residual = self.outputs(params, self.x, f0) - self.y
        return jnp.sum(residual**2) / (2 * len(self.x) * self.model.alpha**2)

    def advance(self, state: _State, f0, steps) -> _State:
        """Do `steps` steps of training, or fewer where the loss is small enough."""
        target = self.training.stop_at_loss
        # in units of y: the α² of the loss is undone
        target = None if target is None else target / self.model.alpha**2
        rates = self.model.learning_rates(state.params)

        def step(state: _State) -> _State:
            loss, gradient = jax.value_and_grad(self.loss)(state.params, f0[0])
            stop = jnp.array(False)
            if target is not None:
                stop = (loss < target) | ~jnp.isfinite(loss)
            updates, optimizer = self.optimizer.update(
                gradient, state.optimizer, state.params
            )
            go = jnp.where(stop, 0.0, 1.0).astype(self.x.dtype)
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

    def observe(self, state: _State, start, f0) -> dict:
        """Outputs, loss and weight change, at each recorded step."""
        f_train = self.outputs(state.params, self.x, f0[0])
        change = jax.tree.map(jnp.subtract, state.params, start)
        return {
            "loss": jnp.sum((f_train - self.y) ** 2) / (2 * len(self.x)),
            "f_train": f_train,
            "f_test": self.outputs(state.params, self.x_test, f0[1]),
            "weight_change": _layer_norms(change),
        }

    def snapshot(self, params, start) -> dict:
        """Kernels and features, at each snapshot."""
        _, sites = empirical.signals(self.model.apply, params, self.x)
        gradient_norm = hessian_norm = jnp.zeros(0)
        if self.training.curvature:
            found = curvature.of_model(self.model, params, self.x[:1])
            gradient_norm, hessian_norm = found.gradient_norm[0], found.hessian_norm[0]
        before = _features(self.model.apply, start, self.x)
        after = _features(self.model.apply, params, self.x)
        return {
            "ntk": empirical.block(sites, sites, self.training.kernel),
            "nngp": empirical.last_layer(sites),
            "gradient_norm": gradient_norm[:1],
            "hessian_norm": hessian_norm[:1],
            "feature_change": jnp.stack(
                [
                    jnp.linalg.norm(b - a) / jnp.linalg.norm(a)
                    for a, b in zip(before, after, strict=True)
                ]
            ),
        }

    def test_kernel(self, params) -> jax.Array:
        """Θ among the test points, traced, (m 1 m 1)."""
        return empirical.ntk(self.model.apply, params, self.x_test, outputs="trace")


def _features(apply, params, x) -> list[jax.Array]:
    """Activations of the hidden layers: what all dense layers but the first read."""
    inputs = []

    def listen(name, h, layer, scale):
        inputs.append(h)
        return dense(name, h, layer, scale)

    apply(params, x, listen)
    return [h for h in inputs if h is not x]


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
