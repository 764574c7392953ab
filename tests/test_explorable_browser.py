"""The pictures that a reader can move, in Chromium."""

import re

import numpy as np
import pytest
from browser import Browser
from explorable_fakes import needs_browser, node, problem, shown_page

from ntkpipe.report import theorem


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    """A browser for all tests of this file."""
    with Browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def opened(chromium, tmp_path):
    """A function that opens the page; its errors fail the test."""
    chromium.errors.clear()

    def open_page(**features):
        chromium.media(**features)
        path = tmp_path / "page.html"
        path.write_text(shown_page(), "utf-8")
        chromium.open(path)
        chromium.run(HELPERS)
        return chromium

    yield open_page
    assert chromium.errors == []


HELPERS = """
  globalThis.section = document.getElementById("explore");
  globalThis.part = (root, name) => root.querySelector(`[data-is="${name}"]`);
  globalThis.side = (name) => part(section, name);
  globalThis.until = async (test) => {
    for (let i = 0; i < 2500 && !test(); i++) {
      await new Promise((go) => setTimeout(go, 20));
    }
    return Boolean(test());
  };
  globalThis.done = () => until(() => section.dataset.state === "done");
  globalThis.move = (control, value) => {
    control.value = value;
    control.dispatchEvent(new Event("input", { bubbles: true }));
    control.dispatchEvent(new Event("change", { bubbles: true }));
  };
  globalThis.look = () => ({
    narrow: part(side("narrow"), "says").textContent,
    wide: part(side("wide"), "says").textContent,
    compare: part(section, "compare").textContent,
    shade: part(side("narrow"), "measured").textContent,
    lines: [...side("narrow").querySelectorAll("polyline.network")].map(
      (line) => line.getAttribute("points")),
  });
"""


@needs_browser
def test_networks_train_in_a_browser_and_the_sliders_move_them(opened):
    run = opened().run
    assert run("done()")
    seen = {"start": run("look()")}
    assert run("move(part(side('narrow'), 'slider'), 4), section.dataset.state") == (
        "training"
    )
    assert run("done()")
    seen["wider"] = run("look()")
    run("move(part(section, 'time'), 3)")
    seen["early"] = run("look()")
    run("move(part(section, 'time'), 0)")
    assert run("look()")["narrow"].startswith("Before training")
    run("move(part(section, 'scaling'), part(section, 'scaling').options[1].value)")
    assert run("done()")
    seen["ntk"] = run("look()")
    run("part(section, 'draw').click()")
    assert run("done()")
    seen["drawn"] = run("look()")

    assert seen["start"]["narrow"].startswith("After 1,000 steps the weights moved by ")
    assert "times less than that of width 10;" in seen["start"]["compare"]
    assert "20 networks of width 10, measured" in seen["start"]["shade"]
    assert "After 6 steps" in seen["early"]["narrow"]
    for what in seen.values():
        assert len(what["lines"]) == 3 and all(map(len, what["lines"]))
    assert len({what["lines"][0] for what in seen.values()}) == len(seen)
    assert len({what["narrow"] for what in seen.values()}) == len(seen)
    # only one network was moved; the time is shared
    assert seen["start"]["wide"] == seen["wider"]["wide"] != seen["early"]["wide"]
    spoken = "part(section, 'spoken').textContent"
    assert run(f"until(() => {spoken}.startsWith('Width 25: After'))")


@needs_browser
def test_the_sentence_in_the_browser_is_that_of_the_numbers(opened):
    """The first network of the page is the one that node trains."""
    run = opened().run
    assert run("done()")
    numbers = re.findall(r"([\d.]+)\s%|most ([\d.]+)\.", run("look()")["narrow"])
    shown = [float(a or b) for a, b in numbers]
    frame = node(
        "return [...N.train(data, N.draw(10, 2))].at(-1);",
        problem("standard", 1000, [0, 1000]),
    )
    expected = [100 * frame["moved"], 100 * frame["kernelChange"], frame["gap"]]
    np.testing.assert_allclose(shown, expected, rtol=0.05)


SLIDERS = """
[...document.querySelectorAll(".picture")].map((picture) => {
  const says = () => part(picture, "says").textContent;
  const drawn = () =>
    [...picture.querySelectorAll("svg")].map((svg) => svg.innerHTML).join();
  const one = { id: picture.id, empty: !says() || !drawn(), moved: [], bad: "" };
  for (const control of picture.querySelectorAll("input, select")) {
    const before = [says(), drawn()];
    const other = control.tagName === "SELECT"
      ? control.options[control.selectedIndex ? 0 : 1].value
      : control.value === control.min ? control.max : control.min;
    move(control, other);
    one.moved.push({ name: control.dataset.is, says: says() !== before[0],
      drawn: drawn() !== before[1], value: control.getAttribute("aria-valuetext") });
    one.bad += (says() + drawn()).match(/NaN|undefined|Infinity/) ?? "";
  }
  one.spoken = picture.querySelector('[aria-live="polite"]').textContent === says();
  return one;
})
"""


