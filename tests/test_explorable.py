"""The pictures that a reader can move: their numbers, and the networks of the page.

`network.js` is compared in node with JAX: one network with the same weights up to
rounding, many networks with those of `training.train` as distributions.
"""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from explorable_fakes import (
    GRID,
    ROOT,
    SCALINGS,
    X,
    Y,
    contents,
    needs_node,
    node,
    problem,
    review,
    shown_page,
    studies,
    tables,
    verdicts,
)
from helpers import run_stage, run_study
from jax.flatten_util import ravel_pytree
from scipy.stats import ks_2samp

from ntkpipe import artifacts, study
from ntkpipe.kernels.empirical import ntk
from ntkpipe.kernels.linear import predict
from ntkpipe.models.mlp import MLP
from ntkpipe.report import explorable, page, theorem
from ntkpipe.stages import STAGES, Place
from ntkpipe.training.loop import train
from ntkpipe.training.protocol import Training

REPORT = ROOT / "ntkpipe/report"

# ------------------------------------------------------------------ one network


def model(parameterization):
    return MLP(depth=2, init="torch", b_std=1.0, parameterization=parameterization)


def in_jax(parameterization, width, steps):
    """Frames of a network in JAX, and its initial weights as they enter the output."""
    net, eta = model(parameterization), SCALINGS[parameterization]
    params = net.init_params(jax.random.key(width), width, 1, 1)
    grid = jnp.asarray(GRID)[:, None]

    def loss(w):
        return jnp.mean((net.apply(w, X) - Y) ** 2) / 2

    def step(w, _):
        value, slope = jax.value_and_grad(loss)(w)
        return jax.tree.map(lambda a, g: a - eta * g, w, slope), value

    end, losses = jax.lax.scan(step, params, length=steps)
    moved = jnp.linalg.norm(ravel_pytree(end)[0] - ravel_pytree(params)[0])
    kernel = ntk(net.apply, params, X)
    linear = predict(
        kernel,
        net.apply(params, X),
        Y,
        [steps],
        eta,
        ntk_test=ntk(net.apply, params, grid, X),
        f0_test=net.apply(params, grid),
    )
    size = jnp.linalg.norm(ravel_pytree(params)[0])
    weights = {}
    for index, layer in enumerate(params[0]):
        w, b = net.multipliers(index, layer)
        weights[f"w{index + 1}"] = (w * layer["w"]).T.ravel().tolist()
        weights[f"b{index + 1}"] = (b * layer["b"]).tolist()
    return weights, {
        "losses": [*losses, loss(end)],
        "f": net.apply(end, grid)[:, 0],
        "linear": linear.f_test[0, :, 0],
        "linearLoss": linear.loss[0],
        "moved": moved / size,
        "linearMoved": linear.weight_change[0] / size,
        "kernel0": kernel[:, 0, :, 0],
        "kernel": ntk(net.apply, end, X)[:, 0, :, 0],
    }


@needs_node
@pytest.mark.parametrize("parameterization", SCALINGS)
@pytest.mark.parametrize("width", [7, 40])
def test_a_network_in_the_page_is_that_of_jax(parameterization, width):
    """The same weights give the same numbers, up to the rounding of 60 steps."""
    steps = 60
    weights, expected = in_jax(parameterization, width, steps)
    found = node(
        """const { weights, problem } = data;
        for (const name in weights) weights[name] = Float64Array.from(weights[name]);
        return [...N.train(problem, weights)];""",
        {
            "weights": weights,
            "problem": problem(parameterization, steps, range(steps + 1)),
        },
    )
    assert [frame["step"] for frame in found] == list(range(steps + 1))
    assert [frame["last"] for frame in found] == [False] * steps + [True]

    def close(name, value, reference):
        np.testing.assert_allclose(
            value, reference, rtol=1e-9, atol=1e-12, err_msg=name
        )

    close("loss", [frame["loss"] for frame in found], expected["losses"])
    close("kernel0", found[0]["kernel"], expected["kernel0"])
    for name in ("f", "linear", "linearLoss", "moved", "linearMoved", "kernel"):
        close(name, found[-1][name], expected[name])
    change = expected["kernel"] - expected["kernel0"]
    norm = np.linalg.norm
    close("change", found[-1]["kernelChange"], norm(change) / norm(expected["kernel0"]))
    gap = np.abs(expected["f"] - expected["linear"]).max()
    close("gap", found[-1]["gap"], gap)
    assert gap > 1e-3  # the network has left its linearisation


