"use strict";
// The table of claims: search, filter, sort, rows that open, and its state in the
// address. The address is #q=relu&kind=law, with keys of other scripts among them, or
// the anchor of one claim, #R-1.
{
  const form = document.getElementById("filter");
  const table = document.getElementById("forest");
  const KEYS = ["q", "study", "kind", "set", "sort"];

  const plain = (text) => text.normalize("NFKD").toLowerCase();

  // what a search finds: all texts of a claim, and the title of its study
  const titles = new Map(
    [...(table?.querySelectorAll(".group") ?? [])].map((group) => [
      group.dataset.study,
      group.textContent,
    ]),
  );
  const claims = [...(table?.querySelectorAll("tbody.claim") ?? [])].map(
    (body, order) => ({
      body,
      order,
      text: plain(`${body.textContent} ${titles.get(body.dataset.study)}`),
      distance: body.dataset.distance === "" ? Infinity : +body.dataset.distance,
      width: body.dataset.width === "" ? -1 : +body.dataset.width,
    }),
  );

  function anchored() {
    let name = location.hash.slice(1);
    try {
      name = decodeURIComponent(name);
    } catch {
      // not an encoded name
    }
    return name ? document.getElementById(name) : null;
  }

  // the parameters in the address; none if it is the anchor of an element
  function parameters() {
    return new URLSearchParams(anchored() ? "" : location.hash.slice(1));
  }

  function save(changes) {
    const state = parameters();
    for (const [key, value] of Object.entries(changes)) {
      if (value) state.set(key, value);
      else state.delete(key);
    }
    const page = location.pathname + location.search;
    history.replaceState(null, "", state.size ? `#${state}` : page);
  }

  function matches({ body, text }, wanted) {
    const { study, kind, set } = body.dataset;
    const isKind =
      !wanted.kind || (wanted.kind === "wrong" ? "wrong" in body.dataset : kind === wanted.kind);
    return (
      isKind &&
      (!wanted.study || study === wanted.study) &&
      (!wanted.set || set === wanted.set) &&
      plain(wanted.q).split(/\s+/).every((word) => text.includes(word))
    );
  }

  const ORDERS = {
    study: (a, b) => a.order - b.order,
    edge: (a, b) => a.distance - b.distance || a.order - b.order,
    wide: (a, b) => b.width - a.width || a.order - b.order,
  };

  function apply() {
    const wanted = Object.fromEntries(KEYS.map((key) => [key, form.elements[key].value]));
    const shown = new Set();
    let count = 0;
    for (const claim of claims) {
      const fits = matches(claim, wanted);
      claim.body.hidden = !fits;
      if (fits) shown.add(claim.body.dataset.study);
      count += fits;
    }
    const byStudy = wanted.sort === "study";
    const groups = [...table.querySelectorAll(".group")];
    const bodies = [...claims].sort(ORDERS[wanted.sort]).map(({ body }) => body);
    for (const group of groups) {
      group.hidden = !byStudy || !shown.has(group.dataset.study);
      const own = byStudy ? bodies.find((body) => body.dataset.study === group.dataset.study) : null;
      if (own) bodies.splice(bodies.indexOf(own), 0, group);
    }
    table.append(...bodies);
    form.querySelector("output").textContent = `${count} of ${claims.length} claims`;
  }

  // the fields of the form from the parameters
  function fill(state) {
    for (const key of KEYS) {
      const field = form.elements[key];
      field.value = state.get(key) ?? (key === "sort" ? "study" : "");
      if (field.selectedIndex === -1) field.selectedIndex = 0;
    }
    apply();
  }

  function open(row, isOpen = true) {
    const button = row.querySelector("button.open");
    button.setAttribute("aria-expanded", isOpen);
    row.nextElementSibling.hidden = !isOpen;
  }

  function show(row) {
    if (row.closest("tbody").hidden) fill(new URLSearchParams());
    open(row);
    row.scrollIntoView({ block: "center", behavior: "instant" });
    row.querySelector("button.open").focus({ preventScroll: true });
  }

  // the state of the page from the address
  function restore() {
    const target = anchored();
    if (target) {
      if (target.closest("tbody.claim")) show(target.closest("tr"));
      return;
    }
    const state = parameters();
    if (![...KEYS, "claim"].some((key) => state.has(key))) return;
    fill(state);
    const row = document.getElementById(state.get("claim") ?? "");
    if (row?.closest("tbody.claim")) show(row);
    else form.scrollIntoView({ block: "start", behavior: "instant" });
  }

  function changed() {
    apply();
    const { sort, ...others } = Object.fromEntries(new FormData(form));
    save({ ...others, sort: sort === "study" ? "" : sort });
  }

  if (form && table) {
    form.hidden = false;
    form.addEventListener("input", changed);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(changed));
    table.addEventListener("click", (event) => {
      const button = event.target.closest("button.open");
      if (!button) return;
      const row = button.closest("tr");
      const isOpen = button.getAttribute("aria-expanded") !== "true";
      open(row, isOpen);
      save({ claim: isOpen ? row.id : "" });
    });
    document.addEventListener("keydown", (event) => {
      const typing = event.target.closest?.("input, select, textarea, [contenteditable]");
      if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      form.elements.q.focus();
    });
    window.addEventListener("hashchange", restore);
    apply();
    restore();
    // the browser moves the focus when it has loaded a page at an anchor
    window.addEventListener("load", () => anchored() && restore());
  }
}
