// Pictures in the viewer's zone, and a page that is not drawn anew while somebody reads a table of it. Without it times are UTC, and say so on hover.
(() => {
  "use strict";
  const forms = {
    hour: new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" }),
    day: new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" }),
    month: new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" }),
  };
  const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  const show = () => {
    for (const each of document.querySelectorAll("time[data-clock]")) {
      const moment = new Date(each.dateTime);
      each.textContent = forms[each.dataset.clock].format(moment);
      each.title = exact.format(moment);
    }
    for (const each of document.querySelectorAll("title[data-slot]")) {
      const words = each.textContent;
      const told = words.slice(words.indexOf("UTC: ") + 5);
      each.textContent = `${exact.format(new Date(Number(each.dataset.slot) * 1000))}: ${told}`;
      each.removeAttribute("data-slot");
    }
  };
  document.addEventListener("htmx:beforeRequest", (event) => {
    const place = event.target.closest("[data-patient]");
    if (!place || event.target !== place) return;
    if (document.hidden || place.querySelector("details[open]") || place.contains(document.activeElement)) event.preventDefault();
  });
  document.addEventListener("htmx:afterSettle", show);
  show();
})();