@needs_node
def test_the_closed_form_stays_finite_without_a_kernel():
    """Directions of λ = 0 do not move: a rank of one, and a rank of zero."""
    for kernel in ([[4.0, 2.0], [2.0, 1.0]], np.zeros((2, 2))):
        kernel = np.asarray(kernel)
        found = node(
            "return N.linearisation(data.k, data.k, [0, 0], [0, 0], data.y, 0.1)(50);",
            {"k": kernel.tolist(), "y": Y[:, 0].tolist()},
        )
        reference = predict(
            kernel[:, None, :, None],
            np.zeros((2, 1)),
            Y,
            [50],
            0.1,
            ntk_test=kernel[:, None, :, None],
            f0_test=np.zeros((2, 1)),
        )
        np.testing.assert_allclose(found["f"], reference.f_test[0, :, 0], atol=1e-12)
        np.testing.assert_allclose(found["loss"], reference.loss[0], rtol=1e-12)


@needs_node
def test_training_stops_at_the_loss_of_the_study():
    """The last frame is that of the first step below the stopping loss."""
    found = node(
        "return [...N.train(data, N.draw(100, 3))].map((f) => [f.step, f.loss, f.last,"
        " f.converged]);",
        problem("ntk", 1000, range(0, 1001)),
    )
    losses = [loss for _, loss, _, _ in found]
    assert losses[-1] < 5e-11 and min(losses[:-1]) >= 5e-11
    assert found[-1][2:] == [True, True] and len(found) == found[-1][0] + 1 < 1000


@needs_node
def test_the_schedule_has_both_ends_and_grows():
    steps = node("return N.schedule(1000, 40);", None)
    assert steps[0] == 0 and steps[-1] == 1000 and len(steps) <= 41
    assert (np.diff(steps) > 0).all() and np.diff(steps)[-1] > np.diff(steps)[0]


# ------------------------------------------------------------------ many networks

# Each of 2 widths × 2 scalings × 4 quantities has a two-sample Kolmogorov–Smirnov test
# of this level. With other seeds, the tests fail together with a probability of at most
# 16 · 1e-4 = 0.16 % if both programs draw from the same distribution.
LEVEL = 1e-4
DRAWS = 250
QUANTITIES = ("kernel at the start", "loss at step 100", "moved", "kernelChange")


def many_in_jax(parameterization, width):
    """Numbers of networks that the package trains as the study `width` does."""
    training = Training(
        learning_rate=SCALINGS[parameterization],
        steps=1000,
        stop_at_loss=5e-11,
        spacing="linear",
        record=11,
        snapshots=2,
    )
    data = study.load(ROOT / "config/studies/width.yaml").variants["torch"].dataset
    found = train(
        model(parameterization),
        training,
        data.sample(None),
        width,
        jax.random.key(5),
        DRAWS,
    )
    kernel = found["ntk"][:, :, :, 0, :, 0]
    change = np.linalg.norm(kernel[:, -1] - kernel[:, 0], axis=(1, 2))
    size = np.linalg.norm(found["weight_norm"], axis=-1)
    return {
        "kernel at the start": kernel[:, 0, 0, 0],
        "loss at step 100": found["loss"][:, 1],
        "moved": np.linalg.norm(found["weight_change"][:, -1], axis=-1) / size,
        "kernelChange": change / np.linalg.norm(kernel[:, 0], axis=(1, 2)),
    }


