"""The page in a browser: the scripts work, and nothing is wider than the screen.

Chromium opens a copy of the page with a further script. This script uses the page as a
reader does, and writes what it finds into the page, which Chromium then prints. Without
Chromium the tests are skipped, unless NTKPIPE_REQUIRE_BROWSER is set.
"""

import html
import json
import os
import re
import shutil
import subprocess

import pytest
from test_report import PNG, SVG, study, table, verdict

from ntkpipe.report import page as report
from ntkpipe.report.gallery import Original, Source
from ntkpipe.report.page import FigurePage, RunPage

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--virtual-time-budget=20000",
)
# Faults of scripts are recorded before the scripts of the page run. The checks wait
# until the page has unpacked its pictures.
BEFORE = """<script>
const faults = [];
const fault = (what) => faults.push(`${what}`);
window.addEventListener("error", (event) => fault(event.message), true);
window.addEventListener("unhandledrejection", (event) => fault(event.reason));
for (const kind of ["error", "warn"])
  console[kind] = (...words) => fault(words.join(" "));
</script>"""
AFTER = """<script>
const $ = (what) => document.querySelector(what);
const all = (what) => [...document.querySelectorAll(what)];
const form = $("#filter");
const until = (ms) => new Promise((done) => setTimeout(done, ms));
const shown = () =>
  all("tbody.claim:not([hidden]) > tr[id]:first-child").map((row) => row.id);
const groups = () => all("tbody.group:not([hidden])").length;
const put = (name, value) => { form.elements[name].value = value;
  form.elements[name].dispatchEvent(new Event("input", { bubbles: true })); };
const pressed = (key) =>
  new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true });
(async () => {
  let found;
  await until(3000);
  try { found = await (async () => { %s })(); } catch (error) { fault(error); }
  const told = document.createElement("pre");
  told.id = "told";
  told.textContent = JSON.stringify({ found, faults });
  document.body.replaceChildren(told);
})();
</script>"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A page of three studies; the first has a table that could be too wide."""
    figures = [
        FigurePage(
            name=name,
            title=f"Figure {name}",
            caption="‖Θ(T) − Θ(0)‖/‖Θ(0)‖ " * 8,
            claims=("R-1", "R-2"),
            command="./run constancy results/constancy/figures/a.svg" * 3,
            svg=SVG,
            png=PNG,
            files={ending: f"constancy/figures/{name}.{ending}" for ending in "abcd"},
        )
        for name in ("one", "two")
    ]
    claims = table(
        verdict("R-1", says="The kernel falls as 1/n"),
        verdict("R-2", says="ReLU is slower", low=-0.999, high=-0.5, ci_high=-0.99),
        verdict(
            "D-1/mean field", says="It levels", as_expected=False, verdict="missing"
        ),
        verdict("J-1n", nature="control", verdict="contradicted", estimate=7, ci_low=1),
        verdict("J-2", study="other", set="after pilot", estimate=float("nan")),
    )
    original = Original(
        figure="losses_3widths.png, weightchange_3widths.png" * 2,
        shows=("constancy/one", "none/none"),
        setting="A long setting. " * 20,
        differs="Nothing. " * 20,
    )
    text = report.page(
        [
            study(figures=figures, yaml="x: " + "0123456789" * 30, notes=("a" * 200,)),
            study(name="other", title="Another study of attention", figures=()),
            study(
                name="third", title="No claims", figures=(), failed=[("l" * 200, "m")]
            ),
        ],
        claims,
        RunPage(versions={"python": "3.11.7"}, release={}),
        [Source(source="A paper", figures=(original,), notes=("An erratum",))],
        {"answers": ["**Lazy**."], "plan": ["widths"]},
    )
    path = tmp_path_factory.mktemp("page") / "index.html"
    path.write_text(text, encoding="utf-8")
    return path


def browse(page, script, hash="", size=(1440, 900)):
    """What a script finds in the page, after the page has started."""
    if BROWSER is None:
        if os.environ.get("NTKPIPE_REQUIRE_BROWSER"):
            pytest.fail("no Chromium found")
        pytest.skip("no Chromium found")
    text = page.read_text(encoding="utf-8")
    text = text.replace("<head>", f"<head>{BEFORE}", 1)
    head, end, tail = text.rpartition("</body>")
    copy = page.with_name("copy.html")
    copy.write_text(head + AFTER % script + end + tail, encoding="utf-8")
    profile = page.with_name("profile")
    run = [BROWSER, *FLAGS, f"--user-data-dir={profile}"]
    run += [f"--window-size={size[0]},{size[1]}", "--dump-dom", copy.as_uri() + hash]
    said = subprocess.run(run, capture_output=True, text=True, timeout=120)
    told = re.search(r'<pre id="told">(.*?)</pre>', said.stdout, re.S)
    assert told, said.stdout[-2000:] + said.stderr[-2000:]
    answer = json.loads(html.unescape(told[1]))
    assert answer["faults"] == []
    return answer["found"]


ALL = ["R-1", "R-2", "D-1/mean_field", "J-1n", "J-2"]


