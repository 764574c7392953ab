"""The interactive charts of the page: blocks, scripts, and a browser that draws."""

import base64
import functools
import io
import json
import os
import re
import shutil
import subprocess
import zlib

import numpy as np
import pandas as pd
import pytest
from figure_fakes import KINDS, arrays_of, drawn, fake_measurements, make
from PIL import Image

from ntkpipe import claims
from ntkpipe.figures import save
from ntkpipe.report import charts, page
from ntkpipe.report.page import FigurePage, StudyPage

STILL = {"heatmap", "matrices", "ellipses", "landscapes"}
CHARTS = [kind for kind in KINDS if kind not in STILL]


def png():
    body = io.BytesIO()
    Image.new("RGB", (4, 3), "white").save(body, "png")
    return body.getvalue()


def inflated(block):
    return zlib.decompress(base64.b64decode(block.data))


@functools.cache
def animation(kind="functions"):
    """An animated figure, its table and its gif."""
    arrays = arrays_of(kind, variants=("ntk",))
    figure = make(**KINDS[kind] | {"kind": kind, "animated": True})
    table = figure.table(fake_measurements(arrays), arrays)
    return figure, table, save.animate(figure.frames(table))


@functools.cache
def block(kind):
    figure, table, _ = drawn(kind)
    return charts.block(figure, table)


def test_a_block_is_the_specification_with_the_title():
    spec = json.loads(inflated(block("trajectories")))
    assert spec["description"] == "A figure" and len(spec["concat"]) == 4
    assert block("trajectories").notes == spec["usermeta"]["notes"]
    assert "10 – 90 % of seeds" in block("trajectories").notes[0]


def test_a_figure_without_chart_has_no_block():
    assert block("heatmap") is None
    reason = pd.DataFrame({"note": ["all networks diverged"]})
    assert charts.block(drawn("scaling")[0], reason) is None


