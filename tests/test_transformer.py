"""The transformer: forward pass, kernel, width-independence of mup, refusals."""

import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_conv import points

from ntkpipe import study, xla
from ntkpipe.kernels import ntk
from ntkpipe.models.transformer import Transformer

KEY = jax.random.key(5)
IMAGE = Transformer(kind="transformer", depth=1, heads=2, activation="gelu", W_std=1.3)
SEQUENCE = replace(
    IMAGE, depth=2, input_shape=(5, 3), tied=True, logit_decay=1.0, b_std=0.5
)


def by_hand(model, params, x):
    """One point's outputs in the NTK parametrisation, head by head."""
    every = iter(params[0])

    def linear(h):
        w = next(every)["w"]
        return model.W_std / math.sqrt(w.shape[0]) * h @ w

    def norm(h):
        return jax.nn.standardize(h, -1, epsilon=1e-5)

    if model.input_shape is None:
        p, side = model.patch, math.isqrt(x.size)
        image = x.reshape(side, side)
        corners = range(0, side, p)
        tokens = [image[i : i + p, j : j + p].ravel() for i in corners for j in corners]
        tokens = jnp.stack(tokens)
    else:
        tokens = x.reshape(model.input_shape)
    h = linear(tokens) + model.b_std * params[0][0]["b"]
    for _ in range(model.depth):
        u = norm(h)
        q = linear(u)
        k = q if model.tied else linear(u)
        v, parts = linear(u), []
        for head in np.split(np.arange(h.shape[1]), model.heads):
            logits = q[:, head] @ k[:, head].T / len(head) ** model.logit_decay
            parts.append(jax.nn.softmax(logits, axis=1) @ v[:, head])
        h = h + linear(jnp.concatenate(parts, 1)) / math.sqrt(2 * model.depth)
        u = jax.nn.gelu(linear(norm(h)), approximate=False)
        h = h + linear(u) / math.sqrt(2 * model.depth)
    return linear(norm(h).mean(0))


@pytest.mark.parametrize("model", [IMAGE, SEQUENCE], ids=["image", "sequence"])
def test_the_forward_pass_and_the_kernel_are_those_written_by_hand(model):
    d = 16 if model.input_shape is None else 15
    x = points(3, d)
    params = model.init_params(KEY, 6, d, 2)
    with jax.numpy_rank_promotion("allow"):
        # compiled as a whole, because its many small operations compile slowly
        of_one = jax.jit(lambda params, one: by_hand(model, params, one))
        expected = jnp.stack([of_one(params, one) for one in x])
        jacobian = jax.jit(jax.jacrev(lambda params, one: by_hand(model, params, one)))
        each = [jacobian(params, one) for one in x]
        jacobians = jax.tree.map(lambda *a: jnp.stack(a), *each)
    np.testing.assert_allclose(model.apply(params, x), expected, rtol=1e-11)
    theta = sum(
        jnp.einsum("nkp,mlp->nkml", *[j.reshape(3, 2, -1)] * 2)
        for j in jax.tree.leaves(jacobians)
    )
    found = ntk(model.apply, params, x)
    np.testing.assert_allclose(found, theta, rtol=0, atol=1e-11 * abs(theta).max())
    (layers,) = params
    assert model.weight_layers == len(layers)
    assert len(model.layer_names) == len(layers) + 1
    assert model.weights(6, d, 2) == sum(layer["w"].size for layer in layers)


def first_step(model, width, x, y):
    """‖Δf‖, and the relative change of the last hidden layer: means over networks."""

    def step(key):
        params = model.init_params(key, width, x.shape[1], 1)
        rates = model.learning_rates(params)

        def loss(params):
            # the residuals are those of f = 0, so that f₀ ~ n^−½ is not compared
            return -(model.apply(params, x) * y).mean()

        slope = jax.grad(loss)(params)
        after = jax.tree.map(lambda w, g, r: w - 0.02 * r * g, params, slope, rates)

        def last_hidden(params):
            (*hidden, last) = params[0]
            return model.apply(((*hidden, last | {"w": jnp.eye(width)}),), x)

        h, g = last_hidden(params), last_hidden(after)
        moved = g @ after[0][-1]["w"] - h @ params[0][-1]["w"]
        return jnp.linalg.norm(moved), jnp.linalg.norm(g - h) / jnp.linalg.norm(h)

    # compilation takes longer than all steps
    step = jax.jit(step, compiler_options=xla.options(0, large=False))
    return np.mean([step(key) for key in jax.random.split(KEY, 16)], 0)


def test_the_first_step_of_mup_does_not_depend_on_the_width():
    x, y = points(4, 16), jnp.array([[1.0], [-1.0], [0.5], [-0.5]])
    ratio = {}
    for name, decay in (("mup", 1.0), ("mup", 0.5), ("ntk", 1.0)):
        model = replace(IMAGE, parameterization=name, logit_decay=decay)
        narrow, wide = (first_step(model, n, x, y) for n in (32, 128))
        ratio[name, decay] = wide / narrow
    # mup with 1/m moves outputs and features alike at all widths
    np.testing.assert_allclose(ratio["mup", 1.0], 1, atol=0.3)
    # features: with m^−½ wide networks move more, and ntk moves them by n^−½
    assert ratio["mup", 0.5][1] > 1.3
    assert 0.7 < ratio["ntk", 1.0][0] < 1.4
    assert ratio["ntk", 1.0][1] < 0.6


STUDY = """
title: A
question: B?
dataset: {kind: digits, train: 6, test: 3}
model: {kind: transformer, depth: 1, heads: 2, patch: 4}
training: {learning_rate: 0.2, steps: 10}
widths: [8]
"""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("widths: [8]", "widths: [8]\nlimit: steps"), "softmax attention has no"),
        (("widths: [8]", "widths: [8, 9]"), "9 is not divisible by model"),
        (("patch: 4", "patch: 3"), "8×8 pixels are no whole patches of 3"),
        (("steps: 10", "steps: 10, curvature: true"), "needs model.kind: mlp"),
    ],
)  # fmt: skip
def test_what_the_kind_cannot_do_is_refused(change, words):
    study.parse(STUDY, "x.yaml")
    with pytest.raises(study.StudyError) as error:
        study.parse(STUDY.replace(*change), "x.yaml")
    assert any(words in str(fault) for fault in error.value.faults)
