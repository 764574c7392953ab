"""Equations that are linear in a parameter: products, convolutions, rows of tables.

With inputs h (t g a) and signals δ = ∂f/∂z (k t g b), the gradient of output k with
respect to the parameter, as an array (g a b), is

    Σ_t h_tga δ_ktgb

for t positions at which the parameter is read, and g groups, which share no entry. Each
of the three rules below brings h and δ of one equation into these shapes. They are
those of one point, because networks are traced for one point.
"""

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array


class Sizes(NamedTuple):
    """Numbers of positions t and groups g, and of inputs a and outputs b of a group."""

    t: int
    g: int
    a: int
    b: int


class Product(NamedTuple):
    """`dot_general`: the axes of h as (t g a), and of δ without k as (t g b)."""

    sizes: Sizes
    h_axes: tuple[int, ...]
    z_axes: tuple[int, ...]

    def inputs(self, h: Array, leading: int = 0) -> Array:
        """h (… t g a)."""
        t, g, a, _ = self.sizes
        return arranged(h, leading, self.h_axes, (t, g, a))

    def signals(self, d: Array, leading: int = 0) -> Array:
        """δ (… t g b)."""
        t, g, _, b = self.sizes
        return arranged(d, leading, self.z_axes, (t, g, b))


class Filter(NamedTuple):
    """`conv_general_dilated`: a filter at its positions; a = elements × channels."""

    sizes: Sizes
    h_axes: tuple[int, ...]
    z_axes: tuple[int, ...]
    padding: tuple[tuple[int, int, int], ...]
    offsets: tuple[tuple[int, ...], ...]  # of the filter's elements, in the input
    strides: tuple[int, ...]
    places: tuple[int, ...]  # numbers of positions along the axes of the image
    image: tuple[int, ...]  # shape of h

    def inputs(self, h: Array, leading: int = 0) -> Array:
        """The patches under the filter, (… t g a). Slices are faster than a gather."""
        if leading:
            return jax.vmap(partial(self.inputs, leading=leading - 1))(h)
        t, g, _, _ = self.sizes
        x = h.transpose(self.h_axes)  # images, axes of the image, channels
        x = jax.lax.pad(
            x, jnp.zeros((), x.dtype), ((0, 0, 0), *self.padding, (0, 0, 0))
        )
        patches = []
        for at in self.offsets:
            ends = [
                o + s * (m - 1) + 1
                for o, s, m in zip(at, self.strides, self.places, strict=True)
            ]
            part = jax.lax.slice(
                x,
                (0, *at, 0),
                (len(x), *ends, x.shape[-1]),
                (1, *self.strides, 1),
            )
            patches.append(part.reshape(t, g, -1))
        return jnp.concatenate(patches, -1)

    def signals(self, d: Array, leading: int = 0) -> Array:
        """δ (… t g b)."""
        t, g, _, b = self.sizes
        return arranged(d, leading, self.z_axes, (t, g, b))


class Rows(NamedTuple):
    """`gather` of whole rows of a table, as an embedding: a is the number of rows."""

    sizes: Sizes

    def inputs(self, h: Array, leading: int = 0) -> Array:
        """Indices of the rows, (… t)."""
        return jnp.clip(h.reshape(*h.shape[:leading], -1), 0, self.sizes.a - 1)

    def signals(self, d: Array, leading: int = 0) -> Array:
        """δ (… t g b)."""
        t, g, _, b = self.sizes
        return d.reshape(*d.shape[:leading], t, g, b)


def arranged(array: Array, leading: int, axes, shape: tuple[int, ...]) -> Array:
    """The array with its axes after the leading ones reordered and reshaped."""
    long = [d for d in axes if array.shape[leading + d] > 1]
    if long != sorted(long):  # each operation takes time to trace
        order = (*range(leading), *(leading + d for d in axes))
        array = array.transpose(order)
    return array.reshape(*array.shape[:leading], *shape)


class Rule(NamedTuple):
    """How an equation reads a parameter."""

    layout: Product | Filter | Rows
    order: tuple
    """Reads of one parameter with the same order are added, as further positions."""


def rule_of(equation, operand: int) -> Rule | None:
    """The rule of an equation whose operand of this index is a parameter, or None."""
    find = {"dot_general": _product, "conv_general_dilated": _filter, "gather": _rows}
    made = find.get(equation.primitive.name)
    return made and made(equation, operand)


def _product(equation, i: int) -> Rule:
    contracted, batch = equation.params["dimension_numbers"]
    h, w = (equation.invars[j].aval.shape for j in (1 - i, i))
    # the order of the parameter's own axes, which is the same for all reads
    order = np.argsort(contracted[i])
    a = [contracted[1 - i][j] for j in order]
    g = list(batch[1 - i])
    t = [d for d in range(len(h)) if d not in a and d not in g]
    b = len(w) - len(a) - len(g)
    # z has the axes: groups, the rest of the left operand, the rest of the right
    rest = range(len(g), len(g) + len(t) + b)
    t_axes, b_axes = (rest[: len(t)], rest[len(t) :]) if i else (rest[b:], rest[:b])
    of_w = [d for d in range(len(w)) if d not in contracted[i] and d not in batch[i]]
    sizes = Sizes(
        math.prod(h[d] for d in t),
        math.prod(h[d] for d in g),
        math.prod(h[d] for d in a),
        math.prod(w[d] for d in of_w),
    )
    layout = Product(sizes, (*t, *g, *a), (*t_axes, *range(len(g)), *b_axes))
    return Rule(layout, ("product", tuple(sorted(contracted[i])), tuple(batch[i])))


def _filter(equation, i: int) -> Rule | None:
    p = equation.params
    if i != 1 or p["batch_group_count"] != 1:
        return None
    h_axes, w_axes, z_axes = p["dimension_numbers"]
    h, w = (v.aval.shape for v in equation.invars)
    z = equation.outvars[0].aval.shape
    groups = p["feature_group_count"]
    places = tuple(z[d] for d in z_axes[2:])
    window = [w[d] for d in w_axes[2:]]
    offsets = tuple(
        tuple(o * r for o, r in zip(at, p["rhs_dilation"], strict=True))
        for at in np.ndindex(*window)
    )
    sizes = Sizes(
        z[z_axes[0]] * math.prod(places),
        groups,
        math.prod(window) * w[w_axes[1]],
        z[z_axes[1]] // groups,
    )
    layout = Filter(
        sizes,
        (h_axes[0], *h_axes[2:], h_axes[1]),
        (z_axes[0], *z_axes[2:], z_axes[1]),
        tuple(
            (*ends, d - 1)
            for ends, d in zip(p["padding"], p["lhs_dilation"], strict=True)
        ),
        offsets,
        tuple(p["window_strides"]),
        places,
        tuple(h),
    )
    return Rule(layout, ("filter", tuple(w_axes), groups))


def _rows(equation, i: int) -> Rule | None:
    d = equation.params["dimension_numbers"]
    table, index = (v.aval.shape for v in equation.invars[:2])
    whole = equation.params["slice_sizes"] == (1, *table[1:])
    first = (d.collapsed_slice_dims, d.start_index_map) == ((0,), (0,))
    # an attribute that older versions of JAX lack
    plain = first and not getattr(d, "operand_batching_dims", ())
    count = len(index) - 1
    last = d.offset_dims == tuple(range(count, count + len(table) - 1))
    if i or not (plain and whole and last):
        return None
    sizes = Sizes(math.prod(index[:-1]), 1, table[0], math.prod(table[1:]))
    return Rule(Rows(sizes), ("rows",))
