import numpy as np
import pydantic
import pytest
from figure_fakes import (
    POINTS,
    STEPS,
    TESTS,
    FakeArrays,
    TwoPoints,
    draw,
    drawn,
    fake_measurements,
    legend,
    make,
)

from ntkpipe.figures import spectrum, style


def test_a_kernel_slice_has_the_kernel_at_the_anchor():
    _, table, figure = drawn("kernel_slice")
    assert set(table["when"]) == {"before", "after", "limit"}
    limit = table.query("width == 0 and variant == 'ntk'")
    arrays = FakeArrays()
    np.testing.assert_allclose(
        limit["value"], arrays.kernel(arrays.x_test, arrays.x_test)[:, 0]
    )
    assert limit["x0"].iloc[0] == pytest.approx(-np.pi)
    assert figure.axes[0].get_ylabel() == "kernel Θ(x₀, x)"
    *_, after = draw(kind="kernel_slice", points="train", limit=False)
    assert legend(after)[:2] == ["one network, before training", "after training"]


def test_the_kernels_of_a_heatmap_share_a_scale():
    _, table, figure = drawn("heatmap")
    wide = table.query("variant == 'ntk' and width == 16").pivot_table(
        index=["row", "column"], columns="part", values="value"
    )
    np.testing.assert_allclose(wide["after"] - wide["before"], wide["change"])
    assert len(wide) == POINTS**2
    titles = [ax.get_title(loc="left") for ax in figure.axes[:4]]
    assert titles[:3] == ["Θ before", "Θ after", "change"]
    assert titles[3] == "Θ, n = ∞"
    images = [ax.images[0] for ax in figure.axes[:4]]
    assert images[0].norm.vmax == images[1].norm.vmax == images[3].norm.vmax
    assert images[2].norm.vmin == -images[2].norm.vmax


def test_a_heatmap_of_untrained_networks_has_no_empty_panels():
    arrays = FakeArrays(variants=("ntk",), widths=(16,))
    network = arrays.network("ntk", 16)
    arrays.network = lambda *_: network | {"ntk": network["ntk"][:, :1]}
    table = make(kind="heatmap").table(None, arrays)
    assert list(dict.fromkeys(table["part"])) == ["before", "limit"]


def test_a_heatmap_may_be_in_the_order_of_the_angle():
    arrays = FakeArrays(variants=("ntk",), widths=(16,))
    arrays.x = arrays.x[::-1]
    table = make(kind="heatmap", order="angle").table(None, arrays)
    limit = table[table["part"] == "limit"].pivot_table(
        index="row", columns="column", values="value"
    )
    np.testing.assert_allclose(limit, arrays.kernels()[0][::-1, ::-1])


def test_a_heatmap_of_test_points_has_their_coordinates():
    arrays = FakeArrays(variants=("ntk",), widths=(16,))
    _, table, picture = draw("heatmap", arrays, points="test", axis="angle")
    before = table[table["part"] == "before"]
    at = before.pivot_table(index="row", columns="column", values="value")
    kernel = arrays("network", "ntk", 16)["ntk_test"][0, 0, :, 0, :, 0]
    np.testing.assert_allclose(at, kernel)
    np.testing.assert_allclose(at.index, np.linspace(-np.pi, np.pi, TESTS))
    ax = picture.axes[0]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("γ′", "n = 16\nγ")
    half = np.pi / (TESTS - 1)
    np.testing.assert_allclose(
        ax.images[0].get_extent()[:2], [-np.pi - half, np.pi + half]
    )
    with pytest.raises(ValueError, match=r"figure fig:.*\bx: "):
        make(kind="heatmap", points="test").table(None, arrays)
    with pytest.raises(pydantic.ValidationError, match=r"kernel: .*nngp"):
        make(kind="heatmap", points="test", kernel="nngp")


def test_a_spectrum_has_the_eigenvalues_of_the_limit():
    _, table, figure = drawn("spectrum")
    limit = table.query("width == 0 and variant == 'ntk'")
    expected = np.linalg.eigvalsh(FakeArrays().kernels()[0])[::-1] / POINTS
    np.testing.assert_allclose(limit["median"], expected)
    assert figure.axes[0].get_ylabel() == "eigenvalue of Θ/N"
    assert "predicted slope −2" in legend(figure)


def test_a_spectrum_has_a_predicted_slope_for_each_variant():
    slopes = {"ntk": -1, "standard": -2}
    *_, picture = draw(kind="spectrum", predicted=slopes, labels={"ntk": "NTK"})
    for ax, slope in zip(picture.axes, slopes.values(), strict=True):
        (first, last), (high, low) = ax.lines[-1].get_data()
        np.testing.assert_allclose(np.log(low / high) / np.log(last / first), slope)
    assert "predicted slope −1, −2" in legend(picture)
    *_, picture = draw(kind="spectrum", predicted={"ntk": -1})
    assert "predicted slope −1" in legend(picture)


