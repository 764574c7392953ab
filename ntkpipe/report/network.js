"use strict";
/* A network with two hidden ReLU layers, trained in the browser; no DOM.

     f(x) = w3·φ(W2 φ(w1 x + b1) + b2) + b3,   x and f(x) numbers, n units a layer.

   The arrays hold the weights as they enter this formula. In the NTK parametrisation the
   weights of a layer are raw weights over √fan_in, so a step of rate η for the raw ones is
   a step of rate ηc, c = 1/fan_in, for these. In the standard parametrisation c = 1.

     loss L = 1/(2N) Σ (f(x_i) − y_i)²      step θ ← θ − ηc ∂L/∂θ
     kernel Θ(x, x′) = Σ c ∂f(x)/∂θ ∂f(x′)/∂θ      size ‖w‖² = Σ θ²/c

   The two training points make Θ a matrix of 2 × 2, so its eigenvectors have a closed
   form, and with them the network that is linear in its weights, f + ∂f/∂w·(w − w0):

     residual at the training points: U (1 − ηλ/N)ᵗ Uᵀ (f0 − y)
     output at x: f0(x) − Θ(x, ·) U [(1 − (1 − ηλ/N)ᵗ)/λ] Uᵀ (f0 − y)
*/

const LAYER_OF = { w1: 0, b1: 0, w2: 1, b2: 1, w3: 2, b3: 2 };

