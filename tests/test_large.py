"""Tiles, files, sums and products of large kernels agree with whole kernels."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntkpipe.kernels import (
    compare,
    devices,
    empirical,
    large,
    products,
    tiles,
    uses,
)
from ntkpipe.kernels.assemble import aligned, place
from ntkpipe.models.mlp import MLP


@pytest.fixture(scope="module")
def pair():
    """A model, two sets of parameters near each other, and 70 points."""
    model = MLP(depth=2, activation="tanh", b_std=0.3, parameterization="mean_field")
    key = jax.random.key(0)
    before = model.init_params(key, 12, 3, 2)
    noise = model.init_params(jax.random.key(1), 12, 3, 2)
    after = jax.tree.map(lambda a, b: a + 0.05 * b, before, noise)
    x = np.asarray(jax.random.normal(jax.random.fold_in(key, 99), (70, 3)))
    whole = [np.asarray(empirical.ntk(model.apply, p, x)) for p in (before, after)]
    return model.apply, before, after, x, whole


def assemble(squares, shape):
    kernel = np.full(shape, np.nan)
    for square in squares:
        place(kernel, *square[:2], square.theta, square.mirrored)
    return kernel


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 20))
def test_a_tile_and_its_mirror_image_are_placed(a, b, k):
    n = a + b
    whole = np.arange(float((n * k) ** 2)).reshape(n, k, n, k)
    whole += whole.transpose(2, 3, 0, 1)
    kernel = np.full_like(whole, np.nan)
    rows, columns = slice(0, a), slice(a, n)
    place(kernel, rows, columns, whole[rows, :, columns], True)
    assert np.array_equal(kernel[rows, :, columns], whole[rows, :, columns])
    assert np.array_equal(kernel[columns, :, rows], whole[columns, :, rows])
    assert np.isnan(kernel[rows, :, rows]).all()
    assert np.isnan(kernel[columns, :, columns]).all()


def test_tiles_make_the_kernel(pair):
    apply, params, _, x, (whole, _) = pair
    squares = list(tiles.tiles(apply, params, x, tile=32))
    assert [(s.rows.start, s.columns.start) for s in squares] == [
        (0, 0),
        (0, 32),
        (32, 32),
        (0, 64),
        (32, 64),
        (64, 64),
    ]
    kernel = assemble(squares, whole.shape)
    np.testing.assert_allclose(kernel, whole, rtol=1e-12, atol=1e-13)
    np.testing.assert_array_equal(kernel, kernel.transpose(2, 3, 0, 1))


def test_little_memory_means_narrow_bands_and_the_same_kernel(pair):
    apply, params, _, x, (whole, _) = pair
    wide = tiles.plan(apply, params, x, tile=16)
    narrow = tiles.plan(apply, params, x, tile=16, budget=0.9 * wide.bytes)
    assert narrow.band < wide.band == 5
    assert narrow.bytes <= 0.9 * wide.bytes
    assert narrow.flop > wide.flop
    options = {"tile": 16, "budget": narrow.bytes}
    kernel = assemble(tiles.tiles(apply, params, x, **options), whole.shape)
    np.testing.assert_allclose(kernel, whole, rtol=1e-12, atol=1e-13)
    cross = tiles.tiles(apply, params, x[:40], x, **options)
    kernel = assemble(cross, (40, 2, 70, 2))
    np.testing.assert_allclose(kernel, whole[:40], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("outputs", ["full", "trace"])
@pytest.mark.parametrize("cross", [False, True])
def test_the_work_and_the_memory_of_a_plan_are_those_of_its_tiles(cross, outputs):
    n, side, d, width, k = 64, 8, 3, 6, 2
    m = 40 if cross else n
    model = MLP(depth=1)
    params, x = model.init_params(jax.random.key(0), width, d, k), np.zeros((n, d))

    def plan(budget):
        other = x[:m] if cross else None
        return tiles.plan(
            model.apply, params, x, other, outputs, tile=side, budget=budget
        )

    whole = plan(1e9)
    assert whole.band == 8 and whole.tile == side
    q = k if outputs == "full" else 1
    assert whole.shape == (n, q, m, q) and whole.kernel_bytes == 8 * n * m * q**2
    layers = [(d, width), (width, k)]
    for band in (8, 4, 2, 1):
        # the signals of a chunk, and a few numbers for the scales of layers
        chunk = side * 8 * sum(a + k * b for a, b in layers)
        less = map(plan, range(whole.bytes, 0, -chunk // 4))
        cut = next(p for p in less if p.band == band)
        held = (2 * len(layers) + 1 + tiles.QUEUE) * (side * q) ** 2 * 8
        expected = held + (3 + band) * chunk
        assert expected <= cut.bytes <= expected + (3 + band) * side * 8 * 10
        pairs = passes = 0
        for first in range(0, n, band * side):
            passes += band * side  # for the rows, whose signals are kept
            for column in range(0 if cross else first, m, side):
                held_too = not cross and column < first + band * side
                passes += 0 if held_too else side
                for row in range(first, first + band * side, side):
                    pairs += side**2 if cross or row <= column else 0
        # a multiplication and an addition are two operations
        products = sum(a + (k * k if q > 1 else k) * b for a, b in layers)
        once = sum(a * b for a, b in layers)
        assert cut.flop == 2 * pairs * products + 2 * passes * (1 + k) * once


@pytest.mark.parametrize("points", [1, 100, 511, 600, 1000, 2100, 60_000])
@pytest.mark.parametrize("k", [1, 2, 5, 10, 30])
def test_tiles_have_about_the_same_size(points, k):
    params = MLP(depth=1).init_params(jax.random.key(0), 4, 2, k)
    x = jax.ShapeDtypeStruct((points, 2), np.dtype(float))
    side = tiles.plan(MLP(depth=1).apply, params, x, budget=1e12).tile
    rows = -(-points // side)
    assert side % 8 == 0 and rows * side - points < 8 * rows  # little padding
    assert side <= 512 and side * k <= max(768, 64 * k)
    if points >= 512 and k == 1:
        assert rows >= 4  # symmetry saves work
    if points >= 1000:
        assert side >= min(128, 768 // k) / 2
    if points >= 2048 and k == 1:
        assert side > 400


def test_the_free_memory_is_that_of_the_first_accelerator(monkeypatch):
    class Device:
        def __init__(self, stats):
            self.stats = stats

        def memory_stats(self):
            return self.stats

    def free(*stats):
        monkeypatch.setattr(jax, "local_devices", lambda: list(map(Device, stats)))
        return devices.free_memory()

    assert free({"bytes_limit": 10, "bytes_in_use": 3}, {"bytes_limit": 20}) == 7
    assert free({"bytes_limit": 10}) == 10
    assert free(None) > 1e6 and free({"other": 1}) > 1e6  # of the machine


@pytest.mark.parametrize("size", range(1, 9))
def test_memory_of_kernels_begins_at_a_multiple_of_64_bytes(size):
    kernel = aligned((size, 2, 3, 2), np.dtype(np.float32))
    assert kernel.ctypes.data % 64 == 0
    assert kernel.shape == (size, 2, 3, 2) and kernel.dtype == np.float32


def test_no_memory_at_all_is_refused_before_the_work(pair):
    apply, params, _, x, _ = pair
    with pytest.raises(MemoryError, match="raise `budget`"):
        tiles.plan(apply, params, x, budget=1e4)


def test_60000_points_fit_into_bounded_memory():
    model = MLP(depth=2, activation="relu")
    shape = jax.eval_shape(
        lambda: model.init_params(jax.random.key(0), 1024, 784, 1, jnp.float32)
    )
    x = jax.ShapeDtypeStruct((60_000, 784), jnp.float32)
    options = {"tile": 512}
    full = tiles.plan(model.apply, shape, x, budget=24e9, **options)
    assert full.kernel_bytes == 60_000**2 * 4
    assert full.band == 118  # every chunk's signals are held
    assert full.bytes < 2e9
    small = tiles.plan(model.apply, shape, x, budget=1e9, **options)
    assert small.bytes <= 1e9
    assert small.flop < 1.2 * full.flop
    assert "60,000 × 60,000 points, 1 output:" in str(small)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_comparison_takes_the_memory_that_was_planned():
    code = """
