"""Measure a user's network on the user's points: time, kernel, scatter of networks."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ntkpipe.ask import plan
from ntkpipe.ask.plan import Speed
from ntkpipe.kernels import compare, linear, ntk
from ntkpipe.training import train
from ntkpipe.training.losses.squared import SQUARED
from ntkpipe.training.protocol import Training

if TYPE_CHECKING:
    from ntkpipe.data.base import Data
    from ntkpipe.models.built import Built
    from ntkpipe.models.python import Python

LONG = 0.1
"""Seconds for which steps are timed, at least."""


LEAST_RATE = 1e-12
"""Below it, the divergence of a network has other causes than its learning rate."""


class Probe(NamedTuple):
    """One network of a width, and its kernel on the training points."""

    speed: Speed
    shapes: tuple[tuple[int, ...], ...]
    """Of the parameters."""
    weights: int
    theta: np.ndarray
    """Θ, (n k n k)."""
    f0: np.ndarray
    """Outputs at initialisation, (n k)."""

    largest: np.ndarray
    """λ_max of Θ/N of several networks, of which `theta` and `f0` are the first."""

    def of_points(self, points: int) -> Probe:
        """The same network with the first points, whose λ_max hardly differs."""
        return self._replace(
            speed=self.speed.of_points(points / len(self.f0)),
            theta=self.theta[:points, :, :points],
            f0=self.f0[:points],
        )


def probe(model: Python, data: Data, width: int, seed: int) -> Probe:
    """Build a network, and time its kernel and its steps.

    Raises:
        UsersError: the network is refused, see `models.built`.
    """
    begin = time.monotonic()
    x, y = jnp.asarray(data.x_train), jnp.asarray(data.y_train)
    drawn = jax.random.fold_in(jax.random.key(seed), width)
    keys = [*jax.random.split(drawn, plan.PILOT)]
    every = jnp.concatenate([x, jnp.asarray(data.x_test)])
    network = model.built(width, every, y.shape[1], keys)
    params, rates = network.first.params, network.first.rates
    first = time.monotonic()
    theta = np.asarray(ntk(network.apply, params, x, rates=rates))
    compiled = time.monotonic()
    np.asarray(ntk(network.apply, params, x, rates=rates))
    kernel = time.monotonic() - compiled
    np.linalg.eigh(compare.matrix(theta))
    eigen = time.monotonic() - compiled - kernel
    others = (network.draw(key).params for key in keys[1:])
    kernels = [theta, *(ntk(network.apply, w, x, rates=rates) for w in others)]
    largest = 2 / np.array([*map(linear.max_learning_rate, kernels)])
    step, compiling = _step(network, x, y, 1 / theta.trace(axis1=0, axis2=2).trace())
    speed = Speed(
        width=width,
        step=step,
        kernel=kernel,
        eigen=eigen,
        # a training builds and checks the network, too
        start=(first - begin) + (compiled - first - kernel) + compiling,
    )
    shapes = tuple(a.shape for a in params.values())
    weights = sum(a.size for a in params.values())
    f0 = np.asarray(network.apply(params, x))
    return Probe(speed, shapes, weights, theta, f0, largest)


def _step(network: Built, x, y, eta: float) -> tuple[float, float]:
    """Seconds of a training step of one network, and of its compilation."""
    rates = network.first.rates

    @jax.jit
    def advance(params, steps):
        def step(_, params):
            def loss(params):
                return SQUARED.value(network.apply(params, x), y, 1.0)

            gradient = jax.grad(loss)(params)
            return {n: w - eta * rates[n] * gradient[n] for n, w in params.items()}

        return jax.lax.fori_loop(0, steps, step, params)

    def seconds(steps: int) -> float:
        begin = time.monotonic()
        jax.block_until_ready(advance(network.first.params, steps))
        return time.monotonic() - begin

    compiling, steps = seconds(1), 4
    while (took := seconds(steps)) < LONG:
        steps *= 4
    return took / steps, compiling


def wanted_steps(one: Probe, y: np.ndarray, eta: float) -> int:
    """Steps T with L(T) − L_end ≤ `LOSS_LEFT`·(L(0) − L_end) for the linearised model.

    L_end is its loss after `MOST_STEPS` steps, which is above 0 if some targets can't
    be learned.
    """
    steps = np.unique(np.geomspace(1, plan.MOST_STEPS, 241).round())
    loss = np.asarray(
        linear.predict(one.theta, one.f0, y, np.append(0, steps), eta).loss
    )
    there = loss[1:] - loss[-1] <= plan.LOSS_LEFT * (loss[0] - loss[-1])
    return int(steps[np.argmax(there)])


def exponent(probes: list[Probe]) -> float:
    """p of λ_max ~ width^p, to the nearest whole number; 0 for one width."""
    if len(probes) < 2:
        return 0.0
    x = np.log([one.speed.width for one in probes])
    slope = np.polyfit(x, [np.log(one.largest).mean() for one in probes], 1)[0]
    return float(np.round(slope)) + 0.0


class Pilot(NamedTuple):
    """A few networks, trained."""

    change: np.ndarray
    """Relative change of the kernel of each that did not diverge."""
    diverged: int

    @property
    def scatter(self) -> float:
        """Standard deviation of log change between networks."""
        return float(np.log(self.change).std(ddof=1)) if len(self.change) > 1 else 0.5


def pilot(
    model: Python,
    training: Training,
    data: Data,
    width: int,
    seed: int,
    networks: int,
) -> tuple[Pilot, Training]:
    """Train a few networks; halve the learning rate while one of them diverges."""
    key = jax.random.key(seed + 1)  # other networks than those of the study
    while True:
        arrays = train(model, training, data, width, key, networks)
        theta = compare.matrix(arrays["ntk"])[~arrays["diverged"]]
        change = compare.relative_change(theta[:, 0], theta[:, -1])
        found = Pilot(change[change > 0], int(arrays["diverged"].sum()))
        if not found.diverged or training.learning_rate < LEAST_RATE:
            return found, training
        training = replace(training, learning_rate=training.learning_rate / 2)