def test_a_spectrum_may_show_the_limit_alone():
    _, table, picture = draw(kind="spectrum", when=[])
    assert set(table["width"]) == {0} and legend(picture) == ["infinite width"]
    left, right = picture.axes
    assert left.lines[0].get_marker() == "o"
    assert left.get_ylim() == right.get_ylim() and left.get_xlim() == right.get_xlim()


def test_a_spectrum_shows_which_eigenvalues_are_rounding():
    values = spectrum.eigenvalues(np.ones((1, 4, 4)))  # a kernel of rank one
    assert list(values["median"] > values["rounding"]) == [True, False, False, False]
    assert values["median"].is_monotonic_decreasing and (values["low"] >= 0).all()


def test_a_spectrum_counts_and_marks_the_eigenvalues_that_are_zero():
    zero = spectrum.eigenvalues(np.diag([1.0, 1.0, 0.0, 0.0])[None])
    table = zero.assign(variant="ntk", width=0, when="limit")
    ax = make(kind="spectrum").draw(table).axes[0]
    rug = next(line for line in ax.lines if line.get_marker() == "|")
    assert list(rug.get_xdata()) == [3, 4]
    assert ax.texts[0].get_text().startswith("2 of 4")


def test_each_ellipse_shows_the_step_of_its_network():
    arrays = TwoPoints(variants=("ntk", "standard"), widths=(16,))
    figure = make(kind="ellipses", animated=True)
    table = figure.table(None, arrays)
    longer = table["step"].where(table["variant"] == "ntk", table["step"] * 10)
    *_, last = figure.frames(table.assign(step=longer))
    ends = [ax.texts[0].get_text().splitlines()[0] for ax in last.axes]
    assert ends == [f"step {STEPS:,}", f"step {10 * STEPS:,}"]
    assert last._suptitle is None


def test_ellipses_have_axes_of_one_over_root_lambda():
    _, table, picture = drawn("ellipses")
    first = table.iloc[0]
    assert first["lambda1"] == pytest.approx(3) and first["lambda2"] == pytest.approx(1)
    # the larger eigenvalue's vector is (4, 3)/5
    assert first["angle"] == pytest.approx(np.degrees(np.arctan2(3, 4)))
    ellipse = picture.axes[0].patches[0]
    assert ellipse.angle == pytest.approx(first["angle"])
    assert ellipse.height / ellipse.width == pytest.approx(np.sqrt(3))
    last = table[table["step"] == STEPS].iloc[0]
    assert last["change"] == pytest.approx(3)  # four times the kernel
    end = picture.axes[0].patches[-1]
    assert ellipse.height / end.height == pytest.approx(2)
    # the kernel of these networks is constant
    np.testing.assert_allclose(table["constant1"], table["f1"], atol=1e-12)
    np.testing.assert_allclose(table["constant2"], table["f2"], atol=1e-12)
    assert "‖ΔΘ‖/‖Θ₀‖ = 3" in [text.get_text() for text in picture.axes[0].texts]


def test_ellipses_need_two_outputs():
    with pytest.raises(ValueError, match=r"figure fig:.*\b5\b"):
        make(kind="ellipses").table(None, FakeArrays())


def test_projections_add_up_and_are_those_of_the_eigenvectors():
    _, table, _ = drawn("projections")
    arrays = FakeArrays()
    rows = table[table["variant"] == "ntk"]
    theta = arrays("limit", "ntk")["ntk_train_train"]
    values, vectors = np.linalg.eigh(theta / POINTS)
    np.testing.assert_allclose(rows["eigenvalue"], values[::-1])
    y = arrays.y[:, 0] / np.linalg.norm(arrays.y)
    assert rows["share"].iloc[0] == pytest.approx((vectors[:, -1] @ y) ** 2)
    assert rows["share"].iloc[-1] == pytest.approx(1)


def test_projections_draw_a_kernel_once_if_all_have_the_same():
    figure, table, picture = drawn("projections")
    assert [line.get_color() for line in picture.axes[0].lines] == [style.INK]
    grow = np.where(table["variant"] == "ntk", 1, 2)
    other = figure.draw(table.assign(eigenvalue=table["eigenvalue"] * grow))
    assert len(other.axes[0].lines) == 2


def test_components_are_eigenvectors_of_root_mean_square_one():
    _, table, picture = drawn("components")
    arrays = FakeArrays()
    rows = table[table["variant"] == "ntk"]
    theta = arrays("limit", "ntk")["ntk_train_train"] / POINTS
    for axis in "xy":
        v = rows[axis].to_numpy()
        assert np.mean(v**2) == pytest.approx(1)
        np.testing.assert_allclose(theta @ v, rows[f"eigenvalue_{axis}"] * v)
    assert (rows["eigenvalue_x"] > rows["eigenvalue_y"]).all()
    assert (rows["class"] == (arrays.y[:, 0] > 0)).all()
    assert "component 2" in picture.axes[0].get_xlabel()
    with pytest.raises(ValueError, match=r"figure fig:.*\b6\b.*\b5\b"):
        figure = make(kind="components", components=[2, 6])
        figure.table(fake_measurements(arrays), arrays)