import re
from ntkpipe.kernels import empirical, large, tiles
import jax, jax.numpy as jnp, numpy as np
from ntkpipe.models import MLP
model = MLP(depth=1)
before = model.init_params(jax.random.key(0), 16, 3, 1, jnp.float32)
after = jax.tree.map(lambda w: w + 0.1, before)
x = np.asarray(jax.random.normal(jax.random.key(1), (8000, 3)), np.float32)
def status(name):
    return int(re.search(name + r":\\s+(\\d+)", open("/proc/self/status").read())[1])
large.compare(model.apply, before, after, x[:1000], budget=4e7)
open("/proc/self/clear_refs", "w").write("5")
before_it = status("VmRSS")
large.compare(model.apply, before, after, x, budget=4e7)
cut = tiles.plan(model.apply, before, x, budget=2e7)
print((status("VmHWM") - before_it) * 1024, 2 * cut.bytes, cut.kernel_bytes)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=True,
    )
    took, planned, kernel = map(int, done.stdout.split())
    assert planned <= 4e7
    assert kernel == 8000**2 * 4
    # compilation takes some memory, too; two kernels would take 512 MB
    assert took < planned + 8e7


def test_a_kernel_larger_than_memory_is_refused(pair, monkeypatch):
    apply, params, _, x, (whole, _) = pair
    monkeypatch.setattr(empirical, "WHOLE", 100)
    for module in (empirical, tiles):
        monkeypatch.setattr(module, "free_memory", lambda: whole.nbytes - 1.0)
    with pytest.raises(MemoryError, match=r"70 × 70 points, 2 outputs"):
        empirical.ntk(apply, params, x)


