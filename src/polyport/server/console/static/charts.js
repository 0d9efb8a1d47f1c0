// Pictures in the viewer's zone, and a page that is not drawn anew while somebody reads a table of it. Without it times are UTC, and say so on hover.
(() => {
  "use strict";
  const forms = {
    hour: new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" }),
    day: new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" }),
    month: new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" }),
  };
  const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  const show = (root) => {
    for (const each of root.querySelectorAll("time[data-clock]")) {
      const moment = new Date(each.dateTime);
      each.textContent = forms[each.dataset.clock].format(moment);
      each.title = exact.format(moment);
      each.removeAttribute("data-clock");
    }
  };
  // A page has hundreds of times, most of them where nobody looks: those at axes are shown at once, those of a table when it is opened, those of a slot when one points at it.
  const showAxes = () => { for (const each of document.querySelectorAll(".chart .times, .as-table[open]")) show(each); };
  document.addEventListener("toggle", (event) => { if (event.target.matches(".as-table[open]")) show(event.target); }, true);
  document.addEventListener("pointerover", (event) => {
    const told = event.target.matches(".chart rect") && event.target.querySelector("title[data-slot]");
    if (!told) return;
    const words = told.textContent;
    told.textContent = `${exact.format(new Date(Number(told.dataset.slot) * 1000))}: ${words.slice(words.indexOf("UTC: ") + 5)}`;
    told.removeAttribute("data-slot");
  });
  document.addEventListener("htmx:beforeRequest", (event) => {
    const place = event.target.closest("[data-patient]");
    if (!place || event.target !== place) return;
    if (document.hidden || place.querySelector("details[open]") || place.contains(document.activeElement)) event.preventDefault();
  });
  document.addEventListener("htmx:afterSettle", showAxes);
  showAxes();
})();
