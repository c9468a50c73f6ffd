"use strict";
(() => {
  const by = (id) => document.getElementById(id);
  const root = document.documentElement;
  root.classList.add("js");
  document.querySelector(".tools").hidden = false;

  const themes = ["system", "light", "dark"];
  by("theme").addEventListener("click", () => {
    const next = themes[(themes.indexOf(root.dataset.theme || "system") + 1) % themes.length];
    if (next === "system") delete root.dataset.theme; else root.dataset.theme = next;
    by("theme").textContent = `Theme: ${next}`;
  });
  by("print").addEventListener("click", () => window.print());

  const list = by("list");
  if (!list) return;
  const page = 25;
  const flips = [...list.children].map((element) => ({
    element,
    kind: element.dataset.kind,
    confidence: Number(element.dataset.confidence),
    slices: element.dataset.slices.trim().split(" "),
    words: element.querySelector(".text").textContent.toLowerCase(),
  }));
  let most = page;

  function whole(element) {
    const text = element.querySelector(".text");
    if (element.querySelector("button") || text.scrollHeight <= text.clientHeight + 2) return;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Whole text";
    button.setAttribute("aria-expanded", "false");
    button.addEventListener("click", () => {
      const open = element.classList.toggle("open");
      button.textContent = open ? "Less text" : "Whole text";
      button.setAttribute("aria-expanded", String(open));
    });
    element.append(button);
  }

  function show() {
    const search = by("search").value.trim().toLowerCase();
    const [kind, slice, least] = [by("kind").value, by("slice").value, Number(by("confidence").value)];
    by("least").textContent = `${least} %`;
    const found = flips.filter((flip) =>
      (!kind || flip.kind === kind) && (!slice || flip.slices.includes(slice)) &&
      flip.confidence >= least && flip.words.includes(search));
    const shown = new Set(found.slice(0, most));
    for (const flip of flips) flip.element.hidden = !shown.has(flip);
    for (const flip of shown) whole(flip.element);
    by("count").textContent = `${shown.size} shown of ${found.length} that fit`;
    by("more").hidden = found.length <= most;
  }

  by("filters").hidden = false;
  by("filters").addEventListener("submit", (event) => event.preventDefault());
  by("filters").addEventListener("input", () => { most = page; show(); });
  by("more").addEventListener("click", () => { most += page; show(); });
  show();
})();
