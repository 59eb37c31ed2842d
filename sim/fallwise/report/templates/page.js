"use strict";
(function () {
  const study = JSON.parse(document.getElementById("study").textContent);
  const names = Object.keys(study.tiers);
  if (!names.length) return;
  const get = (id) => document.getElementById(id);
  const slider = get("slider"), chooser = get("chooser"), back = get("back");
  let tier = names[0];

  function put(point) {
    for (const [key, text] of Object.entries(point.words))
      for (const place of document.querySelectorAll(`[data-k="${key}"]`)) place.textContent = text;
    for (const [key, html] of Object.entries(point.parts)) get(key).innerHTML = html;
    const here = get("here"), across = get("across"), along = get("along");
    const off = point.x > 100;
    here.style.left = Math.min(point.x, 100) + "%";
    here.style.top = point.y + "%";
    get("off").hidden = !off;
    across.hidden = along.hidden = off;
    const xs = point.xs.map((x) => Math.min(x, 100));
    Object.assign(across.style, { left: xs[0] + "%", width: xs[1] - xs[0] + "%", top: point.y + "%" });
    Object.assign(along.style, { top: point.ys[0] + "%", height: point.ys[1] - point.ys[0] + "%", left: point.x + "%" });
    slider.setAttribute("aria-valuetext", `${point.words.threshold}: ${point.words.verdict}`);
    const cut = document.querySelector(`[data-cut="${tier}"]`);
    if (cut) {
      cut.style.left = (point.at === null ? 100 : 100 * Math.min(1, Math.max(0, point.at))) + "%";
    }
  }

  function choose(name) {
    tier = name;
    get("who").textContent = name;
    const { own, points } = study.tiers[name];
    slider.max = points.length - 1;
    slider.value = own;
    put(points[own]);
  }

  slider.addEventListener("input", () => put(study.tiers[tier].points[slider.value]));
  back.addEventListener("click", () => choose(tier));
  if (chooser) chooser.addEventListener("change", () => choose(chooser.value));
  choose(tier);
})();