def many_in_node(parameterization, width):
    """The same numbers of the networks of the page."""
    found = node(
        f"""return Array.from({{ length: {DRAWS} }}, (_, seed) => {{
        const f = [...N.train(data, N.draw({width}, seed + 1))];
        const at = f.findLast((one) => one.step <= 100);
        return [f[0].kernel[0][0], at.loss, f.at(-1).moved, f.at(-1).kernelChange];
        }});""",
        problem(parameterization, 1000, [0, 100, 1000], grid=[0.0]),
    )
    return dict(zip(QUANTITIES, np.array(found).T, strict=True))


@needs_node
def test_networks_of_the_page_have_the_distribution_of_those_of_the_study():
    samples = {}
    for parameterization in SCALINGS:
        for width in (10, 24):
            here, there = (
                many(parameterization, width) for many in (many_in_node, many_in_jax)
            )
            samples[parameterization, width] = here
            for quantity in QUANTITIES:
                p = ks_2samp(here[quantity], there[quantity]).pvalue
                assert p > LEVEL, (parameterization, width, quantity)
    # the test can fail: it tells the scalings and the widths apart
    for one, other in (("standard", 10), ("ntk", 10)), (("ntk", 10), ("ntk", 24)):
        p = ks_2samp(samples[one]["moved"], samples[other]["moved"]).pvalue
        assert p < LEVEL / 1000


# ------------------------------------------------------------------ numbers


def test_two_networks_have_the_settings_and_the_bands_of_the_study():
    found = contents()["networks"]
    assert found["problem"]["x"] == [-3, 0.5] and found["problem"]["y"] == [2, -1]
    assert set(found["problem"]["x"]) <= set(found["problem"]["grid"])
    torch, ntk_ = found["scalings"]
    assert (torch["parameterization"], torch["learningRate"]) == ("standard", 2e-3)
    assert (ntk_["parameterization"], ntk_["learningRate"]) == ("ntk", 0.5)
    assert (torch["steps"], torch["stop"]) == (1000, 5e-11)
    assert [found["widths"][i] for i in found["start"]] == list(explorable.START)
    ten = torch["bands"][0]
    assert (ten["width"], ten["seeds"]) == (10, 20)
    step, low, high = ten["moved"]
    assert step[:2] == [100, 200]  # the change of 0 at step 0 has no logarithm
    assert (low[0], high[0]) == (0.005, 0.02)
    assert ten["loss"][0][0] == 0


@pytest.mark.parametrize(
    "change",
    [
        "model: {depth: 1}",
        "model: {activation: tanh}",
        "model: {init: normal}",
        "model: {W_std: 2}",
        "model: {parameterization: mup}",
        "training: {optimizer: momentum}",
        "training: {weight_decay: 0.1}",
        "training: {stop_at_loss: null}",
        "dataset: {x: [[-3], [0.5], [1]], y: [[2], [-1], [0]]}",
        "dataset: {x: [[-3, 1], [0.5, 1]]}",
        "dtype: float32",
    ],
)
def test_only_networks_that_the_page_can_train_are_shown(change):
    text = (ROOT / "config/studies/width.yaml").read_text("utf-8")
    changed = study.parse(
        text.replace("torch: {}", f"torch: {{{change}}}"), "width.yaml"
    )
    assert not explorable.browsed(changed.variants["torch"])
    assert explorable.browsed(changed.variants["ntk"])
    labels = [s["parameterization"] for s in _networks(changed)["scalings"]]
    assert labels == ["ntk"]


def _networks(one):
    few = review()
    few = few[few["variant"] != "torch_converged"]
    return explorable.networks(one, {("width", "review"): few})


