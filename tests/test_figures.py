import io
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pydantic
import pytest
from figure_fakes import (
    KINDS,
    FakeArrays,
    arrays_of,
    draw,
    drawn,
    fake_measurements,
    make,
    overlaps,
    texts,
)
from matplotlib import text as mtext
from PIL import Image

from ntkpipe import study
from ntkpipe.figures import save, style
from ntkpipe.stages import figure as stage

STUDIES = sorted(Path(__file__).parents[1].glob("config/studies/*.yaml"))


@pytest.mark.parametrize("kind", KINDS)
def test_products_read_are_those_declared(kind):
    arrays = arrays_of(kind)
    figure = make(kind=kind, **KINDS[kind])
    figure.table(fake_measurements(arrays), arrays)
    assert arrays.asked == set(figure.reads)


@pytest.mark.parametrize("kind", KINDS)
def test_no_text_lies_on_another_or_outside(kind):
    figure = drawn(kind)[2]
    assert overlaps(figure) == []
    for text, box in texts(figure):
        assert box.x0 >= -1 and box.y0 >= -1, text
        assert box.x1 <= figure.bbox.x1 + 1 and box.y1 <= figure.bbox.y1 + 1, text


@pytest.mark.parametrize("kind", KINDS)
def test_panels_fill_the_page(kind):
    figure = drawn(kind)[2]
    figure.draw_without_rendering()  # the layout is that of the last drawing
    assert 4.5 <= figure.get_figwidth() <= style.PAGE
    if kind not in ("heatmap", "ellipses"):  # their aspect is fixed
        assert sum(ax.get_position().width for ax in first_row(figure)) > 0.75


@pytest.mark.parametrize("kind", KINDS)
def test_a_column_has_all_texts_inside_at_the_printed_size(kind):
    figure, table, _ = drawn(kind)
    column = figure.draw(table, style.COLUMN)
    assert column.get_figwidth() == style.COLUMN
    for text, box in texts(column):
        assert box.x0 >= -1 and box.x1 <= column.bbox.x1 + 1, text
    sizes = {
        t.get_fontsize() for t in column.findobj(mtext.Text) if t.get_text().strip()
    }
    assert 7 <= min(sizes) and max(sizes) <= 8


@pytest.mark.parametrize("count", [1, 3, 10])
def test_colours_are_seen_on_white(count):
    colors = [*style.category_colors(count), *style.sequential_colors(count)]
    for color in [*colors, style.GREY, style.TARGET]:
        assert style.contrast(color) >= 3, color
    assert style.contrast("white") == pytest.approx(1)
    assert style.contrast("black") == pytest.approx(21)
    assert style.legible("#0173b2") == "#0173b2"  # dark colours stay as they are


def first_row(figure):
    top = max(ax.get_position().y1 for ax in figure.axes)
    return [ax for ax in figure.axes if ax.get_position().y1 > top - 0.05]


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_depend_on_the_table_only(kind):
    figure, table, _ = drawn(kind)
    table = table[table["variant"] == "ntk"]
    back = pd.read_csv(io.StringIO(table.to_csv(index=False)))
    first, again = figure.draw(table), figure.draw(back)
    assert len(first.axes) == len(again.axes)
    endings = {"trajectories": ["svg"], "heatmap": ["svg"], "scaling": ["svg", "pdf"]}
    for ending in endings.get(kind, []):
        assert save.encode(first, ending) == save.encode(again, ending)


def test_save_writes_by_ending(tmp_path):
    figure = drawn("spectrum")[2]
    paths = [tmp_path / f"f.{ending}" for ending in ("png", "svg", "pdf")]
    save.save(figure, paths)
    starts = [path.read_bytes()[:5] for path in paths]
    assert starts == [b"\x89PNG\r", b"<?xml", b"%PDF-"]
    assert b"date" not in paths[1].read_bytes().lower()
    with pytest.raises(ValueError, match="png, svg or pdf, not bmp"):
        save.save(figure, [tmp_path / "f.bmp"])


def test_a_figure_that_does_not_fit_its_data_ends_with_a_message(tmp_path, monkeypatch):
    arrays = FakeArrays()  # they have one output
    rows = fake_measurements(arrays)
    monkeypatch.setattr(stage, "Arrays", lambda *_: arrays)
    job = SimpleNamespace(
        at=SimpleNamespace(figure="fig"),
        study=SimpleNamespace(figure=lambda _: make(kind="dynamics", output=1)),
        read=lambda _: rows,
        outputs=(str(tmp_path / "fig.png"),),
    )
    with pytest.raises(ValueError, match=r"^figure fig: IndexError: index 1 is out of"):
        stage.run(job)
    assert not any(tmp_path.iterdir())
    rows = rows.assign(metric="diverged", value=1.0)  # networks may be the cause
    stage.run(job)
    assert any(tmp_path.iterdir())


