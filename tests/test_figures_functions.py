import numpy as np
import pytest
from figure_fakes import POINTS, FakeArrays, draw, drawn, legend, make

from ntkpipe.figures import base, style


def test_a_function_band_has_the_percentiles_of_the_limit():
    _, table, figure = drawn("function_band")
    limit = table.query("variant == 'ntk' and width == 0").set_index("part")
    p50, p90 = (limit.loc[f"limit {p}", "value"].to_numpy() for p in ("P50", "P90"))
    spread = p90 - p50
    np.testing.assert_allclose(spread, 0.3 * base.P90)
    assert len(limit.loc["data"]) == POINTS
    assert (np.diff(limit.loc["limit P50", "x"]) >= 0).all()
    assert set(table.loc[table["width"] == 16, "part"]) == {"network"}
    assert "P10, P50, P90 at infinite width" in legend(figure)
    labels = [tick.get_text() for tick in figure.axes[-1].get_xticklabels()]
    assert "π/2" in labels and figure.axes[-1].get_xlabel() == "angle γ"


def test_a_function_band_of_many_networks_has_their_percentiles():
    arrays = FakeArrays(seeds=20, variants=("ntk",))
    _, table, picture = draw("function_band", arrays, seeds=3)
    assert table.loc[table["part"] == "network", "seed"].max() == 2
    median = table[(table["part"] == "networks P50") & (table["width"] == 16)]
    expected = np.median(arrays("network", "ntk", 16)["f_test"][:, -1, :, 0], axis=0)
    np.testing.assert_allclose(median["value"], expected)
    assert "P10, P50, P90 of networks" in legend(picture)


def test_functions_shows_each_network_at_the_chosen_steps():
    _, table, picture = drawn("functions")
    arrays = FakeArrays()
    end = table.query("variant == 'ntk' and width == 64 and step == 200")
    expected = arrays("network", "ntk", 64)["f_test"][2, -1, :, 0]
    np.testing.assert_allclose(end["f3"], expected, atol=5.1e-5)
    assert set(table["step"].dropna()) == {0, 200}
    assert len(picture.axes) == 8  # four runs at two steps
    assert len(picture.axes[0].collections[0].get_segments()) == 6
    points = table.query("variant == 'ntk' and part == 'data'")
    np.testing.assert_allclose(points["y"], arrays.y[:, 0])
    moving = make(kind="functions", axis="angle", animated=True)
    steps = set(moving.table(None, arrays)["step"].dropna())
    assert steps == set(arrays.step)
    assert len(next(moving.frames(moving.table(None, arrays))).axes) == 4


def test_random_functions_show_no_targets():
    *_, picture = draw(kind="functions", axis="angle")
    assert all(len(line.get_xdata()) == 0 for ax in picture.axes for line in ax.lines)


def test_matrices_shows_the_matrix_and_its_change():
    arrays = FakeArrays(variants=("ntk",))
    figure = make(kind="matrices", animated=True)
    table = figure.table(None, arrays)
    matrix = arrays("network", "ntk", 16)["matrix"]
    rows = table.query("width == 16 and step == 200")
    rms = np.sqrt((matrix[0] ** 2).mean())
    entries = rows[[f"w{k}" for k in range(1, 8)]]
    np.testing.assert_allclose(entries, matrix[-1] / rms, atol=5.1e-5)
    moved = np.linalg.norm(matrix[-1] - matrix[0]) / np.linalg.norm(matrix[0])
    np.testing.assert_allclose(rows["change"], moved)
    *_, last = figure.frames(table)
    shown = [ax.images[0].get_array() for ax in last.axes if ax.images]
    np.testing.assert_allclose(shown[0] - shown[2], matrix[0] / rms, atol=2e-4)


def test_what_does_not_change_is_white():
    *_, picture = draw("matrices", FakeArrays(variants=("ntk",)))
    image = picture.axes[2].images[0]
    assert image.to_rgba(np.zeros((1, 1))).ravel().tolist() == [1, 1, 1, 1]


def test_landscapes_shows_losses_and_their_minima():
    _, table, picture = drawn("landscapes")
    run = table.query("variant == 'ntk' and width == 16").set_index("distance")
    # (f − y)²/(2α²) of f = 16·(0.5 + 0.25) and of its tangent 16·0.5
    np.testing.assert_allclose(run.loc[0.5, "loss"], (12 - 2) ** 2 / 2 / 256)
    np.testing.assert_allclose(run.loc[0.5, "loss_tangent"], (8 - 2) ** 2 / 2 / 256)
    assert len(picture.axes) == 6
    least = [line for line in picture.axes[1].lines if line.get_marker() == "o"]
    assert [float(line.get_xdata()[0]) for line in least] == pytest.approx([0.1, 0.1])
    # all curves reach the ends of their axes
    assert picture.axes[0].get_xlim() == (-1, 1)
    # a least loss at the end of the line is no minimum, and has no dot
    far = table.assign(loss=np.exp(-table["distance"]))
    ax = make(kind="landscapes").draw(far).axes[1]
    assert [line.get_color() for line in ax.lines if line.get_marker() == "o"] == [
        style.GREY
    ]
