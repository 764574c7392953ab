# %% [markdown]
# # My own network
#
# ntkpipe computes the kernel of *any* JAX function `apply(params, x)`. This notebook
# writes a small network with a gate, looks at its kernel, and asks whether the network
# becomes lazy as its width grows. It needs half a minute on one core. Run it as a
# program from the top of the checkout, `.venv/bin/python docs/learn/my_network.py`, or
# open it in Jupyter.

# %%
from functools import partial

import jax
import jax.numpy as jnp

from ntkpipe.kernels import linearize, ntk, relative_change
from ntkpipe.kernels.explain import explain

jax.config.update("jax_enable_x64", True)

# %% [markdown]
# ## Write it
#
# `build` draws the parameters of a width. The tree of parameters may have any
# structure. All weights are drawn from N(0, 1), and each product is divided by the
# square root of the number of its terms: this is the NTK parametrisation. h = tanh(Wx)
# ⊙ (1 + tanh(Gx))/2 is a layer with a gate.


# %%
def build(width, key, x):
    """f(x) = v·h/√n, h = tanh(Wx/√d) ⊙ (1 + tanh(Gx/√d))/2."""
    d = x.shape[1]
    keys = jax.random.split(key, 3)
    params = {
        "value": jax.random.normal(keys[0], (d, width)),
        "gate": jax.random.normal(keys[1], (d, width)),
        "last": jax.random.normal(keys[2], (width, 1)),
    }

    def apply(params, x):
        value = jnp.tanh(x @ params["value"] / d**0.5)
        gate = (1 + jnp.tanh(x @ params["gate"] / d**0.5)) / 2
        return (value * gate) @ params["last"] / width**0.5

    return apply, params


x = jax.random.normal(jax.random.key(0), (16, 3))
y = jnp.sin(2 * x[:, :1]) + x[:, 1:2] * x[:, 2:]
apply, params = build(128, jax.random.key(1), x)
print({name: leaf.shape for name, leaf in params.items()})

# %% [markdown]
# ## Its kernel
#
# `layers="each"` gives the part of each parameter. The parts add up to the kernel.
# Their traces say where the network learns.

# %%
parts = ntk(apply, params, x, layers="each")
theta = ntk(apply, params, x)
total = jnp.trace(theta[:, 0, :, 0])
for name, part in parts.items():
    print(f"{name}: {jnp.trace(part[:, 0, :, 0]) / total:.2f} of the trace")
print(f"sum − kernel: {jnp.abs(sum(parts.values()) - theta).max():.1e}")

# %% [markdown]
# `explain` says how each parameter enters. All three are factors of matrix products,
# whose kernels have a closed form. A parameter that enters in another way is
# differentiated, which is slower and not less exact.

# %%
for entry in explain(apply, params, x[:1]):
    print(entry)

# %% [markdown]
# ## Does it become lazy?
#
# Train it at four widths, with three seeds each, and compare the kernel before and
# after, and the trained network with its tangent at the start.


# %%
@partial(jax.jit, static_argnames=("f", "steps"))
def train(f, params, steps, learning_rate):
    """Parameters after gradient descent on L = 1/(2N) Σ (f − y)²."""

    def step(_, p):
        gradient = jax.grad(lambda p: jnp.sum((f(p, x) - y) ** 2) / (2 * len(x)))(p)
        return jax.tree.map(lambda w, g: w - learning_rate * g, p, gradient)

    return jax.lax.fori_loop(0, steps, step, params)


def kernel(f, params):
    """The kernel as a matrix."""
    return ntk(f, params, x)[:, 0, :, 0]


widths, results = (32, 128, 512, 2048), {}
print("width  change of Θ (3 seeds)   distance from the tangent")
for width in widths:
    changes, gaps = [], []
    for seed in range(3):
        f, start = build(width, jax.random.fold_in(jax.random.key(seed), width), x)
        end, tangent = train(f, start, 400, 0.5), linearize(f, start)
        changes.append(relative_change(kernel(f, start), kernel(f, end)))
        gaps.append(float(jnp.abs(f(end, x) - tangent(end, x)).max()))
    results[width] = changes
    print(
        f"{width:5} ",
        *(f"{c:6.4f}" for c in changes),
        "  ",
        *(f"{g:6.4f}" for g in gaps),
    )

# %% [markdown]
# ## The exponent
#
# The slope of log change on log width is the exponent p of n^p. Theory says −1 for a
# smooth network in the NTK parametrisation.

# %%
logs = jnp.log(jnp.array([results[n] for n in widths])).mean(axis=1)
slope = jnp.polyfit(jnp.log(jnp.array(widths)), logs, 1)[0]
print(f"change of the kernel ~ n^{slope:.2f}")

# %% [markdown]
# The narrowest networks are not in the regime of theory yet, and three seeds do not
# say how far off −1 the exponent may be. A
# study does: it trains more networks, computes an interval, and compares it with a band
# that is set before. Save `build` as a file and name it in a study:
#
# ```yaml
# model: {kind: python, file: my_network.py}
# ```
#
# [Your own network](../use/network.md) has the rules. `./run ask my_network.py data.csv
# --target y` makes such a study by itself ([Ask](../use/ask.md)).
#
# Next: [My own data and a claim](my_data_and_a_claim.py).
