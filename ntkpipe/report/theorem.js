"use strict";
/* The theorem in four pictures, and lazy or rich: sliders over measured numbers. */

(() => {
  const element = document.getElementById("theorem-data");
  if (!element) return;
  const { chart, decades, ellipses, fixed, format, onResize, percent } = ntkPlot;
  const data = JSON.parse(element.textContent);
  const QUARTERS = [-Math.PI, -Math.PI / 2, 0, Math.PI / 2, Math.PI];
  const ANGLES = QUARTERS.map((at, i) => [at, ["−180°", "−90°", "0°", "90°", "180°"][i]]);
  const STYLES = ["one", "two", "three", "four"];

  /** Connect a picture: `draw` gets its controls' values and returns its sentence. */
  function picture(name, draw) {
    const root = document.getElementById(`picture-${name}`);
    if (!root) return;
    const part = (key) => root.querySelector(`[data-is="${key}"]`);
    const controls = [...root.querySelectorAll("input, select")];
    const value = (control) =>
      control.tagName === "SELECT" ? control.selectedIndex : Number(control.value);
    const redraw = () => {
      const values = Object.fromEntries(controls.map((c) => [c.dataset.is, value(c)]));
      const { says, texts } = draw(data[name], values, part);
      part("says").textContent = says;
      for (const [key, text] of Object.entries(texts)) {
        part(`${key}-text`).textContent = text;
        part(key).setAttribute("aria-valuetext", text);
      }
    };
    for (const control of controls) control.addEventListener("input", redraw);
    // read out when a control rests, not at each of its stops
    for (const control of controls) {
      control.addEventListener("change", () => {
        const spoken = part("spoken") ?? addSpoken(root);
        spoken.textContent = part("says").textContent;
      });
    }
    onResize(root, redraw);
    redraw();
  }

  function addSpoken(root) {
    const spoken = document.createElement("p");
    spoken.className = "unseen";
    spoken.dataset.is = "spoken";
    spoken.setAttribute("aria-live", "polite");
    root.append(spoken);
    return spoken;
  }

  const minimum = (lists) => Math.min(...lists.flat().filter((v) => v !== null));
  const maximum = (lists) => Math.max(...lists.flat().filter((v) => v !== null));
  const count = (number) => format(number, 6);

  /** Axes of a quantity against the width, both logarithmic. */
  function lawChart(svg, widths, lows, highs, label) {
    const [from, to] = [minimum([lows]) / 1.6, maximum([highs]) * 1.6];
    return chart(svg, {
      left: 48,
      x: { from: widths[0] / 1.5, to: widths.at(-1) * 1.5, as: "log", label: "width n",
        ticks: widths.map((width) => [width, count(width)]) },
      y: { from, to, as: "log", ticks: decades(from, to), label },
    });
  }

  const slopeText = ([slope, low, high]) =>
    `slope ${format(slope, 3)} [${format(low, 3)}, ${format(high, 3)}]`;

  // ---------------------------------------------------------------- 1

  function deterministic(shown, { width: index }, part) {
    const now = shown.widths[index];
    const every = shown.widths.flatMap((one) => one.at.flatMap((at) => at.dots));
    const curves = shown.widths.flatMap((one) => one.curves);
    const to = maximum([every, ...curves]) * 1.05;
    const left = chart(part("left"), {
      x: { from: -Math.PI, to: Math.PI, ticks: ANGLES, label: "angle γ" },
      y: { from: 0, to, ticks: ticksTo(to), label: "Θ(x₀, x)" },
    });
    for (const curve of now.curves) left.line(shown.angle, curve, "line network single");
    left.line(shown.angle, shown.limit, "line limit");
    for (const { angle, band, dots } of now.at) {
      const inside = angle >= Math.PI ? -14 : 0;
      dots.forEach((dot, i) => left.dot(angle, dot, "seed", 2.2, inside + ((i * 7) % 11) - 5));
      left.bar(angle, band[0], band[2], "range network", inside + (inside ? -9 : 9));
    }
    const widths = shown.widths.map((one) => one.width);
    const distances = shown.widths.map((one) => one.distance);
    const right = lawChart(part("right"), widths, distances.map((d) => d[0]),
      distances.map((d) => d[2]), "‖Θ − Θ∞‖/‖Θ∞‖");
    right.line(shown.fit.x, shown.fit.y, "line fit");
    distances.forEach(([low, median, high], i) => {
      right.bar(widths[i], low, high, "range network");
      right.dot(widths[i], median, i === index ? "now" : "past", i === index ? 6 : 4);
    });
    right.corner(slopeText(shown.fit.slope), 0);
    const first = now.at[0];
    return {
      says: `Width ${count(now.width)}: the kernel Θ(x₀, x₀) of ${count(now.seeds)} random ` +
        `networks scatters by ${percent(first.sd / first.mean)} around its mean, and the ` +
        `kernel is ${percent(now.distance[1])} away from its limit.`,
      texts: { width: count(now.width) },
    };
  }

  /** Round ticks from 0 to a number. */
  function ticksTo(to) {
    const unit = 10 ** Math.floor(Math.log10(to));
    const by = [0.2, 0.5, 1, 2].map((m) => m * unit).find((step) => to / step <= 5.5);
    return Array.from({ length: Math.floor(to / by) + 1 }, (_, k) => [
      k * by, format(k * by, 2),
    ]);
  }

  // ---------------------------------------------------------------- 2

  function constant(shown, { width: index }, part) {
    const { variants } = shown;
    const positive = variants.flatMap((v) => v.widths.flatMap((w) => w.low.slice(1)));
    const highs = variants.flatMap((v) => v.widths.flatMap((w) => w.high));
    const [from, to] = [minimum([positive]) / 1.6, maximum([highs]) * 1.6];
    const last = maximum(variants.map((v) => v.widths[0].step));
    const label = "change of Θ";
    const left = chart(part("left"), {
      left: 48,
      x: { from: 0, to: last, ticks: [0, last / 2, last], label: "step" },
      y: { from, to, as: "log", ticks: decades(from, to), label },
    });
    const widths = variants[0].widths.map((one) => one.width);
    // room for the slopes above the points
    const right = lawChart(part("right"), widths, [from * 1.6], [to * 4], label);
    variants.forEach((variant, which) => {
      const style = STYLES[which];
      const now = variant.widths[index];
      const after = (list) => list.slice(1); // the change before training is 0
      const steps = after(now.step);
      left.band(steps, after(now.low), after(now.high), `band ${style}`);
      left.line(steps, after(now.median), `line ${style}`);
      left.text(steps.at(-1), now.median.at(-1), variant.label, `end ${style}`, -2, -8);
      right.line(variant.fit.x, variant.fit.y, `line fit ${style}`);
      variant.widths.forEach((one, i) => {
        right.bar(one.width, one.low.at(-1), one.high.at(-1), `range ${style}`);
        const size = i === index ? 6 : 3.5;
        right.dot(one.width, one.median.at(-1), `dot ${style}`, size);
      });
      right.corner(`${variant.label}: ${slopeText(variant.fit.slope)}`, which, style);
    });
    const each = variants.map((variant) => {
      const change = variant.widths[index].median.at(-1);
      return `${percent(change)} (${variant.label})`;
    });
    return {
      says: `Width ${count(widths[index])}: training changes the kernel of the median ` +
        `network by ${each.join(" and by ")}.`,
      texts: { width: count(widths[index]) },
    };
  }

  // ---------------------------------------------------------------- 3

  function equation(shown, { time: index, run, mode }, part) {
    const now = shown.runs[run];
    const until = (list) => list.slice(0, index + 1);
    const times = shown.time.map((time) => Math.max(time, shown.time[1] / 2));
    const x = { from: times[0], to: times.at(-1), as: "log", label: "time t = η · step",
      ticks: decades(times[0], times.at(-1)).map(([at, text]) => [at, text]) };
    const every = shown.runs.flatMap((one) => one.points.map((point) => point.network));
    const [from, to] = [minimum(every) - 0.1, maximum(every) + 0.1];
    const halves = Array.from({ length: 21 }, (_, k) => k / 2 - 5);
    const left = chart(part("left"), {
      x, y: { from, to, ticks: halves.filter((v) => v > from && v < to),
        label: "output f(xᵢ)" },
    });
    now.points.forEach((point, i) => {
      left.line(times, point.network, `line ahead ${STYLES[i % 4]}`);
      left.line(until(times), until(point.network), `line ${STYLES[i % 4]}`);
      left.line(times, point.linear, "line theory thin"); // known before training
      left.diamond(times.at(-1), point.target, `target ${STYLES[i % 4]}`, 5);
      left.dot(times[index], point.network[index], `dot ${STYLES[i % 4]}`);
    });
    const end = shown.time.at(-1) / 3; // the fast modes have long decayed
    const right = chart(part("right"), {
      left: 48,
      x: { from: 0, to: end, ticks: [0, end / 2, end], label: "time t = η · step" },
      y: { from: 1e-6, to: 2, as: "log", ticks: decades(1e-6, 2), label: "|vᵢ · (f − y)|" },
    });
    now.modes.forEach((one, i) => {
      const style = i === mode ? "chosen" : "faint";
      right.line(shown.time, one.component, `line ahead ${STYLES[i % 4]}`);
      right.line(until(shown.time), until(one.component), `line ${STYLES[i % 4]} ${style}`);
      right.line(shown.time, one.predicted, `line theory ${style}`);
      if (shown.time[index] <= end && one.component[index] >= 1e-6) {
        right.dot(shown.time[index], one.component[index], `dot ${STYLES[i % 4]}`);
      }
    });
    const chosen = now.modes[mode];
    const share = (list) => list[index] / list[0];
    return {
      says: `Width ${count(now.width)}, time ${format(shown.time[index], 3)}: along ` +
        `eigenvector ${mode + 1}, λ = ${format(chosen.eigenvalue, 3)}, ` +
        `${percent(share(chosen.component))} of the residual are left; the kernel before ` +
        `training predicts ${percent(share(chosen.predicted))}.`,
      texts: { time: format(shown.time[index], 3) },
    };
  }

  // ---------------------------------------------------------------- 4

  function gaussian(shown, { angle: index, run }, part) {
    const now = shown.runs[run];
    const at = shown.angle[index];
    const P90 = 1.2816;
    const low = shown.mean.map((mean, i) => mean - P90 * shown.sd[i]);
    const high = shown.mean.map((mean, i) => mean + P90 * shown.sd[i]);
    const every = shown.runs.flatMap((one) => one.networks);
    const [from, to] = [minimum(every) - 0.05, maximum(every) + 0.05];
    const y = { from, to, ticks: [-1, -0.5, 0, 0.5, 1].filter((v) => v > from && v < to),
      label: "output f(x)" };
    const left = chart(part("left"), {
      x: { from: -Math.PI, to: Math.PI, ticks: ANGLES, label: "angle γ" }, y,
    });
    left.band(shown.angle, low, high, "band limit");
    left.line(shown.angle, shown.mean, "line limit thin");
    for (const network of now.networks) left.line(shown.angle, network, "line network single");
    left.bar(at, from, to, "cursor");
    shown.data[0].forEach((x, i) => left.diamond(x, shown.data[1][i], "target", 6));
    const mean = shown.mean[index];
    const sd = Math.max(shown.sd[index], 1e-4);
    const right = chart(part("right"), {
      x: { from: 0, to: 1.3, ticks: [], label: "density" }, y,
    });
    const grid = Array.from({ length: 81 }, (_, k) => mean + sd * (k / 10 - 4));
    // the peak has the same height at every angle
    const density = grid.map((value) => Math.exp(-(((value - mean) / sd) ** 2) / 2));
    right.line(density, grid, "line limit");
    now.networks.forEach((network, i) => {
      right.dot(0.06 + 0.012 * (i % 5), network[index], "seed", 3.5);
    });
    right.bar(1.15, now.low[index], now.high[index], "range network thick");
    const middle = ([a, b]) => `between ${fixed(a, 2)} and ${fixed(b, 2)}`;
    const degrees = `${format(Math.round((at * 180) / Math.PI), 3)}°`;
    return {
      says: `At γ = ${degrees}, the middle 80 % of ${count(now.seeds)} trained networks of ` +
        `width ${count(now.width)} lie ${middle([now.low[index], now.high[index]])}; the ` +
        `limit of infinite width says ${middle([low[index], high[index]])}.`,
      texts: { angle: degrees },
    };
  }

  // ---------------------------------------------------------------- lazy or rich

  function lazy(shown, { scale, time: index }, part) {
    const now = shown.scales[scale];
    const until = (list) => list.slice(0, index + 1);
    const [y1, y2] = shown.target;
    const range = (target) => [Math.min(0, target) - 1, Math.max(0, target) + 1];
    const [[x0, x1], [v0, v1]] = [range(y1), range(y2)];
    const whole = (from, to) =>
      Array.from({ length: Math.floor(to) - Math.ceil(from) + 1 }, (_, k) => Math.ceil(from) + k);
    const name = (x) => `f(${format(x)})`;
    const left = chart(part("left"), {
      left: 30,
      x: { from: x0, to: x1, ticks: whole(x0, x1), label: name(shown.x[0]) },
      y: { from: v0, to: v1, ticks: whole(v0, v1), label: name(shown.x[1]) },
    });
    left.line(now.constant1, now.constant2, "line theory");
    left.line(now.f1, now.f2, "line network ahead");
    left.line(until(now.f1), until(now.f2), "line network");
    left.diamond(y1, y2, "target");
    left.dot(now.f1[index], now.f2[index], "now", 5);
    const ellipse = (i, style) => ({
      values: [now.lambda1[i], now.lambda2[i]],
      angle: (now.angle[i] * Math.PI) / 180,
      style,
    });
    ellipses(
      part("kernel"),
      [ellipse(0, "ellipse start"), ellipse(index, "ellipse network")],
      Math.sqrt(maximum([now.lambda1])),
      { height: 220, names: shown.x.map(name) },
    );
    const alphas = shown.scales.map((one) => one.alpha);
    const changes = shown.scales.map((one) => one.change.at(-1));
    const [from, to] = [minimum([changes]) / 2, maximum([changes]) * 2];
    const right = chart(part("right"), {
      left: 48,
      x: { from: alphas[0] / 2, to: alphas.at(-1) * 2, as: "log", label: "output scale α",
        ticks: decades(alphas[0], alphas.at(-1), 5) },
      y: { from, to, as: "log", ticks: decades(from, to), label: "change of Θ" },
    });
    right.line(alphas, changes, "line network");
    changes.forEach((change, i) => right.dot(alphas[i], change, i === scale ? "now" : "past",
      i === scale ? 6 : 4));
    const change = now.change[index];
    const grown = now.lambda1[index] / now.lambda1[0];
    const kind = now.change.at(-1) < 0.05 ? "lazy" : "rich";
    return {
      says: `α = ${format(now.alpha)} (${kind}): after ${count(now.step[index])} steps the ` +
        `kernel has changed by ${percent(change)}` +
        (grown > 2 ? `, and its larger eigenvalue is ${format(grown)} times as large.` : "."),
      texts: { scale: format(now.alpha), time: `step ${count(now.step[index])}` },
    };
  }

  for (const [name, draw] of Object.entries({
    deterministic, constant, equation, gaussian, lazy,
  })) {
    if (data[name]) picture(name, draw);
  }
})();
