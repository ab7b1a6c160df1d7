"use strict";
(() => {
  // Charts: drawn when they come near the screen; colours are the page's own variables, so they follow light and dark.
  const specs = JSON.parse(document.getElementById("charts").textContent);
  const options = { renderer: "svg", actions: false, ast: true, mode: "vega-lite", defaultStyle: false, tooltip: { disableDefaultStyle: true } };
  const draw = (place) => {
    if (place.dataset.drawn) return;
    place.dataset.drawn = "started";
    window.vegaEmbed(place, specs[Number(place.dataset.chart)], options).then(
      () => { place.dataset.drawn = "yes"; },
      (error) => { place.dataset.drawn = "failed"; place.classList.add("failed"); console.error(error); },
    );
  };
  const charts = [...document.querySelectorAll(".chart")];
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) { near.unobserve(entry.target); draw(entry.target); }
  }, { rootMargin: "800px" });
  for (const chart of charts) near.observe(chart);
  window.addEventListener("beforeprint", () => charts.forEach(draw));

  // The table: each variant is a tbody of two rows, itself and itself in words.
  const table = document.getElementById("worst");
  if (!table) return;
  const FIRST = 25;
  const bodies = [...table.tBodies];
  const search = document.getElementById("search"), byClass = document.getElementById("class"), byType = document.getElementById("type");
  const found = document.getElementById("found"), more = document.getElementById("more");
  const text = new Map(bodies.map((body) => [body, body.textContent.toLowerCase()]));
  let order = bodies, all = false;

  const show = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = order.filter((body) =>
      (!byClass.value || body.dataset.class === byClass.value) &&
      (!byType.value || body.dataset.type === byType.value) &&
      words.every((word) => text.get(body).includes(word)));
    const shown = new Set(all ? fits : fits.slice(0, FIRST));
    for (const body of bodies) body.hidden = !shown.has(body);
    found.textContent = `${fits.length.toLocaleString("en")} of ${bodies.length.toLocaleString("en")}`;
    more.hidden = fits.length <= FIRST;
    more.textContent = all ? `Show the first ${FIRST}` : `Show all ${fits.length.toLocaleString("en")}`;
  };

  const valueOf = (body, column) => {
    const cell = body.rows[0].cells[column];
    return cell.dataset.v ?? cell.textContent.trim();
  };
  const sort = (button) => {
    const column = Number(button.dataset.column), numbers = button.dataset.numbers === "yes";
    const head = button.parentElement, direction = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", direction === 1 ? "ascending" : "descending");
    order = [...order].sort((one, other) => {
      const a = valueOf(one, column), b = valueOf(other, column);
      if (a === "" || b === "") return (a === "") - (b === "");
      return direction * (numbers ? Number(a) - Number(b) : a.localeCompare(b));
    });
    table.append(...order);
    show();
  };

  table.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.column !== undefined) return sort(button);
    const words = document.getElementById(button.getAttribute("aria-controls"));
    words.hidden = !words.hidden;
    button.setAttribute("aria-expanded", String(!words.hidden));
  });
  for (const control of [search, byClass, byType]) control.addEventListener("input", show);
  more.addEventListener("click", () => { all = !all; show(); });
  show();
})();