def test_search_filters_and_sort(page):
    found = browse(
        page,
        """
        const found = { start: shown() };
        put("q", "RELU slower"); found.search = shown();
        found.told = $("#filter output").textContent;
        put("q", "attention"); found.study = shown(); put("q", "");
        for (const kind of ["law", "control", "wrong", "identity"]) {
          put("kind", kind);
          found[kind] = shown();
        }
        put("kind", ""); put("set", "after pilot"); found.set = shown(); put("set", "");
        put("study", "other"); found.other = shown(); put("study", "");
        put("sort", "edge"); found.edge = shown();
        put("sort", "wide"); found.wide = shown(); found.groups = [groups()];
        form.reset(); await until(50); found.reset = shown();
        found.groups.push(groups());
        const bodies = all("#forest tbody:not([hidden])");
        return { ...found, heads: bodies.map((body) => body.className[0]).join("") };
        """,
    )
    assert found["start"] == found["reset"] == ALL
    assert found["search"] == ["R-2"] and "1" in found["told"] and "5" in found["told"]
    assert found["study"] == found["other"] == found["set"] == ["J-2"]
    assert found["law"] == ["R-1", "R-2", "D-1/mean_field", "J-2"]
    assert found["control"] == ["J-1n"] and found["identity"] == []
    assert found["wrong"] == ["D-1/mean_field"]
    # R-2 crosses an edge; J-2 has no number
    assert found["edge"][0] == "R-2" and found["edge"][-1] == "J-2"
    assert found["wide"][0] == "J-1n" and found["wide"][-1] == "J-2"
    # titles of studies stand above their claims, and only in this order
    assert found["groups"] == [0, 2] and found["heads"] == "gccccgc"


def test_a_permalink_opens_its_row(page):
    script = """
        const row = document.getElementById("D-1/mean_field");
        const { top, bottom } = row.getBoundingClientRect();
        const button = row.querySelector("button"), more = row.nextElementSibling;
        return {
          open: all("tr.all:not([hidden])").length,
          mine: !more.hidden,
          told: button.getAttribute("aria-expanded"),
          focus: document.activeElement === button,
          controls: button.getAttribute("aria-controls") === more.id,
          seen: top >= 0 && bottom <= innerHeight,
        };
    """
    for name in ("#D-1/mean_field", "#D-1%2Fmean_field", "#claim=D-1%2Fmean_field"):
        found = browse(page, script, name, (1440, 700))
        assert found == {
            "open": 1,
            "mine": True,
            "told": "true",
            "focus": True,
            "controls": True,
            "seen": True,
        }


def test_the_address_keeps_the_state(page):
    found = browse(
        page,
        """
        put("q", "falls"); put("kind", "law"); put("sort", "edge");
        const hash = location.hash, first = shown();
        $("#R-1 button").click(); const opened = location.hash;
        $("#R-1 button").click(); const closed = location.hash;
        form.reset(); await until(50);
        const empty = location.hash;
        location.hash = hash + "&a=10"; await until(50);
        const again = ["q", "kind", "sort"].map((name) => form.elements[name].value);
        put("q", "");
        const second = shown(), kept = location.hash;
        return { hash, first, opened, closed, empty, again, second, kept };
        """,
    )
    assert found["hash"] == "#q=falls&kind=law&sort=edge"
    assert found["opened"] == f"{found['hash']}&claim=R-1"
    assert found["closed"] == found["hash"] and found["empty"] == ""
    assert found["again"] == ["falls", "law", "edge"]
    assert found["first"] == ["R-1"]
    assert set(found["second"]) == {*ALL} - {"J-1n"}
    # keys of other scripts stay
    assert found["kept"] == "#kind=law&sort=edge&a=10"
    script = "return [shown(), form.elements.study.value]"
    assert browse(page, script, "#study=other&sort=none") == [["J-2"], "other"]


def test_keys_links_and_tiles(page):
    found = browse(
        page,
        """
        document.body.dispatchEvent(pressed("/"));
        const focus = document.activeElement.name;
        const typed = pressed("/");
        form.elements.q.dispatchEvent(typed);
        $(".tiles a[href='#kind=wrong']").click(); await until(50);
        const tile = shown();
        put("q", "nothing at all"); const none = shown();
        $(".beside a").click(); await until(50);
        return { focus, typing: typed.defaultPrevented, tile, none, hash: location.hash,
          open: !$("#R-1").nextElementSibling.hidden, all: shown().length };
        """,
    )
    assert found == {
        "focus": "q",
        "typing": False,
        "tile": ["D-1/mean_field"],
        "none": [],
        "hash": "#R-1",
        "open": True,
        "all": 5,
    }


def test_every_picture_is_unpacked(page):
    found = browse(
        page,
        """
        const images = all("img[data-packed]");
        images.forEach((image) => (image.loading = "eager"));
        await Promise.all(images.map((image) => image.decode()));
        return images.map((image) => [image.src.split(":")[0], image.naturalWidth]);
        """,
    )
    assert found == [["blob", 9]] * 3  # two figures, and one in the gallery


@pytest.mark.parametrize("width", [1440, 1024, 500])
def test_nothing_is_wider_than_the_screen(page, width):
    found = browse(
        page,
        """
        all("details").forEach((one) => (one.open = true));
        all("button.open").forEach((one) => one.click());
        await until(50);
        const wide = document.documentElement.clientWidth;
        const far = (one) => one.getBoundingClientRect().right > wide + 1;
        const scrolls = (one) => one.closest(".wide, pre, .only-read, nav, .skip");
        const outside = all("main *").filter((one) => far(one) && !scrolls(one));
        return {
          screen: wide,
          page: document.documentElement.scrollWidth,
          far: outside.map((one) => one.outerHTML.slice(0, 90)),
        };
        """,
        size=(width, 900),
    )
    assert found["screen"] > width - 40
    assert found["page"] <= found["screen"] and found["far"] == []


def test_studies_are_folded_on_telephones_and_open_at_their_anchor(page):
    script = "return all('.study > details').map((one) => one.open)"
    assert browse(page, script, size=(500, 900)) == [False, False, False]
    assert browse(page, script, "#study-other", (500, 900)) == [False, True, False]
    figure = browse(page, script, "#figure-constancy-two", (500, 900))
    assert figure == [True, False, False]
    assert browse(page, script) == [True, True, True]
