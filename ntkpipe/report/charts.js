// Draws the charts of the page when they come into view. Each figure of the page has a
// picture; a chart takes its place. Where the browser lacks something, or in print, the
// picture stays.
"use strict";
(() => {
  const NARROWEST = 250, WIDEST = 520; // pixels: a panel with its labels, without them

  const inflate = async (text) => {
    const bytes = Uint8Array.from(atob(text.trim()), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Response(stream).arrayBuffer();
  };
  const inflated = async (text) => new TextDecoder().decode(await inflate(text));
  const block = (box) => box.querySelector("script").textContent;

  let library;
  const vega = () => (library ??= (async () => {
    const script = document.createElement("script");
    script.textContent = await inflated(document.getElementById("vega").textContent);
    document.head.append(script);
  })());

  const isDark = () => {
    const parts = getComputedStyle(document.body).color.match(/[\d.]+/g).map(Number);
    return parts.slice(0, 3).reduce((sum, part) => sum + part, 0) > 384; // light text
  };

  // the specification for a width in pixels and the colours of the page
  const fitted = (text, width, dark) => {
    const { usermeta } = JSON.parse(text);
    const swapped = dark
      ? text.replace(/#[0-9a-f]{6}/g, (color) => usermeta.dark[color] ?? color)
      : text;
    const spec = JSON.parse(swapped);
    // as many panels side by side as have room, and as many in each row
    const most = width < 600 ? 1 : Math.floor(width / NARROWEST);
    const fit = Math.ceil(usermeta.columns / Math.ceil(usermeta.columns / most));
    spec.columns = fit;
    const space = spec.spacing.column * (fit - 1);
    const panel = Math.min(WIDEST, Math.floor((width - space) / fit) - usermeta.labels);
    for (const one of spec.concat) one.width = panel;
    // one legend below the other; the schema of Vega-Lite lacks the key, Vega has it
    spec.config.legend.layout = { bottom: { anchor: "start", direction: "vertical" } };
    const wide = Math.max(1, Math.floor(width / usermeta.legend));
    for (const one of spec.params) if (one.name === "legend_columns") one.value = wide;
    if (matchMedia("(pointer: coarse)").matches) { // a finger scrolls the page
      spec.params = spec.params.filter((one) => !one.name.startsWith("zoom_"));
    }
    return spec;
  };

  // Vega-Lite names the parts of a legend that choose a series, but not in legends that
  // several panels share
  const named = (compiled) => {
    const test = 'vlSelectionTest("shown_store", {"series": datum.value})';
    const opacity = [
      { test: `!length(data("shown_store")) || ${test}`, value: 1 }, { value: 0.35 },
    ];
    for (const legend of compiled.legends ?? []) {
      if (legend.fill !== "color") continue;
      for (const part of ["symbols", "labels", "entries"]) {
        const update = part === "entries" ? {} : { opacity, cursor: { value: "pointer" } };
        const name = `series_legend_${part}`;
        legend.encode[part] = { ...legend.encode[part], name, interactive: true, update };
      }
    }
    return compiled;
  };

  const drawChart = async (box) => {
    box.text ??= await inflated(block(box));
    await vega();
    const dark = isDark();
    const target = document.createElement("div");
    box.hidden = false; // so that it has a width
    const { view } = await vegaEmbed(target, fitted(box.text, box.clientWidth, dark), {
      actions: { export: true, source: false, compiled: false, editor: false },
      renderer: "svg",
      patch: named,
      tooltip: { theme: dark ? "dark" : "light" },
      downloadFileName: box.closest("figure").id,
    });
    box.view?.finalize();
    box.querySelector(":scope > div")?.remove();
    box.prepend(target);
    Object.assign(box, { view, drawnWidth: box.clientWidth, drawnDark: dark });
  };

  const drawFrames = async (box) => {
    const { width, height, count, palette } = JSON.parse(box.dataset.about);
    const pixels = new Uint8Array(await inflate(block(box)));
    const size = width * height;
    for (let k = size; k < pixels.length; k++) pixels[k] ^= pixels[k - size];
    const colors = new Uint32Array(palette.map((color) => 0xff000000 | color));
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    const context = canvas.getContext("2d");
    const image = context.createImageData(width, height);
    const out = new Uint32Array(image.data.buffer);
    const slider = box.querySelector("input");
    const told = box.querySelector("output");
    const button = box.querySelector("button");
    const show = () => {
      const start = slider.value * size;
      for (let k = 0; k < size; k++) out[k] = colors[pixels[start + k]];
      context.putImageData(image, 0, 0);
      told.value = `${+slider.value + 1} of ${count}`;
    };
    let timer = 0;
    const stop = () => {
      timer = clearInterval(timer);
      button.textContent = "play";
    };
    button.addEventListener("click", () => {
      if (timer) return stop();
      if (+slider.value === count - 1) slider.value = 0;
      button.textContent = "stop";
      timer = setInterval(() => {
        slider.value = +slider.value + 1;
        show();
        if (+slider.value === count - 1) stop();
      }, 120);
    });
    slider.addEventListener("input", () => { stop(); show(); });
    box.prepend(canvas);
    slider.value = count - 1;
    show();
    box.hidden = false;
  };

  const draw = async (box) => {
    try {
      await (box.dataset.kind === "frames" ? drawFrames : drawChart)(box);
      box.closest("figure").classList.add("drawn");
    } catch (error) {
      box.hidden = true;
      console.error(`${box.closest("figure").id}: ${error}`);
    }
  };

  // one after the other, so that the page stays responsive
  let queue = Promise.resolve();
  const later = (box) => { queue = queue.then(() => draw(box)); };

  const boxes = [...document.querySelectorAll(".chart")];
  if (!("DecompressionStream" in window)) return;
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      near.unobserve(entry.target);
      later(entry.target.querySelector(".chart"));
    }
  }, { rootMargin: "600px" });
  for (const box of boxes) near.observe(box.closest("figure"));

  let waiting;
  const again = () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      for (const box of boxes) {
        if (!box.view) continue;
        const other = Math.abs(box.clientWidth - box.drawnWidth) > 8;
        if (other || isDark() !== box.drawnDark) later(box);
      }
    }, 200);
  };
  addEventListener("resize", again);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  new MutationObserver(again).observe(document.documentElement, { attributes: true });
})();
