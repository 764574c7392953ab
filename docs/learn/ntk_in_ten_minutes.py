# %% [markdown]
# # The NTK in ten minutes
#
# This notebook computes what [The NTK in two pages](ntk.md) derives: the kernel of a
# network, its change in training, and the closed-form solution of training. It needs
# half a minute on one core. Run it as a program from the top of the checkout,
# `.venv/bin/python docs/learn/ntk_in_ten_minutes.py`, or open it in Jupyter with
# Jupytext.

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt

from ntkpipe.kernels import linearize, ntk, predict, relative_change
from ntkpipe.models import MLP

jax.config.update("jax_enable_x64", True)

# %% [markdown]
# ## Data and a network
#
# Eight points on the unit circle, and a target that oscillates once and three times
# around it. The network has two hidden layers of `tanh`, in the NTK parametrisation.

# %%
angle = jnp.arange(8) * 2 * jnp.pi / 8
x = jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=1)
y = (jnp.cos(angle) + 0.5 * jnp.cos(3 * angle))[:, None]

model = MLP(depth=2, activation="tanh", b_std=0.1)
params = model.init_params(jax.random.key(0), width=64, d=2, k=1)
f = model.apply(params, x)
print(
    f"{f.shape[0]} points, {f.shape[1]} output, loss {jnp.mean((f - y) ** 2) / 2:.3f}"
)

# %% [markdown]
# ## The kernel
#
# Θ(x, x′) = Σ_w ∂f(x)/∂w · ∂f(x′)/∂w has two indices of points and two of outputs.
# `ntk` computes it layer by layer. The definition, with the whole Jacobian, gives the
# same numbers.

# %%
theta = ntk(model.apply, params, x)
jacobian = jax.jacobian(lambda p: model.apply(p, x)[:, 0])(params)
rows = jnp.concatenate([g.reshape(8, -1) for g in jax.tree.leaves(jacobian)], axis=1)
print("shape of the kernel:", theta.shape)
print("weights:", rows.shape[1])
print(f"largest difference: {jnp.abs(theta[:, 0, :, 0] - rows @ rows.T).max():.1e}")

# %% [markdown]
# H = Θ/N says how fast training is. Its eigenvalues are the rates at which the
# components of the error decay. The largest stable learning rate is 2/λ_max.

# %%
rates, modes = jnp.linalg.eigh(theta[:, 0, :, 0] / 8)
print("eigenvalues of H:", *(f"{rate:.4f}" for rate in rates[::-1]))
print(f"largest stable learning rate: {2 / rates[-1]:.2f}")

# %% [markdown]
# ## Training, and the theory of it
#
# Gradient descent on L = 1/(2N) Σ (f − y)². `predict` has the closed-form solution of
# the *linearised* network, from the kernel at the start alone.


# %%
def train(params, steps, learning_rate):
    """Outputs (steps n k) before each step, and the trained parameters."""

    def loss(p):
        return jnp.sum((model.apply(p, x) - y) ** 2) / (2 * len(x))

    def step(p, _):
        gradient = jax.grad(loss)(p)
        new = jax.tree.map(lambda w, g: w - learning_rate * g, p, gradient)
        return new, model.apply(p, x)

    after, outputs = jax.lax.scan(step, params, length=steps)
    return outputs, after


def size(tree):
    """The norm of all weights."""
    return jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(tree)))


learning_rate, steps, networks = 1.0, 400, 5
print("width  change of Θ  change of w  distance from theory  last loss")
for width in (16, 64, 256, 1024):
    keys = jax.random.split(jax.random.key(width), networks)
    start = jax.vmap(lambda key: model.init_params(key, width=width, d=2, k=1))(keys)
    outputs, end = jax.vmap(lambda p: train(p, steps, learning_rate))(start)
    before = jax.vmap(lambda p: ntk(model.apply, p, x))(start)
    after = jax.vmap(lambda p: ntk(model.apply, p, x))(end)
    theory = jax.vmap(
        lambda theta, f0: predict(theta, f0, y, jnp.arange(steps), learning_rate)
    )(before, outputs[:, 0])
    moved = jax.tree.map(lambda a, b: a - b, end, start)
    numbers = (
        jax.vmap(size)(after - before) / jax.vmap(size)(before),
        jax.vmap(size)(moved) / jax.vmap(size)(start),
        jnp.abs(outputs - theory.f_train).max((1, 2, 3)),
        jnp.mean((outputs[:, -1] - y) ** 2, axis=(1, 2)) / 2,
    )
    change, weights, gap, loss = (float(jnp.median(values)) for values in numbers)
    print(f"{width:5}  {change:11.4f}  {weights:11.4f}  {gap:20.4f}  {loss:9.1e}")

# %% [markdown]
# Each row has medians over five networks. From row to row the width grows by four, and
# the change of the kernel falls by three to four: nearly as 1/n, the law of wide
# networks. The distance from theory falls, too, while all losses end small. So wide
# networks learn *and* stay where their linearisation is exact.
#
# ## Each eigenvector has its own rate
#
# The component of the error along eigenvector k decays as |1 − ηλ_k|^step. The dashed
# lines are this formula for one of the widest networks above; nothing is fitted.

# %%
rates, modes = jnp.linalg.eigh(before[0, :, 0, :, 0] / 8)
error = jnp.abs(jnp.einsum("nk,tn->tk", modes, outputs[0, :, :, 0] - y[:, 0]))
time = jnp.arange(steps)
figure, axes = plt.subplots(figsize=(5, 3.2), layout="constrained")
for k, color in zip((7, 5, 3, 1), ("C0", "C1", "C2", "C3"), strict=True):
    axes.plot(time, error[:, k], color, label=f"λ = {rates[k]:.3f}")
    law = error[0, k] * jnp.abs(1 - learning_rate * rates[k]) ** time
    axes.plot(time, law, color, linestyle="--", linewidth=1)
axes.set(
    yscale="log", ylim=(1e-4, 3), xlabel="gradient steps", ylabel="|v_k · (f − y)|"
)
axes.legend(title="network; dashed: theory")
plt.show()

# %% [markdown]
# Large components follow the formula. A component that has become small leaves it,
# because the kernel has changed a little and the large components feed the small one.
# In a wider network this happens later.
#
# ## The kernel becomes deterministic
#
# Different random weights give different kernels. The spread falls with the width, and
# the mean goes to the kernel of an infinitely wide network, which `model.infinite` has
# in closed form or as a convergent series.

# %%
limit = model.infinite(x).ntk
print("width  distance from the limit, of three networks")
for width in (16, 256, 4096):
    distances = []
    for seed in range(3):
        p = model.init_params(jax.random.key(seed), width=width, d=2, k=1)
        distances.append(relative_change(limit, ntk(model.apply, p, x)[:, 0, :, 0]))
    print(f"{width:5} ", *(f"{distance:.4f}" for distance in distances))

# %% [markdown]
# The width grows by 16 from row to row, and the distance falls by about four: as n^−½.
# The study [jacot_kernel](../../config/studies/jacot_kernel.yaml) measures this
# exponent with an interval.
#
# ## The linearised network as a function
#
# `linearize` makes the tangent of a network at given parameters. It is a function of
# the parameters and of x, as the network is.

# %%
first, trained = (jax.tree.map(lambda leaf: leaf[0], p) for p in (start, end))
tangent = linearize(model.apply, first)
gap = jnp.abs(model.apply(trained, x) - tangent(trained, x)).max()
print(f"width 1024, after training: network − tangent at most {gap:.4f}")

# %% [markdown]
# Next: [My own network](my_network.py).
