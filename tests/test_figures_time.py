import numpy as np
import pytest
from figure_fakes import (
    ETA,
    KINDS,
    POINTS,
    STEPS,
    EqualAngles,
    FakeArrays,
    draw,
    drawn,
    fake_measurements,
    legend,
    make,
    overlaps,
)

from ntkpipe.figures import base, modes


def test_trajectories_end_when_half_of_the_networks_have_stopped():
    _, table, figure = drawn("trajectories")
    arrays = FakeArrays()
    rows = table.query(
        "variant == 'ntk' and width == 64 and model == 'network' and quantity == 'loss'"
    )
    loss = arrays("network", "ntk", 64)["loss"]
    np.testing.assert_allclose(rows["median"].iloc[5], np.median(loss[:, 5]))
    np.testing.assert_allclose(rows["high"].iloc[5], np.quantile(loss[:, 5], 0.9))
    # four of six stop at the 20th recorded step, and there the curve ends
    assert rows["step"].max() == arrays.step[20]
    assert (rows["seeds"] == 6).all()
    change = table.query(
        "width == 64 and model == 'network' and quantity == 'weight_change'"
    )
    network = arrays("network", "ntk", 64)
    total = np.linalg.norm(network["weight_change"][0, 20])
    norm = np.linalg.norm(network["weight_norm"][0])
    np.testing.assert_allclose(change["median"].max(), total / norm)
    assert len(figure.axes) == 4
    loss_axes, change_axes = figure.axes[:2]
    assert loss_axes.get_yscale() == "log" and change_axes.get_yscale() == "linear"
    assert loss_axes.get_ylabel() == "training loss"
    assert figure.axes[-1].get_xlabel() == "gradient steps"
    assert change_axes.get_ylabel() == "‖w − w₀‖ / ‖w₀‖"
    assert "its linearised model" in legend(figure) and "n = 16" in legend(figure)


def test_trajectories_may_show_a_metric_and_a_layer_over_time():
    panels = [{"quantity": q} for q in ("ntk_change", "weight_change/W2", "test_loss")]
    figure, table, picture = draw(kind="trajectories", panels=panels, x="time")
    assert set(figure.reads) == {"network", "linearized", "dataset"}
    measured = table[table["quantity"] == "ntk_change"]
    assert set(measured["model"]) == {"network"}
    np.testing.assert_allclose(measured["x"], measured["step"] * ETA)
    assert set(table.query("quantity == 'test_loss'")["model"]) == {
        "network",
        "linearized",
    }
    assert picture.axes[-1].get_xlabel() == "time t = η · step"
    assert picture.axes[1].get_ylabel() == "relative weight change of W2"


def test_a_metric_that_some_networks_lack_is_held_where_its_own_seeds_stopped():
    arrays = FakeArrays(variants=("ntk",), widths=(16,))
    rows = fake_measurements(arrays)
    rows = rows[(rows["metric"] != "ntk_change") | (rows["seed"] >= 3)]
    figure = make(kind="trajectories", panels=[{"quantity": "ntk_change"}])
    table = figure.table(rows, arrays)
    # of the networks 3, 4 and 5 one stopped; of all six networks four
    value = rows[rows["metric"] == "ntk_change"].set_index(["seed", "step"])["value"]
    assert list(table["step"]) == [0, 100, 200] and (table["seeds"] == 3).all()
    last = np.median([value[3, 100], value[4, 200], value[5, 200]])
    np.testing.assert_allclose(table["median"].iloc[-1], last)
    none_has_all = rows[rows["step"] == 100 * (rows["seed"] - 3)]
    assert figure.table(none_has_all, arrays).empty


def test_infinite_width_does_not_stop_with_the_first_network():
    arrays = FakeArrays(variants=("ntk",), widths=(16,))
    network = arrays.network

    def early(variant, width):
        stop = [arrays.step[5], *network(variant, width)["stop_step"][1:]]
        return network(variant, width) | {"stop_step": np.array(stop)}

    arrays.network = early
    fields = {"panels": [{"quantity": "loss"}], "models": ["network", "limit"]}
    table = make(kind="trajectories", **fields).table(None, arrays)
    loss = table.loc[table["model"] == "limit", "median"]
    assert len(loss) == 21 and (np.diff(loss) < 0).all()