def test_a_kernel_on_disk_is_the_whole_kernel(pair, tmp_path, caplog):
    apply, params, _, x, (whole, _) = pair
    with caplog.at_level("INFO", "ntkpipe"):
        kernel = large.save(tmp_path / "ntk.npy", apply, params, x, tile=32)
    assert isinstance(kernel, np.memmap)
    np.testing.assert_allclose(kernel, whole, rtol=1e-12, atol=1e-13)
    assert "GB of memory" in caplog.text


def test_kernel_larger_than_the_disk_is_refused(pair, tmp_path, monkeypatch):
    apply, params, _, x, _ = pair
    usage = large.shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(large.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(OSError, match="another disk"):
        large.save(tmp_path / "ntk.npy", apply, params, x, tile=32)
    assert not (tmp_path / "ntk.npy").exists()


def test_sums_over_tiles_are_those_of_whole_kernels(pair):
    apply, before, after, x, (a, b) = pair

    def product(rows, columns, first, second):
        return {"dot": (first * second).sum(), "rows": len(x[rows])}

    streams = [tiles.tiles(apply, p, x, tile=32) for p in (before, after)]
    found = large.reduce(product, *streams)
    assert found["dot"] == pytest.approx((a * b).sum(), rel=1e-12)
    assert found["rows"] == 3 * 70


@pytest.mark.parametrize("outputs", ["full", "trace"])
def test_comparison_is_that_of_whole_kernels(pair, outputs):
    apply, before, after, x, whole = pair
    y = np.sin(x[:, :2])
    found = large.compare(apply, before, after, x, y, outputs=outputs, tile=32)
    traced = [compare.traced(theta) for theta in whole]
    a, b = traced if outputs == "trace" else map(compare.matrix, whole)
    expected = compare.relative_change(a, b)
    assert found.change == pytest.approx(expected, rel=1e-11)
    expected = compare.cosine_distance(a, b)
    assert found.cosine_distance == pytest.approx(expected, rel=1e-9)
    assert found.trace_ratio == pytest.approx(np.trace(b) / np.trace(a), rel=1e-12)
    assert found.norms == pytest.approx([np.linalg.norm(a), np.linalg.norm(b)])
    expected = [float(compare.alignment(theta, y)) for theta in traced]
    assert found.alignments == pytest.approx(expected, rel=1e-10)
    h = np.eye(70) - 1 / 70
    p, q = (h @ theta @ h for theta in traced)
    expected = (p * q).sum() / np.linalg.norm(p) / np.linalg.norm(q)
    assert found.centred_cosine == pytest.approx(expected, rel=1e-10)
    assert max(found.errors) < 1e-12


def test_small_cosine_distances_keep_their_digits(pair):
    apply, before, _, x, (whole, _) = pair
    near = jax.tree.map(lambda w: w + 1e-7 * jnp.cos(7 * w), before)
    found = large.compare(apply, before, near, x, tile=32)
    after = compare.matrix(np.asarray(empirical.ntk(apply, near, x)))
    expected = compare.cosine_distance(compare.matrix(whole), after)
    assert expected < 1e-13
    assert found.cosine_distance == pytest.approx(expected, rel=1e-5)


def test_float32_kernels_are_summed_in_double(pair):
    apply, before, after, x, _ = pair
    single = [jax.tree.map(lambda w: w.astype(jnp.float32), p) for p in (before, after)]
    exact = large.compare(apply, before, after, x, tile=32)
    found = large.compare(apply, *single, x.astype(np.float32), tile=32)
    assert found.change == pytest.approx(exact.change, rel=1e-5)
    assert found.cosine_distance == pytest.approx(exact.cosine_distance, rel=1e-4)
    assert 1e-9 < max(found.errors) < 1e-5


def test_kernel_without_targets_has_no_alignment(pair):
    apply, before, after, x, _ = pair
    found = large.compare(apply, before, after, x, tile=32, check=False)
    assert np.isnan(found.alignments).all()
    assert np.isnan(found.errors).all()


def test_products_in_chunks_are_those_of_the_whole_kernel(pair):
    apply, params, _, x, (whole, _) = pair
    v = np.cos(np.arange(140.0)).reshape(70, 2)
    found = products.vector_product(apply, params, x, v, chunk=32)
    expected = np.einsum("nimj,mj->ni", whole, v)
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)


