// Pictures in the viewer's zone, what was in the slot that one points at, and tables once they are opened. A page is not drawn anew while somebody reads it so.
(() => {
  "use strict";
  const looks = {
    hour: { hour: "2-digit", minute: "2-digit" },
    day: { hour: "2-digit", minute: "2-digit" },
    month: { day: "numeric", month: "short" },
    "hour-row": { hour: "2-digit", minute: "2-digit" },
    "day-row": { weekday: "short", hour: "2-digit", minute: "2-digit" },
    "month-row": { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" },
    exact: { dateStyle: "medium", timeStyle: "short" },
  };
  const made = {};
  const written = (look, moment) => (made[look] || (made[look] = new Intl.DateTimeFormat(undefined, looks[look]))).format(moment);
  const later = window.requestIdleCallback ? (work) => requestIdleCallback(work, { timeout: 1000 }) : (work) => setTimeout(work, 50);
  const showTimes = (root) => {
    for (const each of root.querySelectorAll("time[data-clock]")) {
      const moment = new Date(each.dateTime);
      each.textContent = written(each.dataset.clock, moment);
      each.removeAttribute("title");
      each.dataset.said = each.dataset.clock;
      each.removeAttribute("data-clock");
    }
  };
  document.addEventListener("pointerover", (event) => {
    const time = event.target.closest("time[data-said]");
    if (time && !time.title) time.title = written("exact", new Date(time.dateTime));
  });

  // A page has hundreds of rows that nobody looks at: what stands in <noscript> is a text to a browser with script. A part that htmx has read has it as elements.
  const tableOf = (details) => {
    const kept = details.querySelector("noscript");
    if (!kept) return details.querySelector("table");
    const held = document.createElement("template");
    if (kept.firstElementChild) held.content.append(...kept.children);
    else held.innerHTML = kept.textContent;
    kept.replaceWith(held.content);
    const table = details.querySelector("table");
    showTimes(table);
    return table;
  };
  document.addEventListener("toggle", (event) => { if (event.target.matches(".as-table[open]")) tableOf(event.target); }, true);

  // What was in the slot that one points at or touches: marked, and said in the words of the table.
  let pointed = null;
  const leave = () => {
    if (!pointed) return;
    pointed.mark.remove();
    pointed.words.remove();
    pointed = null;
  };
  const point = (svg, slot) => {
    if (pointed && pointed.svg === svg && pointed.slot === slot) return;
    leave();
    const { begins, step } = svg.dataset;
    const moment = new Date((Number(begins) + slot * Number(step)) * 1000);
    const table = tableOf(svg.closest("section").querySelector(".as-table"));
    const heads = [...table.querySelectorAll("thead th")].map((each) => each.textContent);
    const iso = moment.toISOString().replace(".000Z", "Z");
    const row = table.querySelector(`time[datetime="${iso}"]`)?.closest("tr");
    const told = row ? [...row.querySelectorAll("td")].map((each, index) => [heads[index + 1], each.textContent]) : [];
    const shown = told.filter(([, value]) => value !== "0").map(([head, value]) => `${head}: ${value}`);
    const mark = document.createElementNS(svg.namespaceURI, "rect");
    for (const [name, value] of Object.entries({ class: "mark", x: slot, y: 0, width: 1, height: 100 })) mark.setAttribute(name, value);
    svg.append(mark);
    const words = document.createElement("p");
    words.className = "told";
    words.setAttribute("aria-hidden", "true");  // the table says the same
    words.textContent = `${written("exact", moment)}: ${shown.join(", ") || "nothing"}`;
    svg.parentElement.append(words);
    pointed = { svg, slot, mark, words };
  };
  const find = (event) => {
    const svg = event.target.closest(".chart svg");
    if (!svg) { leave(); return; }
    const { left, width } = svg.getBoundingClientRect();
    const slots = Number(svg.dataset.slots);
    point(svg, Math.max(0, Math.min(slots - 1, Math.floor((event.clientX - left) / width * slots))));
  };
  // A press on a slot leads to the runs in it, where the table does.
  document.addEventListener("click", (event) => {
    const svg = event.target.closest(".chart.bars svg");
    if (!svg || !pointed || pointed.svg !== svg) return;
    const { begins, step } = svg.dataset;
    const iso = new Date((Number(begins) + pointed.slot * Number(step)) * 1000).toISOString().replace(".000Z", "Z");
    const link = tableOf(svg.closest("section").querySelector(".as-table")).querySelector(`a:has(time[datetime="${iso}"])`);
    if (link && event.pointerType !== "touch") location.assign(link.href);  // a touch shows what was in the slot
  });
  document.addEventListener("pointermove", find);
  document.addEventListener("pointerdown", find);

  document.addEventListener("htmx:beforeRequest", (event) => {
    const place = event.target.closest("[data-patient]");
    if (!place || event.target !== place) return;
    if (document.hidden || pointed || place.querySelector("details[open]")) event.preventDefault();
  });
  const showAxes = () => { for (const each of document.querySelectorAll(".chart .times")) showTimes(each); };
  document.addEventListener("htmx:afterSettle", showAxes);
  later(showAxes);  // what writes times in the viewer's way takes a browser long to make: the page stands by then
})();
