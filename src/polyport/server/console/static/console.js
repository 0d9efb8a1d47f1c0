// What pages do beyond HTML and htmx: times in the viewer's zone, copying, dialogs, live lists. Everything works without it, only less conveniently.
(() => {
  "use strict";
  const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
  const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });
  const steps = [["second", 60], ["minute", 60], ["hour", 24], ["day", 7]];

  const inWords = (moment) => {
    let left = (moment - Date.now()) / 1000;
    for (const [unit, size] of steps) {
      if (Math.abs(left) < size) return relative.format(Math.round(left), unit);
      left /= size;
    }
    return day.format(moment);
  };
  const showTimes = (root) => {
    for (const each of root.querySelectorAll("time[data-time]")) {
      const moment = new Date(each.dateTime);
      if (Number.isNaN(moment.getTime())) continue;
      each.textContent = inWords(moment);
      each.title = exact.format(moment);
    }
  };

  const say = (text) => {
    const place = document.getElementById("notice");
    if (!place) return;
    const told = document.createElement("p");
    told.className = "note good";
    told.textContent = text;
    place.replaceChildren(told);
    setTimeout(() => told.remove(), 6000);
  };

  const copy = async (button) => {
    try {
      await navigator.clipboard.writeText(button.dataset.copies);
    } catch {
      const code = button.parentElement.querySelector("code");
      if (code) getSelection().selectAllChildren(code);
      return;
    }
    const before = button.textContent;
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = before; }, 1500);
  };

  const arm = (root) => {
    for (const field of root.querySelectorAll("[data-confirms]")) {
      const button = field.form.querySelector("button.solid");
      const look = () => { button.disabled = field.value !== field.dataset.confirms; };
      field.addEventListener("input", look);
      look();
    }
    for (const image of root.querySelectorAll("img[data-initial]")) {
      const replace = () => {
        const letter = document.createElement("span");
        letter.className = "initial";
        letter.textContent = image.dataset.initial;
        image.replaceWith(letter);
      };
      if (image.complete && !image.naturalWidth) replace();
      else image.addEventListener("error", replace, { once: true });
    }
  };

  // A list that lives: whenever the server says that it changed, it is read again, unless somebody works in it or has gone to an older page.
  let source = null;
  const follow = () => {
    const place = document.querySelector("[data-live]");
    const url = place && place.dataset.live;
    if (source && source.told === url) return;
    if (source) source.close();
    source = null;
    if (!url || !window.EventSource) return;
    source = new EventSource(url);
    source.told = url;
    const changed = () => {
      const now = document.querySelector("[data-live]");
      if (now && !now.contains(document.activeElement)) htmx.trigger(now, "changed");
    };
    let last = null;
    for (const name of ["changed", "queued", "running", "waiting", "succeeded", "failed", "uncertain", "cancelled"]) {
      source.addEventListener(name, (event) => {
        const first = last === null && name !== "changed";  // how a run stands at first is on the page already, unless it has moved on
        const same = first && document.querySelector(`[data-live] .status`)?.textContent.trim().toLowerCase() === name;
        last = event.lastEventId || name;
        if (!same) changed();
      });
    }
    source.onopen = () => document.body.setAttribute("data-following", "");
    source.onerror = () => document.body.removeAttribute("data-following");
  };

  document.addEventListener("click", (event) => {
    const at = event.target.closest("[data-copies], [data-opens], [data-closes]");
    if (!at) return;
    if (at.dataset.copies !== undefined) copy(at);
    if (at.dataset.opens) document.getElementById(at.dataset.opens).showModal();
    if (at.dataset.closes !== undefined) at.closest("dialog").close();
  });
  document.addEventListener("submit", (event) => {
    const button = event.target.querySelector("button[data-busy]");
    if (!button || event.defaultPrevented) return;
    button.setAttribute("aria-disabled", "true");
    button.textContent = button.dataset.busy;
  });
  // Filters that are empty have no place in the address.
  document.addEventListener("htmx:configRequest", (event) => {
    const form = event.detail.elt.closest("form[data-filters]");
    if (!form) return;
    const given = event.detail.parameters;
    for (const name of Object.keys(given)) if (given[name] === "") delete given[name];
  });
  document.addEventListener("htmx:beforeSwap", () => {
    const notice = document.getElementById("notice");
    if (notice) notice.replaceChildren();
  });
  document.addEventListener("htmx:afterSettle", (event) => {
    showTimes(document);
    arm(event.detail.target || document);
    follow();
  });
  document.addEventListener("htmx:sendError", () => say("The server does not answer. What is shown may be out of date."));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (/^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName)) return;
    const search = document.querySelector("main input[type=search]");
    if (search) { event.preventDefault(); search.focus(); search.select(); }
  });
  const begin = () => {
    document.documentElement.classList.add("scripted");
    const here = document.querySelector(".side nav [aria-current]");
    if (here) here.closest("nav").scrollLeft = here.offsetLeft - 16;  // on a phone the navigation is a strip
    showTimes(document);
    arm(document);
    follow();
    setInterval(() => showTimes(document), 20000);
  };
  begin();
})();