def test_the_points_of_a_product_are_computed_1024_at_a_time():
    seen = set()

    def apply(params, x):
        seen.add(len(x))
        return x @ params["w"]

    params, x = {"w": jnp.ones((1, 1))}, np.linspace(-1, 1, 2050)[:, None]
    found = products.vector_product(apply, params, x, x)
    np.testing.assert_allclose(found, x * np.sum(x**2), rtol=1e-12)
    assert max(seen) == 1024
    seen.clear()
    largest = products.extreme_eigenvalues(apply, params, 2 * x, iterations=2)
    assert largest.high == pytest.approx(np.mean((2 * x) ** 2) * 1)
    assert max(seen, default=1024) == 1024


def test_by_default_a_kernel_is_planned_for_one_device(pair):
    apply, params, _, x, _ = pair
    assert tiles.plan(apply, params, x, tile=15).tile == 15
    assert tiles.plan(apply, params, x, tile=15, devices=4).tile == 16


def test_self_check_finds_samples_that_see_each_other(pair):
    apply, params, _, x, _ = pair
    assert products.self_check(apply, params, x[:8]) < 1e-12
    assert products.self_check(apply, params, x[:8], "trace") < 1e-12

    def normed(params, x):
        h = x @ params["w"]
        return jnp.tanh(h / h.std(0, keepdims=True))

    with pytest.raises(ArithmeticError, match="depends on several samples"):
        products.self_check(normed, {"w": jnp.ones((3, 2))}, x[:8])


def test_kernels_that_are_cut_differently_are_not_paired(pair):
    apply, before, after, x, _ = pair
    narrow = 0.9 * tiles.plan(apply, before, x, tile=16).bytes
    one = tiles.tiles(apply, before, x, tile=16)
    other = tiles.tiles(apply, after, x, tile=16, budget=narrow)
    with pytest.raises(ValueError, match="cut differently"):
        large.reduce(lambda i, j, a, b: np.vdot(a, b), one, other)


def test_kernels_of_each_layer_are_planned_and_neither_stored_nor_added(pair, tmp_path):
    apply, before, _, x, _ = pair
    one, each = (
        tiles.plan(apply, before, x, tile=16, layers=layers)
        for layers in ("sum", "each")
    )
    layers = len(uses.trace(apply, before, x).of_leaf())
    assert each.kernel_bytes == layers * one.kernel_bytes and each.bytes > one.bytes
    with pytest.raises(ValueError, match="layers='each'"):
        large.save(tmp_path / "kernel.npy", apply, before, x, layers="each")
    assert not list(tmp_path.iterdir())
    squares = tiles.tiles(apply, before, x, tile=16, layers="each")
    with pytest.raises(ValueError, match="layers='each'"):
        large.reduce(lambda i, j, a: 0.0, squares)


def test_kernels_of_zeros_have_no_relative_change(pair):
    apply, params, _, x, _ = pair
    zero = jax.tree.map(jnp.zeros_like, params)

    def dead(params, x):
        return 0 * apply(params, x)

    assert products.self_check(dead, params, x[:8]) == 0
    v = np.ones((8, 2))  # the error is absolute, because the kernel is zero
    error = products.checked(dead, params, x[:8], v, v * 1e-11, "full")
    assert error == pytest.approx(4e-11)
    found = large.compare(dead, params, zero, x, tile=32)
    assert (
        found.norms == (0, 0) and np.isnan([found.change, found.cosine_distance]).all()
    )