MOVING = ("functions", "matrices", "ellipses", "landscapes")


@pytest.mark.parametrize(
    "kind", ["trajectories", "dynamics", "modes", "function_band", "heatmap", *MOVING]
)
def test_a_figure_of_diverged_networks_says_so(kind):
    arrays = arrays_of(kind, variants=("ntk",), widths=(16,))
    arrays.diverged = {("ntk", 16): range(6)}
    figure, table, picture = draw(kind, arrays, **KINDS[kind])
    frames = figure.frames(table) if kind in MOVING else []
    for shown in (picture, *frames):
        assert "diverged" in shown.texts[0].get_text()


@pytest.mark.parametrize("kind", MOVING)
def test_animations_are_the_same_bytes_and_move(kind, tmp_path):
    arrays = arrays_of(kind, variants=("ntk",))
    figure = make(**KINDS[kind] | {"kind": kind, "animated": True})
    table = figure.table(fake_measurements(arrays), arrays)
    back = pd.read_csv(io.StringIO(table.to_csv(index=False)))
    paths = [tmp_path / name for name in ("a.gif", "b.gif", "still.png")]
    save.save(figure.draw(table), paths[::2], figure.frames(table))
    save.save(figure.draw(back), paths[1:2], figure.frames(back))
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert paths[2].read_bytes()[:4] == b"\x89PNG"
    with Image.open(paths[0]) as gif:
        steps = arrays("network", "ntk", 16)[
            "snapshot" if kind == "ellipses" else "step"
        ]
        runs = len(table.groupby(["variant", "width"]))
        assert gif.n_frames == (runs if kind == "landscapes" else len(steps))
        assert gif.info["loop"] == 0
        first = np.asarray(gif.convert("RGB"), int)
        gif.seek(gif.n_frames - 1)
        assert np.abs(np.asarray(gif.convert("RGB"), int) - first).max() > 50
        # small areas have their own colour, too
        target = kind != "matrices"
        near = np.abs(first - [0xD5, 0x5E, 0x00]).sum(-1) < 30
        assert near.any() or not target


def test_a_still_figure_is_no_gif(tmp_path):
    with pytest.raises(ValueError, match="png, svg or pdf, not gif"):
        save.save(drawn("modes")[2], [tmp_path / "f.gif"])


def test_variants_are_called_by_their_labels():
    labels = {"ntk": "NTK parametrisation"}
    *_, figure = draw(kind="modes", labels=labels)
    assert "NTK parametrisation" in figure.axes[0].get_title(loc="left")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "modes", "variants": ["mup"]}, "no variant mup .* ntk, standard"),
        ({"kind": "modes", "widths": [17]}, "no width 17; it has 16, 64"),
        ({"kind": "modes", "seed": 9}, "no seed 9: there are 6"),
        ({"kind": "kernel_slice", "anchor": 999}, "no test point 999"),
        (
            {"kind": "trajectories", "panels": [{"quantity": "weight_change/W7"}]},
            "no layer W7; there are W1, b1, W2, b2",
        ),
        (
            {"kind": "trajectories", "panels": [{"quantity": "kernel"}]},
            "kernel.*ntk_change",
        ),
    ],
)
def test_errors_tell_what_to_change(fields, message):
    with pytest.raises(ValueError, match=message):
        draw(**fields)


def test_the_name_of_a_figure_is_no_path():
    with pytest.raises(pydantic.ValidationError):
        make(kind="modes", name="../x")


def test_colours_go_from_light_to_dark():
    colors = list(style.width_colors([10, 100, 1000, 10000]).values())
    light = [sum(int(color[k : k + 2], 16) for k in (1, 3, 5)) for color in colors]
    assert light == sorted(light, reverse=True)


def test_the_module_imports_no_slow_package():
    code = (
        "import sys, ntkpipe.figures; "
        "print([m for m in ('matplotlib', 'seaborn', 'jax') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_texts_of_studies_have_no_raw_powers(path):
    one = study.load(path)
    read = [one.title, one.question, *one.notes]
    for figure in one.figures:
        read += [figure.title, figure.caption, *figure.labels.values()]
    assert [text for text in read if "^" in text or "`" in text] == []


def test_titles_of_figures_differ():
    titles = [f.title for path in STUDIES for f in study.load(path).figures]
    assert len(set(titles)) == len(titles)
    assert not [title for title in titles if title.startswith("The same")]