def test_the_kernel_on_the_circle_has_its_scatter_and_its_limit():
    shown = contents()["pictures"]["deterministic"]
    assert [w["width"] for w in shown["widths"]] == [64, 128, 512]
    assert [len(w["curves"]) for w in shown["widths"]] == [3, 0, 3]
    first = shown["widths"][0]
    assert first["seeds"] == 12
    assert [round(at["angle"], 2) for at in first["at"]] == [0, 1.57, 3.14]
    values = (0.3 + 1 / 64) * (1 + np.arange(12) / 20)
    strip = first["at"][0]
    np.testing.assert_allclose(
        strip["band"], np.quantile(values, [0.1, 0.5, 0.9]), rtol=1e-3
    )
    np.testing.assert_allclose(
        [strip["mean"], strip["sd"]], [values.mean(), values.std(ddof=1)], rtol=1e-3
    )
    np.testing.assert_allclose(first["distance"][1], 2 / 8, rtol=1e-3)
    assert shown["fit"]["slope"] == [-0.5, -0.52, -0.48]
    assert ("jacot_kernel", "J-1/Θ") in shown["claims"]


def test_the_change_of_the_kernel_has_its_history_at_each_width():
    shown = contents()["pictures"]["constant"]
    assert [v["label"] for v in shown["variants"]] == ["tanh", "ReLU"]
    wide = shown["variants"][0]["widths"][1]
    assert (wide["width"], wide["step"]) == (256, [0, 10, 60])
    factors = np.quantile(1 + np.arange(12) / 20, [0.1, 0.5, 0.9])
    for key, factor in zip(("low", "median", "high"), factors, strict=True):
        np.testing.assert_allclose(
            wide[key], np.array([0, 1, 6]) / 256 * factor, rtol=1e-3
        )


def test_outputs_modes_and_the_gaussian_are_those_of_the_figures():
    shown = contents()["pictures"]
    run = shown["equation"]["runs"][1]
    assert run["width"] == 1024 and len(run["points"]) == len(run["modes"]) == 2
    assert run["points"][0]["target"] == -1
    assert run["modes"][1]["eigenvalue"] == 0.1
    np.testing.assert_allclose(
        shown["equation"]["time"], [0, 0.05, 0.5, 5, 50], rtol=1e-12
    )
    limit = shown["gaussian"]
    np.testing.assert_allclose(
        limit["sd"], 0.2 * np.sin(limit["angle"]) ** 2, rtol=1e-3, atol=1e-6
    )
    assert [run["seeds"] for run in limit["runs"]] == [600, 60]
    alphas = [scale["alpha"] for scale in shown["lazy"]["scales"]]
    assert alphas == sorted(alphas) and len(alphas) == 7
    assert shown["lazy"]["target"] == [3, -1]


def test_numbers_are_short_and_what_is_no_number_is_none():
    assert explorable.short([1 / 3, np.nan, np.inf, 12345.6]) == [
        0.3333,
        None,
        None,
        12350.0,
    ]


def test_a_picture_without_results_names_the_command_that_computes_it():
    some = {key: value for key, value in tables().items() if key[0] != "constancy"}
    found = explorable.contents(studies(), some, theorem.PICTURES)
    assert found["missing"] == [("constant", "constancy")]
    shown = shown_page(found)
    assert "./run constancy" in shown and 'id="picture-constant"' not in shown
    assert "./run ellipses" not in shown and 'id="picture-lazy"' in shown
    # neither tables without rows, nor a study that this run lacks, are an error
    empty = {key: value.iloc[:0] for key, value in tables().items()}
    assert explorable.contents(studies(), empty, theorem.PICTURES) == {}
    assert explorable.contents([], {}, theorem.PICTURES) == {}


# ------------------------------------------------------------------ page


def test_the_page_has_all_pictures_loads_nothing_and_is_small():
    shown, without = shown_page(), page.page([], verdicts(), {})
    for name in theorem.PICTURES:
        assert f'id="picture-{name}"' in shown
    loads = r"https?://(?!www\.w3\.org/2000/svg)|url\(|@import| src="
    assert len(re.findall(loads, shown)) == len(re.findall(loads, without))
    assert len(shown.encode()) - len(without.encode()) < 500_000
    scripts = re.findall(r"<script[^>]*>(.*?)</script>", shown, re.DOTALL)
    assert len(scripts) - without.count("<script") == 6
    assert not any("<script" in script for script in scripts)
    data = [json.loads(script) for script in scripts if script.startswith("{")]
    assert set(data[1]) == set(theorem.PICTURES) and "scalings" in data[0]
    for name, words in ("J-2", "✓ supported"), ("J-7n", "✓ control, refuted as"):
        (anchor,) = re.findall(
            rf'href="#([^"]+)"[^>]*>{name}</a> <span[^>]*>{words}', shown
        )
        # the table of claims has the claim, or a link to it, at the same anchor
        assert len(re.findall(rf'"#?{re.escape(anchor)}"', shown)) > 1