def test_invalid_arguments_are_refused(pair):
    apply, params, _, x, _ = pair
    with pytest.raises(ValueError, match="method"):
        large.change(apply, params, params, x, method="guess")
    with pytest.raises(ValueError, match="shape"):
        products.vector_product(apply, params, x, np.ones(len(x)))
    for start, iterations in ((np.ones(3), 0), (np.zeros(3), 5)):
        with pytest.raises(ValueError, match="iterations"):
            products.lanczos(lambda v: v, start, iterations)


def test_the_estimated_change_of_an_unchanged_kernel_is_0(pair):
    apply, params, _, x, _ = pair
    found = large.change(apply, params, params, x, method="estimate")
    assert found == (0.0, 0.0, "estimate")


def test_extreme_eigenvalues_are_found_without_the_kernel(pair):
    apply, params, _, x, (whole, _) = pair
    values = np.linalg.eigvalsh(compare.matrix(whole)) / 70
    found = products.extreme_eigenvalues(apply, params, x, iterations=20)
    assert found.high == pytest.approx(values[-1], rel=1e-9)
    assert found.high_error < 1e-4 * found.high
    assert found.low >= values[0] - 1e-12
    assert abs(values - found.low).min() <= found.low_error + 1e-12


def test_the_random_key_is_key_0_by_default(pair):
    apply, before, after, x, _ = pair
    x, zero, other = x[:9], jax.random.key(0), jax.random.key(1)
    for estimate in (
        lambda **key: products.extreme_eigenvalues(
            apply, before, x, iterations=1, **key
        ),
        lambda **key: large.compare(apply, before, after, x, **key).errors,
        lambda **key: large.change(
            apply, before, after, x, probes=8, method="estimate", **key
        ),
        lambda **key: products.self_check(apply, before, x, **key),
    ):
        assert estimate() == estimate(key=zero) != estimate(key=other)


def test_one_product_and_eight_probes_are_enough():
    a = np.diag([3.0, 3.0])
    found = products.lanczos(lambda v: a @ v, np.array([1.0, 2.0]), 1)
    assert (found.low, found.high, found.products) == (3, 3, 1)
    norm, error = products.frobenius(lambda v: a @ v, (2,), 8, jax.random.key(0))
    assert norm == pytest.approx(18**0.5) and error < 1e-9
    with pytest.raises(ValueError, match="probes"):
        products.frobenius(lambda v: a @ v, (2,), 7, jax.random.key(0))


def test_lanczos_ends_where_the_space_does():
    a = np.diag([3.0, -2.0, 1.0, 1.0])
    found = products.lanczos(lambda v: a @ v, np.array([1.0, 2.0, 3.0, 4.0]), 50)
    assert found.products == 3
    assert (found.low, found.high) == pytest.approx((-2, 3))
    assert found.high_error < 1e-12


def test_estimated_norm_is_right_on_average():
    rng = np.random.default_rng(0)
    q, _ = np.linalg.qr(rng.normal(size=(200, 200)))
    a = (q * 1 / np.arange(1, 201)) @ q.T
    found = [
        products.frobenius(lambda v: a @ v, (200,), 32, jax.random.key(i))
        for i in range(30)
    ]
    values, errors = np.array(found).T
    norm = np.linalg.norm(a)
    assert abs((values**2).mean() / norm**2 - 1) < 0.01
    assert np.abs(values / norm - 1).max() < 0.05
    assert 0.3 < np.abs(values - norm).mean() / errors.mean() < 3


def test_change_is_exact_where_that_is_cheaper(pair):
    apply, before, after, x, (a, b) = pair
    expected = np.linalg.norm(a - b) / np.linalg.norm(a)
    found = large.change(apply, before, after, x, tile=32)
    assert found.method == "exact"
    assert found.value == pytest.approx(expected, rel=1e-11)
    found = large.change(apply, before, after, x, method="estimate", chunk=70)
    assert abs(found.value - expected) < 5 * found.error + 0.02 * expected
    with pytest.raises(ValueError, match="at least 8"):
        large.change(apply, before, after, x, method="estimate", probes=4)


