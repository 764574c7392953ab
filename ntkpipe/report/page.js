"use strict";
// Pictures that are unpacked when they come near the screen, animations, folded studies
// on telephones, and the place in the navigation.
{
  const unpacked = new Map();

  async function file(script) {
    const bytes = Uint8Array.from(atob(script.textContent), (c) => c.charCodeAt(0));
    let stream = new Blob([bytes]).stream();
    if ("zipped" in script.dataset) stream = stream.pipeThrough(new DecompressionStream("gzip"));
    const body = await new Response(stream).arrayBuffer();
    return URL.createObjectURL(new Blob([body], { type: script.dataset.type }));
  }

  // the address of a packed picture; each picture is unpacked once
  function address(id) {
    if (!unpacked.has(id)) unpacked.set(id, file(document.getElementById(id)));
    return unpacked.get(id);
  }

  async function unpack(image) {
    seen.unobserve(image);
    image.src = await address(image.dataset.packed);
  }

  const seen = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) if (entry.isIntersecting) unpack(entry.target);
    },
    { rootMargin: "800px" },
  );
  const images = [...document.querySelectorAll("img[data-packed]")];
  images.forEach((image) => seen.observe(image));

  // the other pictures one after the other, so that a printed page has all of them
  async function unpackAll() {
    for (const image of images) {
      await new Promise((done) => setTimeout(done, 20));
      if (!image.src) await unpack(image);
    }
  }
  window.addEventListener("load", unpackAll);
  window.addEventListener("beforeprint", () => {
    images.forEach((image) => (image.loading = "eager"));
  });

  for (const button of document.querySelectorAll("button.play")) {
    const image = document.querySelector(`figure [data-packed="${button.dataset.of}"]`);
    const words = button.textContent;
    button.hidden = false;
    button.addEventListener("click", async () => {
      const play = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", play);
      button.textContent = play ? "Stop the animation" : words;
      const { packed, file, of } = button.dataset;
      image.src = play ? (packed ? await address(packed) : file) : await address(of);
    });
  }

  const studies = [...document.querySelectorAll(".study > details")];
  if (matchMedia("(max-width: 52rem)").matches) studies.forEach((one) => (one.open = false));

  // an anchor within a folded part opens this part
  function reveal() {
    let name = location.hash.slice(1);
    try {
      name = decodeURIComponent(name);
    } catch {
      return;
    }
    const target = name && document.getElementById(name);
    if (!target) return;
    const own = target.matches(".study") && target.querySelector("details");
    if (own) own.open = true;
    for (let at = target.closest("details"); at; at = at.parentElement.closest("details")) at.open = true;
    if (target.closest(".study")) target.scrollIntoView({ behavior: "instant" });
  }
  window.addEventListener("hashchange", reveal);
  reveal();

  const links = new Map(
    [...document.querySelectorAll("nav a[href^='#']")].map((link) => [link.hash.slice(1), link]),
  );
  const nav = document.querySelector("nav");
  const current = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        const link = links.get(target.id);
        if (!isIntersecting) link.removeAttribute("aria-current");
        else {
          link.setAttribute("aria-current", "true");
          nav.scrollTop = link.offsetTop - nav.clientHeight / 2;
        }
      }
    },
    { rootMargin: "-30% 0px -65% 0px" },
  );
  for (const id of links.keys()) {
    const part = document.getElementById(id);
    if (part?.matches("section:not(#studies)")) current.observe(part);
  }
}