@pytest.mark.parametrize("most", [200, 7])
def test_frames_are_those_of_the_animation(most, monkeypatch):
    """The first and the last are among them, and a note says if some are left out."""
    monkeypatch.setattr(charts, "MOST_FRAMES", most)
    figure, table, gif = animation()
    made = charts.block(figure, table, gif)
    about = made.about
    shape = about["count"], about["height"], about["width"]
    stack = np.frombuffer(inflated(made), np.uint8).reshape(shape).copy()
    for k in range(1, len(stack)):
        stack[k] ^= stack[k - 1]
    packed = np.array(about["palette"])[stack]
    colors = np.stack([packed & 255, packed >> 8 & 255, packed >> 16], -1)
    with Image.open(io.BytesIO(gif)) as image:
        count = image.n_frames
        step = 1 if count <= most else -(-(count - 1) // (most - 1))
        shown = sorted({*range(0, count - 1, step), count - 1})
        assert len(shown) == len(stack) <= most
        for frame, k in zip(colors, shown, strict=True):
            image.seek(k)
            assert np.array_equal(frame, np.asarray(image.convert("RGB")))
    assert bool(made.notes) == (step > 1)


def test_a_figure_without_chart_shows_the_beginning_of_its_table():
    _, table, _ = drawn("heatmap")
    shown = charts.preview(table)
    assert shown.says == f"12 of {len(table):,} rows" and len(shown.rows) == 12
    assert shown.columns == list(table)
    assert shown.rows[3][-1] == f"{table['value'][3]:.4g}"
    assert charts.preview(animation()[1]).says.endswith(" columns")
    figure = FigurePage(name="f", title="t", caption="c", png=png(), preview=shown)
    one = StudyPage(name="study", title="t", question="q", figures=[figure])
    text = page.page([one], claims.table([]), {})
    assert (
        f"Data table ({shown.says})" in text and f"<td>{shown.rows[3][-1]}</td>" in text
    )


def test_a_page_has_the_library_once_and_only_with_charts():
    frames = charts.block(*animation())
    both = charts.scripts([block("modes"), block("scaling"), None, frames])
    assert both.count('id="vega"') == 1 and both.count("<script>") == 1
    assert 'id="vega"' not in charts.scripts([frames])
    assert charts.scripts([None]) == ""


def test_the_library_is_small_and_of_the_version_of_the_specifications():
    import altair

    code = zlib.decompress(base64.b64decode(charts.library())).decode()
    assert len(code) <= 950_000 and len(charts.library()) <= 450_000
    assert "window.vegaEmbed=" in code and "</script" not in charts.library()
    version = altair.SCHEMA_VERSION.removeprefix("v").rpartition(".")[0]
    assert re.search(rf'"{re.escape(version)}\.\d+"', code)


# ------------------------------------------------------------------ in a browser

# headless Chromium makes no frames in virtual time, in which observers would be called
SHIM = """<script>
window.IntersectionObserver = class {
  constructor(told) { this.told = told; }
  observe(target) { setTimeout(() => this.told([{ isIntersecting: true, target }])); }
  unobserve() {}
};
</script>"""
# waits for all figures, then points at a chart and clicks a name of its legend
PROBE = """<script>
const tell = (name, value) => document.body.setAttribute(`data-${name}`, value);
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
(async () => {
  // on a narrow screen studies are folded
  for (const folded of document.querySelectorAll("details")) folded.open = true;
  const figures = [...document.querySelectorAll("figure")];
  for (let k = 0; k < 200; k++) {
    if (figures.every((one) => one.classList.contains("drawn"))) break;
    await wait(50);
  }
  tell("drawn", figures.filter((one) => one.classList.contains("drawn")).length);
  const figure = document.getElementById("figure-study-scaling");
  const svg = figure.querySelector("svg");
  const view = figure.querySelector(".chart").view;
  const plot = svg.querySelector(".concat_0_group .background").getBoundingClientRect();
  const at = { clientX: plot.x + plot.width * 0.4, clientY: plot.y + plot.height / 2 };
  const events = ["pointerover", "pointermove"];
  const under = document.elementFromPoint(at.clientX, at.clientY) ?? svg;
  for (const kind of events) {
    under.dispatchEvent(new PointerEvent(kind, { ...at, bubbles: true }));
  }
  await wait(200);
  tell("told", document.getElementById("vg-tooltip-element")?.textContent ?? "nothing");
  const name = svg.querySelector(".role-legend-label text");
  name.dispatchEvent(new MouseEvent("click", { bubbles: true }));
  await wait(200);
  tell("shown", JSON.stringify(view.signal("shown").series ?? null));
  tell("clicked", name.textContent);
  tell("wide", document.documentElement.scrollWidth <= innerWidth);
})();
</script>"""


@pytest.fixture(scope="module")
def chromium():
    """A browser, which `NTKPIPE_REQUIRE_BROWSER` makes mandatory."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None and os.environ.get("NTKPIPE_REQUIRE_BROWSER"):
        pytest.fail("no Chromium, which NTKPIPE_REQUIRE_BROWSER asks for")
    return found or pytest.skip("no Chromium")


def browsed(chromium, file, profile, width=1200):
    """The document after all scripts, and what the browser wrote to its console."""
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    flags += "--disable-background-networking --disable-component-update "
    flags += "--disable-sync --enable-logging=stderr --virtual-time-budget=60000"
    command = [chromium, *flags.split(), f"--user-data-dir={profile}"]
    # no name has an address: what is not in the file can't be loaded
    command += ["--host-resolver-rules=MAP * ~NOTFOUND", f"--window-size={width},4000"]
    ran = subprocess.run(
        [*command, "--dump-dom", file.as_uri()],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    console = [line for line in ran.stderr.splitlines() if ":CONSOLE" in line]
    return ran.stdout, console


@pytest.mark.parametrize("width", [1200, 500])
def test_a_browser_draws_every_chart_without_network(chromium, tmp_path, width):
    blocks = {kind: block(kind) for kind in CHARTS} | {
        "moving": charts.block(*animation())
    }
    figures = [
        FigurePage(name=kind, title=kind, caption="c", png=png(), block=one)
        for kind, one in blocks.items()
    ]
    one = StudyPage(name="study", title="t", question="q", figures=figures)
    text = page.page([one], claims.table([]), {})
    text = text.replace("<head>", f"<head>{SHIM}").replace("</body>", f"{PROBE}</body>")
    file = tmp_path / "index.html"
    file.write_text(text, "utf-8")
    document, console = browsed(chromium, file, tmp_path / "profile", width)
    told = dict(
        re.findall(r' data-(\w+)="([^"]*)"', document[document.index("<body") :])
    )
    assert console == []
    assert int(told["drawn"]) == len(figures)
    assert document.count("<canvas") == 1  # of the animation
    assert "seed" in told["told"] and "width n" in told["told"]
    assert told["clicked"] in told["shown"]
    assert told["wide"] == "true"