def test_change_is_estimated_where_that_is_cheaper():
    model = MLP(depth=2, activation="tanh")
    before = model.init_params(jax.random.key(0), 8, 3, 6)
    after = jax.tree.map(lambda w: w + 0.1 * jnp.cos(w), before)
    x = np.asarray(jax.random.normal(jax.random.key(1), (200, 3)))
    found = large.change(model.apply, before, after, x, probes=24)
    assert found.method == "estimate"
    exact = large.change(model.apply, before, after, x, method="exact")
    assert abs(found.value - exact.value) < 5 * found.error + 0.02 * exact.value
    traced = large.change(model.apply, before, after, x, outputs="trace")
    assert traced.method == "exact"
    assert abs(traced.value / exact.value - 1) > 1e-3  # it is another kernel
    with pytest.raises(ValueError, match="compared exactly"):
        large.change(model.apply, before, after, x, outputs="trace", method="estimate")


DEVICES = """
import jax, numpy as np
jax.config.update("jax_enable_x64", True)
from ntkpipe.kernels import empirical, large, tiles
from ntkpipe.models import MLP
from ntkpipe.kernels.assemble import place
model = MLP(depth=2, activation="tanh", b_std=0.3)
params = model.init_params(jax.random.key(0), 12, 3, 2)
after = jax.tree.map(lambda w: w + 0.05 * jax.numpy.cos(w), params)
x = np.asarray(jax.random.normal(jax.random.key(9), (70, 3)))
squares = list(tiles.tiles(model.apply, params, x, tile=20))
used = {len(s.theta.sharding.device_set) for s in squares}
assert used == {len(jax.local_devices())}, used
kernel = np.zeros((70, 2, 70, 2))
for square in squares:
    place(kernel, *square[:2], square.theta, square.mirrored)
np.testing.assert_array_equal(empirical.on_device(squares, 70, 70)[""], kernel)
c = large.compare(model.apply, params, after, x, tile=20)
keys = jax.random.split(jax.random.key(3), 8)
seeds = jax.vmap(lambda key: model.init_params(key, 12, 3, 2))(keys)
from ntkpipe.kernels.devices import shared_over_devices
seeds = shared_over_devices(seeds)
assert len(seeds[0][0]["w"].sharding.device_set) == len(jax.local_devices())
kernels = jax.jit(jax.vmap(lambda p: empirical.ntk(model.apply, p, x[:6])))(seeds)
from ntkpipe.training import loop
from ntkpipe.data.base import Data
from ntkpipe.training.protocol import Training
held = set()
compiled = loop.Run.compiled
def look(*arguments):
    run = compiled(*arguments)
    def begin(*given):
        state, start = run.begin(*given)
        held.add(len(state.params[0][0]["w"].sharding.device_set))
        return state, start
    return run._replace(begin=begin)
loop.Run.compiled = look
data = Data(x[:6], np.sin(x[:6, :2]), x[6:9], np.sin(x[6:9, :2]))
protocol = Training(learning_rate=0.1, steps=20, record=4)
found = {}
# narrow ones side by side, wide ones one on each device; 8 and 5 of them
for wide, seeds in ((False, 8), (False, 5), (True, 5)):
    loop.SIDE_BY_SIDE = 0 if wide else 100_000
    trained = loop.train(model, protocol, data, 12, jax.random.key(0), seeds)
    assert trained["seed"].tolist() == list(range(seeds))
    for name in ("loss", "ntk", "weight_change", "diverged"):
        found[f"{name} {wide} {seeds}"] = trained[name]
        assert len(trained[name]) == seeds
assert held == {len(jax.local_devices())}, held
np.savez("PATH", kernel=kernel, change=c.change, distance=c.cosine_distance,
         seeds=kernels, **found)
"""


def test_one_and_four_devices_give_the_same_numbers(tmp_path):
    found = []
    for count in (1, 4):
        path = tmp_path / f"{count}.npz"
        subprocess.run(
            [sys.executable, "-c", DEVICES.replace("PATH", str(path))],
            env=os.environ
            | {
                "XLA_FLAGS": f"--xla_force_host_platform_device_count={count}",
                "JAX_PLATFORMS": "cpu",
            },
            check=True,
            timeout=120,
        )
        found.append(np.load(path))
    for name in found[0].files:
        np.testing.assert_allclose(
            found[1][name], found[0][name], rtol=1e-12, atol=1e-14, err_msg=name
        )
