"use strict";
/* Two networks that train in this page, side by side. network.js does the numerics, in a
   worker for each network; this file moves the sliders and draws. */

(() => {
  const section = document.getElementById("explore");
  if (!section) return;
  const { axesOf, chart, decades, ellipses, format, onResize, percent } = ntkPlot;
  const data = JSON.parse(document.getElementById("explore-data").textContent);
  const find = (name) => section.querySelector(`[data-is="${name}"]`);
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const FRAMES = 40; // recorded steps, and stops of the slider of time
  const FRAME_MS = 90; // of each frame of the animation
  const SIDES = ["narrow", "wide"];

  const state = { scaling: 0, draw: 1, time: FRAMES, live: false, playing: null };
  const sides = Object.fromEntries(
    SIDES.map((name, index) => [name, { name, index, frames: [], worker: null }]),
  );

  const scaling = () => data.scalings[state.scaling];
  const widthOf = (side) => data.widths[side.slider.value];
  // slow at the beginning, when most happens
  const stepOf = (time) => Math.round(scaling().steps * (time / FRAMES) ** 2);

  // ---------------------------------------------------------------- training

  /** What a worker does, after the text of network.js. */
  function work() {
    onmessage = ({ data: { problem, width, seed, frames } }) => {
      problem.record = schedule(problem.steps, frames);
      for (const frame of train(problem, draw(width, seed))) postMessage(frame);
    };
  }

  const source = `${document.getElementById("explore-network").textContent}\n(${work})();`;
  const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));

  /** Train the networks of these sides anew, each in a worker of its own. */
  function start(...names) {
    section.dataset.state = "training";
    stop();
    for (const name of names) begin(sides[name]);
    state.time = FRAMES;
    find("time").value = FRAMES;
  }

  function begin(side) {
    side.worker?.terminate();
    side.stale = true; // the frames of the last network stay until new ones come
    const { learningRate, parameterization, steps, stop: below } = scaling();
    const problem = { ...data.problem, learningRate, parameterization, steps, stop: below };
    side.worker = new Worker(address);
    side.worker.onerror = (event) => failed(side, event.message);
    side.worker.onmessage = ({ data: frame }) => received(side, frame);
    // networks of equal width on the two sides are two draws
    const seed = 2 * state.draw + side.index;
    side.worker.postMessage({ problem, width: widthOf(side), seed, frames: FRAMES });
  }

  function received(side, frame) {
    if (side.stale) side.frames = [];
    side.stale = false;
    side.frames.push(frame);
    if (frame.last) {
      side.worker.terminate();
      side.worker = null;
    }
    // learning is shown as it happens only if the reader asked for it
    if (frame.last || frame.step === 0 || (state.live && !still.matches)) show(side);
    side.progress.textContent = frame.last ? "" : ` Training: step ${count(frame.step)} …`;
    if (SIDES.every((name) => isDone(sides[name]))) {
      section.dataset.state = "done";
      compare();
      tell();
    }
  }

  function failed(side, message) {
    section.dataset.state = "failed";
    side.says.textContent = `This browser could not train the network: ${message}`;
  }

  const count = (number) => format(number, 6);
  const isDone = (side) => !side.stale && side.frames.at(-1).last;

  // ---------------------------------------------------------------- words

  /** The last recorded frame up to the time of the slider. */
  function current(side) {
    const limit = state.time >= FRAMES ? Infinity : stepOf(state.time);
    return side.frames.findLast((frame) => frame.step <= limit) ?? side.frames[0];
  }

  function sentence(side, frame) {
    const bold = (text) => {
      const made = document.createElement("b");
      made.append(text);
      return made;
    };
    const steps = `${count(frame.step)} step${frame.step === 1 ? "" : "s"}`;
    if (frame.step === 0) {
      return ["Before training, the network and its linearisation are equal."];
    }
    if (!Number.isFinite(frame.loss)) return ["This network diverged: draw another one."];
    const words = ["After ", bold(steps), " the weights moved by "];
    words.push(bold(percent(frame.moved)), " and the kernel changed by ");
    words.push(bold(percent(frame.kernelChange)), ". The linearisation is off by at most ");
    words.push(bold(format(frame.gap)), ".");
    return words;
  }

  /** What differs between the two networks, in one sentence. */
  function compare() {
    const [a, b] = SIDES.map((name) => ({ width: widthOf(sides[name]), ...current(sides[name]) }));
    const [narrow, wide] = a.width <= b.width ? [a, b] : [b, a];
    const ratio = (key) => narrow[key] / wide[key];
    const words = find("compare");
    if (!(narrow.moved > 0 && wide.moved > 0)) {
      words.textContent = "Move the slider of time to train the networks.";
    } else if (narrow.width === wide.width) {
      words.textContent =
        `Both networks have width ${narrow.width} and differ only in their random ` +
        "initial weights.";
    } else {
      const less = (value) =>
        value > 1 ? `${format(value)} times less` : `${format(1 / value)} times more`;
      words.textContent =
        `The network of width ${wide.width} moved its weights ${less(ratio("moved"))} ` +
        `than that of width ${narrow.width}; its kernel changed ` +
        `${less(ratio("kernelChange"))}.`;
    }
  }

  let timer = 0;
  /** Say the sentences to screen readers once the sliders rest. */
  function tell() {
    clearTimeout(timer);
    timer = setTimeout(() => {
      const each = SIDES.map(
        (name) => `Width ${widthOf(sides[name])}: ${sides[name].says.textContent}`,
      );
      find("spoken").textContent = [...each, find("compare").textContent].join(" ");
    }, 700);
  }

  // ---------------------------------------------------------------- pictures

  /** The measured networks whose width is nearest. */
  function nearest(width) {
    const far = (band) => Math.abs(Math.log(band.width / width));
    const bands = scaling().bands;
    return bands.length ? bands.reduce((a, b) => (far(b) < far(a) ? b : a)) : null;
  }

  function show(side) {
    const frame = current(side);
    const width = widthOf(side);
    side.output.textContent = width;
    side.slider.setAttribute("aria-valuetext", `width ${width}`);
    if (frame) side.says.replaceChildren(...sentence(side, frame));
    drawFunction(side, frame);
    const band = nearest(width);
    for (const [svg, key, linearKey, low, high] of [
      ["loss", "loss", "linearLoss", 1e-11, 10],
      ["moved", "moved", "linearMoved", 1e-3, 2],
    ]) {
      drawHistory(side, side.svgs[svg], frame, band, { key, linearKey, low, high });
    }
    side.measured.textContent = band
      ? `Shade: ${band.seeds} networks of width ${count(band.width)}, measured.`
      : "";
    if (frame) drawKernel(side, frame);
  }

  function drawFunction(side, frame) {
    const { x, y, grid } = data.problem;
    const low = Math.min(...y) - 2;
    const high = Math.max(...y) + 2;
    const ticks = [low + 1, low + 2, low + 3, low + 4, high - 2, high - 1];
    const picture = chart(side.svgs.function, {
      height: 240,
      left: 30,
      x: { from: grid[0], to: grid.at(-1), label: "input x",
        ticks: [-4, -3, -2, -1, 0, 1, 2].filter((v) => v >= grid[0] && v <= grid.at(-1)) },
      y: { from: low, to: high, label: "output f(x)", ticks: [...new Set(ticks)] },
    });
    if (frame) {
      picture.line(grid, side.frames[0].f, "line start");
      picture.line(grid, frame.f, "line network");
      picture.line(grid, frame.linear, "line theory");
    }
    x.forEach((at, i) => picture.diamond(at, y[i], "target"));
  }

  /** A quantity against the step, over the band of the measured networks. */
  function drawHistory(side, svg, frame, band, { key, linearKey, low, high }) {
    const last = scaling().steps;
    const picture = chart(svg, {
      height: 170,
      left: 42,
      x: { from: 0, to: last, as: "root", label: "step",
        ticks: [0, last / 10, last * 0.4, last] },
      y: { from: low, to: high, as: "log", ticks: decades(low, high, 4) },
    });
    if (band) {
      const [step, bottom, top] = band[key];
      picture.band(step, bottom, top, "measured");
    }
    if (!frame) return;
    const past = side.frames.filter((one) => one.step <= frame.step && one[key] > 0);
    const steps = past.map((one) => one.step);
    picture.line(steps, past.map((one) => one[key]), "line network");
    picture.line(steps, past.map((one) => one[linearKey]), "line theory thin");
    if (past.length) picture.dot(frame.step, frame[key], "now");
  }

  function drawKernel(side, frame) {
    const before = axesOf(side.frames[0].kernel);
    const now = axesOf(frame.kernel);
    const all = side.frames.map((one) => axesOf(one.kernel).values[0]);
    const names = data.problem.x.map((x) => `f(${format(x)})`);
    ellipses(
      side.svgs.kernel,
      [{ ...before, style: "ellipse start" }, { ...now, style: "ellipse network" }],
      Math.sqrt(Math.max(...all)),
      { height: 170, names },
    );
  }

  function showAll() {
    for (const name of SIDES) show(sides[name]);
    const step = stepOf(state.time);
    const text = state.time >= FRAMES ? "end of training" : `step ${count(step)}`;
    find("step").textContent = text;
    find("time").setAttribute("aria-valuetext", text);
    if (SIDES.every((name) => sides[name].frames.length)) compare();
  }

  // ---------------------------------------------------------------- controls

  function setTime(value) {
    state.time = value;
    find("time").value = value;
    showAll();
  }

  function stop() {
    clearInterval(state.playing);
    state.playing = null;
    find("play").textContent = "▶ Play";
  }

  function play() {
    if (state.playing) return stop();
    find("play").textContent = "❚❚ Pause";
    let time = state.time >= FRAMES ? 0 : state.time;
    setTime(time);
    state.playing = setInterval(() => {
      setTime((time += 1));
      if (time < FRAMES) return;
      stop();
      tell();
    }, FRAME_MS);
  }

  /** A control was moved: from now on learning is shown as it happens. */
  function moved(...names) {
    state.live = true;
    start(...names);
    showAll();
  }

  function connect(side) {
    const root = find(side.name);
    const part = (name) => root.querySelector(`[data-is="${name}"]`);
    const svgs = ["function", "loss", "moved", "kernel"];
    side.svgs = Object.fromEntries(svgs.map((name) => [name, part(name)]));
    side.says = part("says");
    side.progress = part("progress");
    side.measured = part("measured");
    side.output = part("width");
    side.slider = part("slider");
    side.slider.addEventListener("input", () => moved(side.name));
    onResize(root, () => show(side));
  }

  for (const name of SIDES) connect(sides[name]);
  find("time").addEventListener("input", (event) => {
    stop();
    setTime(Number(event.target.value));
    tell();
  });
  find("play").addEventListener("click", play);
  find("play").hidden = still.matches;
  find("scaling").addEventListener("change", (event) => {
    state.scaling = event.target.selectedIndex;
    moved(...SIDES);
  });
  find("draw").addEventListener("click", () => {
    state.draw += 1;
    moved(...SIDES);
  });
  start(...SIDES);
  showAll();
})();
