"use strict";
/* Charts as SVG, drawn at the size in which they are shown, so that text keeps its size.
   Colours are classes: style sheet and dark mode decide. */

const ntkPlot = (() => {
  const SVG = "http://www.w3.org/2000/svg";
  const RAISED = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶",
    7: "⁷", 8: "⁸", 9: "⁹" };

  /** An element of an SVG with attributes and children. */
  function node(name, attributes = {}, ...children) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  /** A number with `digits` significant digits: −0.21, 1,000, 5·10⁻¹¹. */
  function format(value, digits = 2) {
    if (!Number.isFinite(value)) return "–";
    if (value === 0) return "0";
    const size = Math.abs(value);
    let text;
    if (size >= 1e-3 && size < 1e6) {
      const decimals = Math.max(0, digits - 1 - Math.floor(Math.log10(size)));
      text = Number(value.toPrecision(digits)).toLocaleString("en", {
        maximumFractionDigits: decimals,
      });
    } else {
      const [lead, power] = value.toExponential(digits - 1).split("e");
      const short = Number(lead);
      text = `${short === 1 ? "" : `${short}·`}10${raised(Number(power))}`;
    }
    return text.replace("-", "−");
  }

  function raised(power) {
    return [...String(power)].map((sign) => RAISED[sign]).join("");
  }

  /** A share as a percentage, 26 %, which does not break. */
  const percent = (share, digits = 2) => `${format(100 * share, digits)}\u00a0%`;

  /** The map from the numbers of an axis to pixels. */
  function scale({ from, to, as = "linear" }, first, last) {
    const place = {
      linear: (v) => v,
      root: Math.sqrt, // stretches the beginning
      log: (v) => Math.log(Math.max(v, from / 1e6)),
    }[as];
    const [low, high] = [place(from), place(to)];
    return (v) => first + ((place(v) - low) / (high - low)) * (last - first);
  }

  /** Ticks: [number, text] pairs as given, or numbers with their usual text. */
  const labelled = (ticks) =>
    ticks.map((tick) => (Array.isArray(tick) ? tick : [tick, format(tick, 3)]));

  /** An empty chart in an svg; returns functions that draw into it.

      axes: x and y, each { from, to, as, ticks, label }. */
  function chart(svg, { height = 220, left = 44, x, y }) {
    const width = Math.max(120, Math.round(svg.clientWidth) || 460);
    const [right, top, bottom] = [12, y.label ? 26 : 10, x.label ? 40 : 24];
    const [end, foot] = [width - right, height - bottom];
    const [X, Y] = [scale(x, left, end), scale(y, foot, top)];
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const frame = [];
    for (const [value, text] of labelled(y.ticks)) {
      const at = Y(value).toFixed(1);
      frame.push(node("line", { class: "grid", x1: left, x2: end, y1: at, y2: at }));
      frame.push(node("text", { x: left - 6, y: Number(at) + 4, class: "end" }, text));
    }
    let free = width; // where the text to the right begins
    for (const [value, text] of labelled(x.ticks).sort(([a], [b]) => b - a)) {
      const at = X(value);
      frame.push(node("line", { class: "rule", x1: at, x2: at, y1: foot, y2: foot + 4 }));
      // a text at an end stays inside the picture, and leaves room for the others
      const half = text.length * 3.4;
      const inside = Math.min(Math.max(at, half + 1), width - half - 1);
      if (inside + half > free) continue;
      free = inside - half - 6;
      frame.push(node("text", { x: inside, y: foot + 17, class: "middle" }, text));
    }
    frame.push(node("line", { class: "rule", x1: left, x2: end, y1: foot, y2: foot }));
    if (x.label) {
      frame.push(node("text", { x: end, y: height - 5, class: "end" }, x.label));
    }
    if (y.label) frame.push(node("text", { x: 2, y: 12 }, y.label));
    // an inner svg clips what leaves the axes
    const [w, h] = [end - left, foot - top];
    const area = node("svg", {
      x: left, y: top, width: w, height: h, viewBox: `${left} ${top} ${w} ${h}`,
    });
    const marks = node("g", {}); // not clipped: dots and texts
    svg.replaceChildren(...frame, area, marks);
    return { X, Y, ...drawing(area, marks, X, Y, { left, end, top, foot }) };
  }

  /** The functions that draw in the coordinates of the axes. */
  function drawing(area, marks, X, Y, box) {
    const points = (xs, ys) =>
      xs
        .map((x, i) => [X(x), Y(ys[i])])
        .filter(([x, y], i) => ys[i] !== null && Number.isFinite(x) && Number.isFinite(y))
        .map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`);
    return {
      box,
      line(xs, ys, style) {
        area.append(node("polyline", { class: style, points: points(xs, ys).join(" ") }));
      },
      band(xs, low, high, style) {
        const edge = [...points(xs, low), ...points(xs, high).reverse()].join(" ");
        area.append(node("polygon", { class: style, points: edge }));
      },
      bar(x, low, high, style, shift = 0) {
        const at = X(x) + shift;
        area.append(
          node("line", { class: style, x1: at, x2: at, y1: Y(low), y2: Y(high) }),
        );
      },
      dot(x, y, style, radius = 4, shift = 0) {
        if (y === null) return;
        marks.append(node("circle", { class: style, cx: X(x) + shift, cy: Y(y), r: radius }));
      },
      diamond(x, y, style, half = 7) {
        const d = `M${X(x)},${Y(y) - half}l${half},${half}l${-half},${half}l${-half},${-half}z`;
        marks.append(node("path", { class: style, d }));
      },
      text(x, y, words, style = "", dx = 0, dy = 0) {
        marks.append(node("text", { class: style, x: X(x) + dx, y: Y(y) + dy }, words));
      },
      /** Words in the upper right corner, the first in row 0. */
      corner(words, row, style = "") {
        const at = { class: `end ${style}`, x: box.end, y: box.top + 12 + 17 * row };
        marks.append(node("text", at, words));
      },
    };
  }

  /** Eigenvalues, larger first, and the angle of the first eigenvector, of [[a b] [b d]]. */
  function axesOf([[a, b], [, d]]) {
    const radius = Math.hypot((a - d) / 2, b);
    const values = [(a + d) / 2 + radius, Math.max((a + d) / 2 - radius, 0)];
    return { values, angle: Math.atan2(2 * b, a - d) / 2 };
  }

  /** Ellipses around the middle of an svg, half-axes √λ in common units.

      ellipses: { values, angle, style }; `largest` is the half-axis that fills the svg. */
  function ellipses(svg, list, largest, { height = 180, names = ["", ""] } = {}) {
    const width = Math.max(120, Math.round(svg.clientWidth) || 200);
    const [cx, cy] = [width / 2, height / 2];
    const unit = Math.min(width / 2 - 6, height / 2 - 20) / (largest || 1);
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const line = (x1, y1, x2, y2) => node("line", { class: "grid", x1, y1, x2, y2 });
    svg.replaceChildren(
      line(4, cy, width - 4, cy),
      line(cx, 4, cx, height - 4),
      node("text", { x: width - 2, y: height - 4, class: "end" }, `${names[0]} →`),
      node("text", { x: 2, y: 12 }, `↑ ${names[1]}`),
      ...list.map(({ values, angle, style }) =>
        node("ellipse", {
          class: style,
          cx,
          cy,
          rx: Math.sqrt(values[0]) * unit,
          ry: Math.sqrt(values[1]) * unit,
          transform: `rotate(${(-angle * 180) / Math.PI} ${cx} ${cy})`,
        }),
      ),
    );
  }

  /** Call `draw` now and when the width of an element changes. */
  function onResize(element, draw) {
    let before = 0;
    new ResizeObserver(([entry]) => {
      const width = Math.round(entry.contentRect.width);
      if (width === before) return;
      before = width;
      draw();
    }).observe(element);
  }

  /** Powers of ten as ticks of a logarithmic axis, at most `most`; 1, 2, 5 if few. */
  function decades(low, high, most = 4) {
    const [first, last] = [Math.floor(Math.log10(low)), Math.floor(Math.log10(high))];
    const by = Math.max(1, Math.ceil((last - first) / most));
    const leads = high / low < 50 ? [1, 2, 5] : [1];
    const ticks = [];
    for (let k = last; k >= first; k -= by) {
      for (const lead of leads) {
        const value = lead * 10 ** k;
        const plain = leads.length > 1 || (k >= -2 && k <= 3);
        if (value < low || value > high) continue;
        ticks.push([value, plain ? format(value, 1) : `10${raised(k)}`]);
      }
    }
    return ticks;
  }

  /** A number with as many decimals as asked, −0.20. */
  const fixed = (value, decimals) => value.toFixed(decimals).replace("-", "−");

  return { axesOf, chart, decades, ellipses, fixed, format, onResize, percent };
})();