def test_a_logarithmic_axis_of_time_begins_at_step_0():
    fields = {"panels": [{"quantity": "loss"}], "log_x": True}
    for kind, more in (("trajectories", fields), ("dynamics", {}), ("modes", {})):
        *_, picture = draw(**{"kind": kind, "log_x": True} | more)
        for ax in picture.axes:
            ax.get_figure().draw_without_rendering()
            line = ax.lines[0].get_transform().transform(ax.lines[0].get_xydata()[:2])
            assert ax.get_xlim()[0] == ax.lines[0].get_xdata()[0] == 0
            assert np.isfinite(line).all() and line[1, 0] > line[0, 0] + 10


@pytest.mark.parametrize("factor", [1e-3, 1.5, 1e200])
def test_logarithmic_limits_hold_what_is_drawn(factor):
    arrays = FakeArrays(variants=("ntk",))
    linearized = arrays.linearized
    grow = factor ** (arrays.step / STEPS)

    def other(variant, width):
        product = linearized(variant, width)
        return product | {"loss": 1e-2 * grow * np.ones_like(product["loss"])}

    arrays.linearized = other
    _, table, picture = draw("trajectories", arrays, panels=[{"quantity": "loss"}])
    low, high = picture.axes[0].get_ylim()
    network = table[table["model"] == "network"]
    assert low < network["low"].min() and network["high"].max() < high
    shown = [*network["low"], *network["high"], *table["median"]]
    decades = np.log10(network["high"].max() / network["low"].min())
    assert np.log10(high / low) < 2.3 * max(decades, 0.5)
    if factor < 1e9:
        assert low < min(shown) and max(shown) < high
        assert np.log10(high / low) < 1.3 * np.log10(max(shown) / min(shown))


def test_trajectories_say_how_many_networks_diverged():
    arrays = FakeArrays()
    arrays.diverged = {("ntk", 16): [1, 2], ("standard", 16): range(6)}
    _, table, picture = draw("trajectories", arrays, **KINDS["trajectories"])
    assert np.isfinite(table["median"]).all()
    assert table.query("variant == 'standard' and width == 16").empty
    assert any("n = 16" in text and "2 of 6" in text for text in legend(picture))


def test_all_curves_of_one_network_start_at_its_outputs():
    _, table, figure = drawn("dynamics")
    assert set(table["point"]) == {*(f"train {k}" for k in (1, 2, 3, 4)), "test 4"}
    assert set(table["model"]) == {"network", "linearized", "limit"}
    np.testing.assert_allclose(table["time"], ETA * table["step"])
    starts = table[table["step"] == 0].groupby(["variant", "width", "point"])["median"]
    assert (starts.max() - starts.min()).max() < 1e-12  # all from the same f(x, 0)
    ends = table[(table["step"] == STEPS) & table["target"].notna()]
    np.testing.assert_allclose(ends["median"], ends["target"], atol=1e-3)
    assert table.loc[table["point"] == "test 4", "target"].isna().all()
    assert figure.axes[0].get_ylabel() == "output f(x, t)"
    assert "training point 1" in legend(figure) and "infinite width" in legend(figure)


def test_dynamics_of_all_networks_show_the_gaussian_of_the_limit():
    _, table, figure = draw(kind="dynamics", seed=None, log_x=True)
    first = table.query("model == 'limit' and step == 0 and variant == 'ntk'").iloc[0]
    np.testing.assert_allclose(first["high"] - first["median"], 0.5 * base.P90)
    assert "10 – 90 % of seeds" in legend(figure)
    assert figure.axes[0].get_xscale() == "symlog"