@needs_browser
def test_every_slider_of_the_pictures_moves_its_picture_and_its_sentence(opened):
    found = opened().run(SLIDERS)
    assert [one["id"] for one in found] == [f"picture-{n}" for n in theorem.PICTURES]
    for one in found:
        assert not one["empty"] and not one["bad"] and one["spoken"], one
        assert one["moved"], one["id"]
        for control in one["moved"]:
            assert control["says"] and control["drawn"], (one["id"], control)
            assert control["value"] or control["name"] in ("run", "mode")


@needs_browser
def test_nothing_moves_by_itself_for_readers_who_prefer_reduced_motion(opened):
    run = opened(prefers_reduced_motion="reduce").run
    assert run("part(section, 'play').hidden") and run("done()")
    drawn = """(async () => {
      let count = 0;
      new MutationObserver(() => count++).observe(
        part(side('narrow'), 'function'), { childList: true });
      move(part(side('narrow'), 'slider'), 7);
      await done();
      return count;
    })()"""
    # first the new width, then the network before and after training
    assert run(drawn) <= 3
    assert opened(prefers_reduced_motion="no-preference").run("done()")
    assert run(drawn) > 10


@needs_browser
def test_play_moves_the_time_and_pause_stops_it(opened):
    run = opened(prefers_reduced_motion="no-preference").run
    assert run("done()")
    time, button = "Number(part(section, 'time').value)", "part(section, 'play')"
    assert run(time) == 40
    run(f"{button}.click()")
    assert "Pause" in run(f"{button}.textContent")
    assert run(f"until(() => {time} >= 5 && {time} < 40)")
    run(f"{button}.click()")
    paused = run(time)
    assert "Play" in run(f"{button}.textContent") and 5 <= paused < 40
    assert run(f"new Promise((go) => setTimeout(() => go({time}), 400))") == paused
    run(f"{button}.click()")
    assert run(f"until(() => {time} === 40)")
    assert run(f"until(() => {button}.textContent.includes('Play'))")


@needs_browser
@pytest.mark.parametrize("width", [360, 700, 1400])
def test_pictures_fit_into_the_window(opened, width):
    browser = opened()
    browser.size(width, 900)
    assert browser.run("done()")
    wide = """[...document.querySelectorAll(".explorable *")].filter((one) =>
      one.getBoundingClientRect().right > innerWidth + 1 && !one.closest(".unseen")
      && !one.closest("svg svg")).map((one) => one.outerHTML.slice(0, 200))"""
    assert browser.run(wide) == []
    # charts are drawn at the size in which they are shown, so texts keep their size
    scale = """[...document.querySelectorAll(".explorable figure > svg")].map((svg) =>
      svg.clientWidth / svg.viewBox.baseVal.width)"""
    assert browser.run(f"until(() => {scale}.every((s) => Math.abs(s - 1) < 0.02))")


@needs_browser
def test_the_page_has_legible_colours_in_light_and_dark(opened):
    """Contrast with the background: at least 3 for lines, and 4.5 for text."""
    contrast = """(() => {
      const paint = document.createElement("canvas").getContext("2d");
      const light = (colour) => {
        paint.fillStyle = colour;
        paint.fillRect(0, 0, 1, 1);
        const part = (byte) => {
          const v = byte / 255;
          return v <= 0.04 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
        };
        const [r, g, b] = [...paint.getImageData(0, 0, 1, 1).data].map(part);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const back = light(getComputedStyle(document.body).backgroundColor);
      const against = (colour) => {
        const [a, b] = [light(colour), back].sort((p, q) => q - p);
        return (a + 0.05) / (b + 0.05);
      };
      const all = (selector, key) => [...document.querySelectorAll(selector)].map(
        (one) => against(getComputedStyle(one)[key]));
      return {
        lines: all(".explorable svg :is(.line, .range, .ellipse)", "stroke"),
        text: [...all(".explorable svg text", "fill"),
          ...all(".explorable :is(p, h2, h3, figcaption, label, b, output)", "color")],
      };
    })()"""
    for scheme in ("light", "dark"):
        run = opened(prefers_color_scheme=scheme).run
        assert run("done()")
        found = run(contrast)
        assert len(found["lines"]) > 50 and len(found["text"]) > 100
        assert min(found["lines"]) >= 3 and min(found["text"]) >= 4.5, scheme