def test_a_page_without_moving_pictures_has_none_of_their_scripts():
    without = page.page([], verdicts(), {})
    assert "ntkPlot" in shown_page() and "ntkPlot" not in without
    assert 'class="explorable' not in without


def test_every_control_of_the_pictures_has_a_label():
    shown = shown_page()
    ids = re.findall(r'\bid="([^"]+)"', shown)
    assert len(ids) == len(set(ids))
    controls = re.findall(r"<(?:input|select)[^>]* data-is=[^>]*>", shown)
    assert len(controls) >= 12
    for tag in controls:
        inside = shown[: shown.index(tag)].rsplit("<label", 1)[1]
        assert "</label>" not in inside, tag
    pictures = re.findall(r"<svg data-is[^>]*>", shown)
    assert len(pictures) >= 19
    for svg in pictures:
        assert 'role="img"' in svg and re.search('aria-label="[^"]{20,}"', svg)


def test_an_edit_of_a_template_style_or_script_shows_in_the_layout():
    """Without this, an edit would not make the page again."""
    files = [p for p in REPORT.iterdir() if p.suffix in (".js", ".css", ".jinja")]
    assert len(files) >= 9
    for path in files:
        assert path.read_text("utf-8") in page.layout(), path.name


NO_FILES = dict.fromkeys(STAGES["report"].options, "")


def test_the_stage_finds_the_tables_among_its_inputs(tmp_path):
    """Tables of figures are found by study and name, and their settings are checked."""
    text = (ROOT / "config/studies/width.yaml").read_text("utf-8")
    text = text[: text.index("  ntk: #")] + text[text.index("figures:") :]
    text = text[: text.index("  - name: scaling")]
    for old, new in (
        ("widths: [10, 100, 1000]", "widths: [4]"),
        ("variants: [torch, ntk]", "variants: [torch]"),
        (", ntk: NTK parametrisation}", "}"),
        ("seeds: {10: 20, 100: 24, 1000: 6}", "seeds: 2"),
        ("steps: 1000", "steps: 20"),
        ("record: 80", "record: 4"),
    ):
        assert old in text
        text = text.replace(old, new)
    one = study.parse(text, "width.yaml")
    made = run_study(one, tmp_path)
    figures = tmp_path / "width/figures"
    drawn = run_stage(
        "figure",
        one,
        inputs=[
            made[source.product, at.variant, at.width]
            for source, at in STAGES["figure"].inputs(Place(one, figure="review"))
        ],
        output=[figures / f"review.{end}" for end in ("csv", "png", "svg", "pdf")],
        figure="review",
    )
    inputs = [made["claims", "", 0], made["measurements", "", 0], *drawn]
    out = tmp_path / "index.html"
    run_stage("report", one, inputs=inputs, output=out, **NO_FILES)
    shown = out.read_text("utf-8")
    data = json.loads(
        re.search(r'id="explore-data">(.*?)</script>', shown, re.DOTALL)[1]
    )
    assert [band["width"] for band in data["scalings"][0]["bands"]] == [4]
    assert data["scalings"][0]["steps"] == 20
    assert "./run gradient_flow" in shown
    other = study.parse(text.replace("steps: 20", "steps: 21"), "width.yaml")
    with pytest.raises(artifacts.ProductError, match="delete it and run again"):
        run_stage("report", other, inputs=inputs, output=out, **NO_FILES)