/** Uniform numbers in [0, 1) (mulberry32 by Tommy Ettinger, public domain). */
function uniform(seed) {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let bits = Math.imul(state ^ (state >>> 15), 1 | state);
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits;
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Initial weights: U(−1, 1)/√fan_in for weights and biases, as torch.nn.Linear. */
function draw(width, seed) {
  const random = uniform(seed * 7919 + width);
  const layer = (count, fanIn) => {
    const numbers = new Float64Array(count);
    const scale = 1 / Math.sqrt(fanIn);
    for (let i = 0; i < count; i++) numbers[i] = (2 * random() - 1) * scale;
    return numbers;
  };
  return {
    w1: layer(width, 1),
    b1: layer(width, 1),
    w2: layer(width * width, width), // row a: the weights into unit a
    b2: layer(width, width),
    w3: layer(width, width),
    b3: layer(1, width),
  };
}

/** The factors c of the three layers. */
function relativeRates(parameterization, width) {
  if (parameterization === "standard") return [1, 1, 1];
  if (parameterization === "ntk") return [1, 1 / width, 1 / width];
  throw new Error(`no parametrisation ${parameterization}`);
}

/** u·v in four partial sums, which a processor adds at the same time. */
function dot(u, v) {
  const whole = u.length - (u.length % 4);
  let [a, b, c, d] = [0, 0, 0, 0];
  for (let i = 0; i < whole; i += 4) {
    a += u[i] * v[i];
    b += u[i + 1] * v[i + 1];
    c += u[i + 2] * v[i + 2];
    d += u[i + 3] * v[i + 3];
  }
  for (let i = whole; i < u.length; i++) a += u[i] * v[i];
  return a + b + (c + d);
}

/** h = φ(w1 x + b1) of each point. */
function firstLayer(w, xs) {
  return xs.map((x) => w.w1.map((slope, i) => Math.max(0, slope * x + w.b1[i])));
}

/** Outputs at any points. */
function outputs(w, xs) {
  const n = w.w1.length;
  const hidden = firstLayer(w, xs);
  const f = new Float64Array(xs.length).fill(w.b3[0]);
  for (let a = 0; a < n; a++) {
    const row = w.w2.subarray(a * n, (a + 1) * n);
    for (let p = 0; p < xs.length; p++) {
      const z = w.b2[a] + dot(row, hidden[p]);
      if (z > 0) f[p] += w.w3[a] * z;
    }
  }
  return f;
}

/** Hidden values h, derivatives d of f by the hidden inputs, and outputs f. */
function signals(w, xs) {
  const n = w.w1.length;
  const arrays = () => xs.map(() => new Float64Array(n));
  const [h1, h2, d1, d2] = [firstLayer(w, xs), arrays(), arrays(), arrays()];
  const f = new Float64Array(xs.length).fill(w.b3[0]);
  for (let a = 0; a < n; a++) {
    const row = w.w2.subarray(a * n, (a + 1) * n);
    const out = w.w3[a];
    for (let p = 0; p < xs.length; p++) {
      const z = w.b2[a] + dot(row, h1[p]);
      if (!(z > 0)) continue;
      h2[p][a] = z;
      d2[p][a] = out;
      f[p] += out * z;
      const back = d1[p];
      for (let i = 0; i < n; i++) back[i] += out * row[i];
    }
  }
  d1.forEach((d, p) => {
    for (let i = 0; i < n; i++) if (!(h1[p][i] > 0)) d[i] = 0;
  });
  return { xs, h1, h2, d1, d2, f };
}

/** Θ between the points of two signals, rows for the first. */
function kernel(s, t, c) {
  return s.xs.map((x, i) =>
    t.xs.map(
      (y, j) =>
        c[2] * (dot(s.h2[i], t.h2[j]) + 1) +
        c[1] * dot(s.d2[i], t.d2[j]) * (dot(s.h1[i], t.h1[j]) + 1) +
        c[0] * dot(s.d1[i], t.d1[j]) * (x * y + 1),
    ),
  );
}

/** ‖w − w0‖ of the raw weights; without w0, ‖w‖. */
function distance(w, c, w0 = null) {
  let total = 0;
  for (const [name, layer] of Object.entries(LAYER_OF)) {
    const numbers = w[name];
    const start = w0 && w0[name];
    let sum = 0;
    for (let i = 0; i < numbers.length; i++) {
      const change = start ? numbers[i] - start[i] : numbers[i];
      sum += change * change;
    }
    total += sum / c[layer];
  }
  return Math.sqrt(total);
}

/** A step of gradient descent on two points, in place. */
function descend(w, s, y, eta, c) {
  const n = w.w1.length;
  const [r0, r1] = y.map((target, i) => (eta * (s.f[i] - target)) / y.length);
  const [[h0, h1], [x0, x1]] = [s.h1, s.xs];
  for (let a = 0; a < n; a++) {
    const [p, q] = [c[1] * r0 * s.d2[0][a], c[1] * r1 * s.d2[1][a]];
    if (p !== 0 || q !== 0) {
      const row = w.w2.subarray(a * n, (a + 1) * n);
      for (let i = 0; i < n; i++) row[i] -= p * h0[i] + q * h1[i];
      w.b2[a] -= p + q;
    }
    w.w3[a] -= c[2] * (r0 * s.h2[0][a] + r1 * s.h2[1][a]);
    const [u, v] = [c[0] * r0 * s.d1[0][a], c[0] * r1 * s.d1[1][a]];
    w.w1[a] -= u * x0 + v * x1;
    w.b1[a] -= u + v;
  }
  w.b3[0] -= c[2] * (r0 + r1);
}

/** Eigenvalues, larger first, and unit eigenvectors of a symmetric 2 × 2 matrix. */
function eigen([[a, b], [, d]]) {
  const middle = (a + d) / 2;
  const radius = Math.hypot((a - d) / 2, b);
  // the direction of the larger one; atan2(0, 0) = 0 serves a multiple of the identity
  const angle = Math.atan2(2 * b, a - d) / 2;
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  const large = middle + radius;
  // ad − b² over the larger one keeps digits of the smaller that middle − radius loses
  const small = large > 0 ? (a * d - b * b) / large : 0;
  return { values: [large, small], vectors: [[cos, sin], [-sin, cos]] };
}

/** The linearised network as a function of the step, in closed form. */
function linearisation(kernel0, kernelGrid, f0, f0Grid, y, eta) {
  const N = y.length;
  const { values, vectors } = eigen(kernel0);
  const along = vectors.map((v) => dot(v, y.map((target, i) => f0[i] - target)));
  // a direction of λ = 0 up to rounding does not move; the limit of (1 − rᵗ)/λ is ηt/N
  const none = (value) => value <= 4 * Number.EPSILON * values[0];
  return (step) => {
    const left = values.map((value) => (none(value) ? 1 : (1 - (eta * value) / N) ** step));
    const moved = values.map((value, k) =>
      none(value) ? (eta * step) / N : (1 - left[k]) / value,
    );
    const weights = y.map((_, i) =>
      vectors.reduce((sum, v, k) => sum + moved[k] * along[k] * v[i], 0),
    );
    const squares = values.map((value, k) =>
      Math.max(value, 0) * (moved[k] * along[k]) ** 2,
    );
    return {
      f: kernelGrid.map((row, p) => f0Grid[p] - dot(row, weights)),
      loss: left.reduce((sum, r, k) => sum + (r * along[k]) ** 2, 0) / (2 * N),
      moved: Math.sqrt(squares[0] + squares[1]),
    };
  };
}

/** ‖A − B‖/‖B‖ in the Frobenius norm. */
function relativeChange(A, B) {
  const change = A.map((row, i) => row.map((value, j) => value - B[i][j]));
  return Math.hypot(...change.flat()) / Math.hypot(...B.flat());
}

/** About `count` steps from 0 to `last`, whose distances grow from the first on. */
function schedule(last, count) {
  const steps = Array.from({ length: count + 1 }, (_, k) =>
    Math.round(last * (k / count) ** 2),
  );
  return [...new Set(steps)];
}

/** Train a network in place; yields a frame at each recorded step and at the end.

    problem: points x, targets y, points `grid` at which the function is shown,
    `record` the recorded steps, `learningRate`, `parameterization`, at most `steps`
    steps, which end when the loss is below `stop`. */
function* train(problem, w) {
  const { x, y, grid, steps, stop, learningRate } = problem;
  const c = relativeRates(problem.parameterization, w.w1.length);
  const recorded = new Set(problem.record);
  const w0 = Object.fromEntries(Object.keys(LAYER_OF).map((k) => [k, w[k].slice()]));
  const size = distance(w0, c);
  const [start, onGrid] = [signals(w, x), signals(w, grid)];
  const kernel0 = kernel(start, start, c);
  const toGrid = kernel(onGrid, start, c);
  const linear = linearisation(kernel0, toGrid, start.f, onGrid.f, y, learningRate);
  for (let step = 0; ; step++) {
    const s = step ? signals(w, x) : start;
    const squares = y.map((target, i) => (s.f[i] - target) ** 2);
    const loss = (squares[0] + squares[1]) / (2 * y.length);
    const converged = loss < stop;
    const last = converged || step >= steps || !Number.isFinite(loss);
    if (last || recorded.has(step)) {
      const f = step ? outputs(w, grid) : onGrid.f;
      const predicted = linear(step);
      const Theta = kernel(s, s, c);
      yield {
        step,
        last,
        converged,
        loss,
        f: Array.from(f),
        linear: predicted.f,
        linearLoss: predicted.loss,
        moved: distance(w, c, w0) / size,
        linearMoved: predicted.moved / size,
        kernel: Theta,
        kernelChange: relativeChange(Theta, kernel0),
        gap: Math.max(...predicted.f.map((value, p) => Math.abs(value - f[p]))),
      };
    }
    if (last) return;
    descend(w, s, y, learningRate, c);
  }
}

if (typeof module !== "undefined") {
  module.exports = { draw, eigen, linearisation, schedule, signals, train, uniform };
}
