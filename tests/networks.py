"""Networks in plain JAX, as users write them, with what is closed in each of them.

A case is a function that returns apply, parameters and points.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ntkpipe.models.mlp import MLP

KEY = jax.random.key(0)
CASES = {}
CLOSED = {}
"""Number of parameters with a closed form, biases of layers included, and of others."""


def case(closed, others):
    """Enter a network into the table."""

    def enter(f):
        CASES[f.__name__], CLOSED[f.__name__] = f, (closed, others)
        return f

    return enter


def draw(seed, *shape):
    """By NumPy: JAX would compile a program for each shape."""
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape))


def tokens(count, *shape):
    return jnp.asarray(np.random.default_rng(0).integers(0, count, shape))


def conv(x, w, stride=1, pad="SAME", groups=1, dilation=1):
    return lax.conv_general_dilated(
        x,
        w,
        (stride, stride),
        pad,
        rhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


def norm(h, gain, bias):
    centred = h - h.mean(-1, keepdims=True)
    size = jnp.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    return centred / size * gain + bias


@case(6, 0)
def mlp():
    model = MLP(depth=2, b_std=0.3, activation="gelu", W_std=1.4)
    return model.apply, model.init_params(KEY, 16, 5, 3), draw(1, 6, 5)


@case(12, 0)
def twins():
    model = MLP(depth=2, b_std=0.3, zero_output="double", parameterization="mean_field")
    return model.apply, model.init_params(KEY, 16, 5, 3), draw(1, 6, 5)


@case(5, 1)
def convolutions():
    p = {
        "first": draw(1, 3, 3, 2, 8),
        "bias": draw(9, 8),
        "groups": draw(2, 3, 2, 4, 6),
        "dilated": draw(3, 3, 3, 6, 4),
        "last": draw(4, 4, 3),
        "last_bias": draw(5, 3),
    }

    def apply(p, x):
        h = jax.nn.relu(conv(x, p["first"]) + p["bias"])
        h = jax.nn.gelu(conv(h, p["groups"], 2, [(1, 2), (0, 1)], groups=2))
        h = jnp.tanh(conv(h, p["dilated"], 1, "VALID", dilation=2))
        return h.mean((1, 2)) @ p["last"] + p["last_bias"]

    return apply, p, draw(7, 4, 12, 12, 2)


@case(3, 0)
def transposed_and_depthwise():
    p = {"up": draw(1, 3, 3, 2, 4), "depth": draw(2, 3, 3, 1, 4), "last": draw(4, 4, 3)}

    def apply(p, x):
        numbers = ("NHWC", "HWIO", "NHWC")
        h = lax.conv_transpose(x, p["up"], (2, 2), "SAME", dimension_numbers=numbers)
        h = jnp.tanh(conv(jnp.tanh(h), p["depth"], 2, groups=4))
        return h.max((1, 2)) @ p["last"]

    return apply, p, draw(7, 4, 5, 5, 2)


@case(2, 0)
def filter_as_large_as_the_image():
    p = {"w": draw(1, 4, 4, 2, 6), "r": draw(2, 6, 3)}

    def apply(p, x):
        return jnp.tanh(conv(x, p["w"], pad="VALID")[:, 0, 0]) @ p["r"]

    return apply, p, draw(7, 5, 4, 4, 2)


@case(2, 0)
def one_filter_at_two_scales():
    p = {"w": draw(1, 3, 3, 2, 2), "r": draw(2, 2, 3)}

    def apply(p, x):
        h = jnp.tanh(conv(x, p["w"]))
        return jnp.tanh(conv(h, p["w"], 2)).mean((1, 2)) @ p["r"]

    return apply, p, draw(7, 5, 6, 6, 2)


@case(6, 4)
def residual_with_group_norm():
    p = {"in": draw(0, 3, 3, 3, 8), "out": draw(9, 8, 4), "blocks": []}
    for i in (1, 2):
        block = {"a": draw(i, 3, 3, 8, 8) / 5, "b": draw(i + 50, 3, 3, 8, 8) / 5}
        p["blocks"].append(block | {"gain": draw(i + 70, 8), "bias": draw(i + 80, 8)})

    def group_norm(h, gain, bias):
        q = h.reshape(*h.shape[:3], 2, h.shape[3] // 2)
        q = q - q.mean((1, 2, 4), keepdims=True)
        q = q / jnp.sqrt(q.var((1, 2, 4), keepdims=True) + 1e-5)
        return q.reshape(h.shape) * gain + bias

    def apply(p, x):
        h = conv(x, p["in"])
        for b in p["blocks"]:
            inner = group_norm(conv(jax.nn.relu(h), b["a"]), b["gain"], b["bias"])
            h = h + conv(jax.nn.relu(inner), b["b"])
        return h.mean((1, 2)) @ p["out"]

    return apply, p, draw(3, 4, 8, 8, 3)


@case(4, 2)
def layer_norm():
    p = {"a": draw(1, 5, 16), "gain": draw(2, 16), "bias": draw(3, 16)}
    p |= {"c": draw(4, 16, 16), "cb": draw(6, 16), "d": draw(5, 16, 2)}

    def apply(p, x):
        h = jax.nn.silu(norm(x @ p["a"] / math.sqrt(5), p["gain"], p["bias"]))
        h = h + jax.nn.relu(h @ p["c"] / jnp.sqrt(16) + 0.1 * p["cb"])
        return h @ p["d"] / 4

    return apply, p, draw(7, 6, 5)


def _transformer(heads):
    p = {name: draw(i, 8, 8) * 0.4 for i, name in enumerate("qkvo")}
    p |= {"m1": draw(10, 8, 16) * 0.3, "b1": draw(14, 16), "m2": draw(11, 16, 8) * 0.3}
    p |= {"r": draw(12, 8, 3), "pos": draw(13, 6, 8)}

    def attention(h, p):
        d = h.shape[-1]
        q, k, v = (
            jnp.einsum("ntd,dhe->nthe", h, p[w].reshape(d, heads, -1)) for w in "qkv"
        )
        scores = jnp.einsum("nthe,nshe->nhts", q, k) / math.sqrt(d // heads)
        o = jnp.einsum("nhts,nshe->nthe", jax.nn.softmax(scores, -1), v)
        return jnp.einsum("nthe,hed->ntd", o, p["o"].reshape(heads, -1, d))

    def apply(p, x):
        h = x + p["pos"]
        h = h + attention(h, p)
        h = h + jax.nn.gelu(h @ p["m1"] + p["b1"]) @ p["m2"]
        return h.mean(1) @ p["r"]

    return apply, p, draw(7, 5, 6, 8)


@case(7, 2)
def attention():
    return _transformer(1)


@case(7, 2)
def attention_of_two_heads():
    return _transformer(2)


@case(3, 0)
def embedding():
    p = {"e": draw(1, 11, 8), "q": draw(2, 8, 8), "r": draw(3, 8, 2)}

    def apply(p, x):
        return jnp.tanh(p["e"][x] @ p["q"]).mean(1) @ p["r"]

    return apply, p, tokens(11, 6, 5)


@case(1, 1)
def tied_embedding():
    p = {"e": draw(1, 11, 8), "q": draw(2, 8, 8)}

    def apply(p, x):
        return jnp.tanh(p["e"][x] @ p["q"]).mean(1) @ p["e"].T

    return apply, p, tokens(11, 6, 5)


@case(3, 1)
def a_layer_used_three_times():
    p = {"a": draw(0, 5, 8), "w": draw(1, 8, 8) / 3, "b": draw(4, 8)}
    p["r"] = draw(3, 8, 2)

    def apply(p, x):
        h = x @ p["a"]
        for _ in range(3):
            h = jnp.tanh(h @ p["w"] + p["b"])
        return h @ p["r"]

    return apply, p, draw(7, 6, 5)


@case(3, 1)
def recurrent():
    p = {"i": draw(0, 5, 24) / 3, "h": draw(1, 8, 24) / 3, "b": draw(4, 24)}
    p["r"] = draw(3, 8, 2)

    def apply(p, x):
        def step(h, point):
            a, c = point @ p["i"] + p["b"], h @ p["h"]
            r, z = jnp.split(jax.nn.sigmoid(a[:, :16] + c[:, :16]), 2, -1)
            new = jnp.tanh(a[:, 16:] + r * c[:, 16:])
            return (1 - z) * new + z * h, None

        start = jnp.zeros((len(x), 8), x.dtype)
        return lax.scan(step, start, jnp.swapaxes(x, 0, 1))[0] @ p["r"]

    return apply, p, draw(7, 4, 7, 5)


@case(1, 2)
def weight_norm():
    p = {"a": draw(0, 5, 8), "g": draw(1, 8), "r": draw(3, 8, 2)}

    def apply(p, x):
        w = p["a"] / jnp.linalg.norm(p["a"], axis=0) * p["g"]
        return jnp.tanh(x @ w) @ p["r"]

    return apply, p, draw(7, 6, 5)


@case(3, 1)
def remat_and_jit_and_stop_gradient():
    p = {"a": draw(0, 5, 8), "b": draw(1, 8, 8), "c": draw(5, 8), "r": draw(3, 8, 2)}

    def apply(p, x):
        h = jax.checkpoint(lambda w, x: jnp.tanh(x @ w))(p["a"], x)
        inner = jax.jit(lambda w, b, x: jax.nn.relu(-2 * (x @ w.T) / 3 + b))
        h = inner(p["b"], p["c"], h)
        return h @ p["r"] + lax.stop_gradient(p["r"][0])

    return apply, p, draw(7, 6, 5)


@case(1, 2)
def branches():
    p = {"a": draw(0, 5, 8), "b": draw(1, 5, 8), "r": draw(3, 8, 2)}

    def apply(p, x):
        def one(x):
            return lax.cond(x[0] > 0, lambda x: x @ p["a"], lambda x: x @ p["b"], x)

        return jnp.tanh(jax.vmap(one)(x)) @ p["r"]

    return apply, p, draw(7, 6, 5)


@case(1, 3)
def low_rank():
    p = {"w": draw(0, 5, 8), "u": draw(1, 5, 2), "v": draw(2, 2, 8), "r": draw(3, 8, 2)}

    def apply(p, x):
        return jnp.tanh(x @ (p["w"] + p["u"] @ p["v"])) @ p["r"]

    return apply, p, draw(7, 6, 5)


@case(2, 1)
def unused_and_integers_and_a_number():
    p = {"w": draw(0, 5, 8), "n": jnp.arange(3), "t": jnp.array(0.7)}
    p |= {"unused": draw(4, 3), "r": draw(3, 8, 2)}

    def apply(p, x):
        return p["t"] * (jnp.tanh(x @ p["w"] * p["t"]) @ p["r"])

    return apply, p, draw(7, 6, 5)


@case(3, 1)
def rule_of_its_own_for_derivatives():
    p = {"w": draw(0, 5, 8), "b": draw(1, 8), "slope": draw(2, 8), "r": draw(3, 8, 2)}

    @jax.custom_jvp
    def bent(h, slope):
        return jnp.tanh(slope * h)

    @bent.defjvp
    def _(primals, tangents):
        (h, slope), (dh, dslope) = primals, tangents
        # another derivative than that of the function
        return bent(h, slope), 0.5 * slope * dh + h * dslope

    def apply(p, x):
        return bent(x @ p["w"] + p["b"], p["slope"][None]) @ p["r"]

    return apply, p, draw(7, 6, 5)


@case(4, 0)
def biases_on_scaled_layers():
    p = {"w": draw(0, 5, 8), "b": draw(1, 8), "v": draw(2, 8, 3), "c": draw(3, 3)}

    def apply(p, x):
        h = jnp.tanh(p["b"] / 3 - 2 * (x @ (p["w"] / jnp.sqrt(5))))
        return jnp.squeeze((p["v"].T * 0.5) @ h[:, :, None], 2) - (-0.7) * p["c"]

    return apply, p, draw(7, 6, 5)


@case(5, 2)
def u_net():
    """Down by a stride, up by a transposed convolution, and joined with the start."""
    p = {"in": draw(0, 3, 3, 2, 4), "down": draw(1, 3, 3, 4, 6) / 3}
    p |= {"up": draw(2, 2, 2, 6, 4) / 3, "out": draw(3, 3, 3, 8, 1) / 5}
    p |= {"b": draw(4, 4), "c": draw(5, 6), "r": draw(6, 36, 2) / 6}

    def apply(p, x):
        skipped = jax.nn.gelu(conv(x, p["in"]) + p["b"])
        h = jax.nn.gelu(conv(skipped, p["down"], stride=2) + p["c"])
        numbers = ("NHWC", "HWIO", "NHWC")
        h = lax.conv_transpose(h, p["up"], (2, 2), "SAME", dimension_numbers=numbers)
        h = conv(jnp.concatenate([skipped, jnp.tanh(h)], -1), p["out"])
        return h.reshape(len(x), -1) @ p["r"]

    return apply, p, draw(7, 4, 6, 6, 2)


@case(6, 2)
def mlp_mixer():
    """Layers on the patches of each channel, then on the channels of each patch."""
    p = {"patch": draw(0, 12, 8) / 3, "gain": draw(1, 8), "shift": draw(2, 8)}
    p |= {"t1": draw(3, 4, 6) / 2, "t2": draw(4, 6, 4) / 2}
    p |= {"c1": draw(5, 8, 10) / 3, "c2": draw(6, 10, 8) / 3, "r": draw(8, 8, 2)}

    def apply(p, x):
        patches = x.reshape(len(x), 2, 2, 2, 2, 3).transpose(0, 1, 3, 2, 4, 5)
        h = patches.reshape(len(x), 4, 12) @ p["patch"]
        mixed = jnp.swapaxes(norm(h, p["gain"], p["shift"]), 1, 2)
        h += jnp.swapaxes(jax.nn.gelu(mixed @ p["t1"]) @ p["t2"], 1, 2)
        h += jax.nn.gelu(norm(h, p["gain"], p["shift"]) @ p["c1"]) @ p["c2"]
        return h.mean(1) @ p["r"]

    return apply, p, draw(7, 3, 4, 4, 3)


@case(2, 1)
def lstm():
    """Input and state side by side in one product, as most libraries write it."""
    p = {"w": draw(0, 13, 32) / 4, "b": draw(1, 32), "r": draw(3, 8, 2)}

    def apply(p, x):
        def step(carry, point):
            h, cell = carry
            z = jnp.concatenate([point, h], -1) @ p["w"] + p["b"]
            i, f, g, o = jnp.split(z, 4, -1)
            cell = jax.nn.sigmoid(f + 1) * cell + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(cell)
            return (h, cell), None

        zero = jnp.zeros((len(x), 8), x.dtype)
        (h, _), _ = lax.scan(step, (zero, zero), jnp.swapaxes(x, 0, 1))
        return h @ p["r"]

    return apply, p, draw(7, 4, 6, 5)


@case(3, 1)
def graph_convolution():
    """Points are graphs: seven nodes with five features, and their adjacency matrix."""
    p = {"a": draw(0, 5, 8) / 2, "b": draw(1, 8, 8) / 3, "c": draw(2, 8)}
    p["r"] = draw(3, 8, 2)

    def apply(p, x):
        features, edges = x[..., :5], jnp.abs(x[..., 5:]) > 1
        edges = (edges | jnp.swapaxes(edges, 1, 2) | jnp.eye(7, dtype=bool)).astype(
            x.dtype
        )
        root = 1 / jnp.sqrt(edges.sum(-1))
        mean = root[:, :, None] * edges * root[:, None]
        h = jnp.tanh(mean @ features @ p["a"])
        h = jnp.tanh(mean @ (h @ p["b"]) + p["c"])
        return h.sum(1) @ p["r"]

    return apply, p, draw(7, 4, 7, 12)


@case(5, 0)
def lora():
    """Frozen weights and a learned product of small matrices beside them (Hu 2021)."""
    frozen = [draw(9, 5, 16) / 2, draw(8, 16, 16) / 4]
    p = {"a1": draw(0, 5, 2), "b1": draw(1, 2, 16) / 4, "a2": draw(2, 16, 2) / 4}
    p |= {"b2": draw(3, 2, 16) / 4, "r": draw(4, 16, 2) / 4}

    def apply(p, x):
        h = x
        for index, w in enumerate(frozen, 1):
            change = h @ p[f"a{index}"] @ p[f"b{index}"]
            h = jnp.tanh(h @ w + 0.5 * change)
        return h @ p["r"]

    return apply, p, draw(7, 6, 5)


# --- the networks of tests/data/any_network -------------------------------------------


def cnn(p, x):
    h = jax.nn.relu(conv(x, p["w0"]) + p["b0"])
    h = jax.nn.relu(conv(h, p["w1"], 2, ((1, 1), (1, 1)), groups=2))
    h = jax.nn.relu(conv(h, p["w2"], 1, "VALID"))
    return h.mean((1, 2)) @ p["r"] + p["rb"]


def resnet(p, x):
    h = conv(x, p["w0"])
    h = h + conv(jax.nn.relu(conv(jax.nn.relu(h), p["a0"])), p["c0"])
    inner = conv(jax.nn.relu(conv(jax.nn.relu(h), p["a1"], 2)), p["c1"])
    h = conv(h, p["s1"], 2) + inner
    return jax.nn.relu(h).mean((1, 2)) @ p["r"]


def layernorm(p, x):
    h = jax.nn.relu(norm(x @ p["w0"], p["g0"], p["b0"]))
    h = h + jax.nn.relu(norm(h @ p["w1"] + p["c1"], p["g1"], p["b1"]))
    return h @ p["r"]


def two_heads(p, x, heads=2):
    h = p["e"][x] + p["pos"]
    n, t, m = h.shape
    q, k, v = ((h @ p[w]).reshape(n, t, heads, m // heads) for w in "qkv")
    scores = jnp.einsum("nthe,nshe->nhts", q, k) / math.sqrt(m // heads)
    o = jnp.einsum("nhts,nshe->nthe", jax.nn.softmax(scores, -1), v)
    h = h + o.reshape(n, t, m) @ p["o"]
    h = h + jax.nn.relu(norm(h, p["g"], p["b"]) @ p["m0"] + p["mb"]) @ p["m1"]
    return h.mean(1) @ p["r"]


def tied(p, x):
    h = p["e"][x].mean(1)
    for _ in range(3):
        h = jnp.tanh(h @ p["w"] + p["b"])
    return h @ p["e"].T


REFERENCES = {
    "cnn": cnn,
    "resnet": resnet,
    "layernorm": layernorm,
    "attention": two_heads,
    "tied": tied,
}