def test_modes_of_a_linear_network_decay_as_predicted():
    arrays = FakeArrays(widths=(10**8,))
    _, table, picture = draw("modes", arrays)
    assert table["mode"].max() == POINTS
    eigenvalues = table.groupby("mode")["eigenvalue"].first().to_numpy()
    assert (np.diff(eigenvalues) < 0).all()
    slow = table[(table["mode"] == POINTS) & (table["component"] > 1e-3)]
    np.testing.assert_allclose(slow["component"], slow["predicted"], rtol=1e-3)
    assert picture.axes[0].get_yscale() == "log"


def test_modes_have_labels_wherever_their_axis_is_another():
    *_, picture = draw(kind="modes")  # rows have their own axis of time, columns not
    first, second, *lower = picture.axes
    assert first.get_xlabel() == second.get_xlabel() == lower[0].get_xlabel() != ""
    assert first.get_ylabel() != "" == second.get_ylabel()
    # λ_i are eigenvalues of H = Θ/N, as in the manual
    assert legend(picture)[-1] == r"predicted $|1-\eta\lambda_i|^{t/\eta}$"
    *_, picture = draw(kind="function_band")
    assert [ax.get_xlabel() for ax in picture.axes[:2]] == ["", ""]


def test_components_along_a_traced_kernel_are_norms_over_outputs():
    random = np.random.default_rng(0)
    residual = random.normal(size=(3, 4, 2))
    half = random.normal(size=(4, 4))
    traced = (half @ half.T)[:, None, :, None]
    full = np.einsum("abcd,kl->akcl", traced, np.eye(2))
    values, size = modes.along_eigenvectors(traced, residual)
    both, sizes = modes.along_eigenvectors(full, residual)
    np.testing.assert_allclose(both[::2], values)
    np.testing.assert_allclose(np.hypot(sizes[:, ::2], sizes[:, 1::2]), size)


def test_trajectories_coloured_by_variant_have_the_limit_and_the_residual():
    panels = [{"quantity": q} for q in ("loss", "test_loss", "residual_across")]
    figure, table, picture = draw(
        kind="trajectories", panels=panels, models=["network", "limit"], color="variant"
    )
    assert set(figure.reads) == {"network", "limit", "dataset"}
    arrays = FakeArrays()
    limit, data = arrays("limit", "ntk"), arrays("dataset", "ntk")
    rows = table.query("variant == 'ntk' and model == 'limit' and width == 64")
    loss = rows.loc[rows["quantity"] == "loss", "median"].to_numpy()
    # over initialisations: squared mean and variance
    square = (limit["mean_train"] - data["y_train"])[..., 0] ** 2
    expected = (square + limit["sd_train"] ** 2).mean(1) / 2
    np.testing.assert_allclose(loss, expected[: len(loss)])
    across = rows.loc[rows["quantity"] == "residual_across", "median"].to_numpy()
    y = data["y_train"][:, 0] / np.linalg.norm(data["y_train"])
    residual = (limit["mean_train"] - data["y_train"])[..., 0]
    across_of = np.linalg.norm(residual - np.outer(residual @ y, y), axis=1)
    np.testing.assert_allclose(
        across, across_of[: len(across)] / np.sqrt(POINTS), atol=1e-14
    )
    assert len(picture.axes) == 6  # a row for each width
    assert {"ntk", "standard", "infinite width"} <= set(legend(picture))
    assert overlaps(picture) == []


def test_modes_of_frequencies_are_fourier_components():
    arrays = EqualAngles()
    fields = {"of": "frequencies", "modes": [1, 3, 9]}
    _, table, picture = draw("modes", arrays, **fields)
    assert sorted(set(table["mode"])) == [1, 3]  # 9 of eight points is left out
    for k, size in ((1, 1), (3, 2)):
        rows = table[(table["mode"] == k) & (table["width"] == 16)]
        np.testing.assert_allclose(rows["eigenvalue"], arrays.VALUES[k])
        assert rows["component"].iloc[0] == pytest.approx(size)
        np.testing.assert_allclose(
            rows["component"], rows["predicted"], rtol=1e-6, atol=1e-13
        )
    assert "k = 3" in legend(picture)
