// What pages do beyond HTML and htmx: times in the viewer's zone, copying, dialogs, live lists. Everything works without it, only less conveniently.
(() => {
  "use strict";
  // What writes times in the viewer's way takes a browser longer to make than all else here: it is made once the page stands.
  const looks = { exact: { dateStyle: "medium", timeStyle: "long" }, day: { dateStyle: "medium", timeStyle: "short" } };
  const made = {};
  const written = (look, moment) => (made[look] || (made[look] = new Intl.DateTimeFormat(undefined, looks[look]))).format(moment);
  const later = window.requestIdleCallback ? (work) => requestIdleCallback(work, { timeout: 1000 }) : (work) => setTimeout(work, 50);
  const steps = [["sec", 60], ["min", 60], ["hr", 24], ["day", 7]];

  // Words for a time within a week of now; "" for others.
  const inWords = (moment) => {
    let left = (moment - Date.now()) / 1000;
    for (const [unit, size] of steps) {
      if (Math.abs(left) < size) {
        const many = Math.abs(Math.round(left));
        if (unit === "sec") return left <= 0 ? "just now" : "in a moment";  // to count seconds is no help to who reads
        if (unit === "day" && many === 1) return left < 0 ? "yesterday" : "tomorrow";
        const words = `${many} ${unit}${unit === "day" ? "s" : ""}`;
        return left < 0 ? `${words} ago` : `in ${words}`;
      }
      left /= size;
    }
    return "";
  };
  const showTimes = (root) => {
    const shown = [];
    for (const each of root.querySelectorAll("time[data-time]")) {
      const moment = new Date(each.dateTime);
      if (Number.isNaN(moment.getTime())) continue;
      const words = inWords(moment);
      const both = each.dataset.time === "both";
      if (words && !both && each.textContent !== words) each.textContent = words;
      if (!words || both || !each.dataset.told) shown.push([each, moment, words]);
    }
    if (!shown.length) return;
    later(() => {
      for (const [each, moment, words] of shown) {
        if (each.dataset.time === "both") each.textContent = written("day", moment) + (words ? ` (${words.replaceAll(" ", "\u00a0")})` : "");
        else if (!words) each.textContent = written("day", moment);
        each.title = written("exact", moment);
        each.dataset.told = "";
      }
    });
  };

  // What went wrong stands until something goes well.
  const warn = (text) => {
    const place = document.getElementById("notice");
    if (!place || place.textContent === text) return;
    const told = document.createElement("p");
    told.className = "note bad";
    told.textContent = text;
    place.replaceChildren(told);
  };

  // What is only heard: a button that changes its text is not read out.
  const tell = (text) => {
    const place = document.getElementById("said");
    if (place) place.textContent = text;
  };

  // What came of filters: who does not see the list is told.
  const found = () => {
    const list = document.getElementById("list");
    const said = list?.querySelector(".empty h2, .pager > .soft, .note");
    return said ? said.textContent : `${list?.querySelectorAll("tbody tr, .tile, .found > li").length ?? 0} shown`;
  };

  // What a button copies: a text of its own, or the code that is seen in a part of the page.
  const seen = (button) => [...document.querySelectorAll(`#${button.dataset.copiesFrom} code`)].find((each) => each.checkVisibility());
  const copy = async (button) => {
    const before = button.dataset.says || (button.dataset.says = button.textContent);
    const from = button.dataset.copiesFrom ? seen(button) : document.getElementById(button.dataset.copiesOf);
    let said = "Copied";
    try {
      await navigator.clipboard.writeText(from ? from.textContent : button.dataset.copies);
      tell("Copied.");
    } catch {
      // The browser lets no page copy here: the text is selected, and the person copies.
      const code = from || button.parentElement.querySelector("code");
      if (code) getSelection().selectAllChildren(code);
      said = "Selected: press Ctrl+C";
      tell("Your browser does not let pages copy. The text is selected: copy it with Ctrl+C, or Cmd+C.");
    }
    button.textContent = said;
    setTimeout(() => { button.textContent = before; }, said === "Copied" ? 1500 : 6000);
  };

  // A page may be older than the sign-in it came with: it was left alone for long, or somebody signed out or in in another tab. Before such a page sends a form,
  // it asks whether that will be taken, and takes the proof that forms carry now. If not, it says so, and what was typed stays.
  const ALONE = 60000;
  let asked = Date.now();
  let away = false;
  document.addEventListener("visibilitychange", () => { away = away || document.hidden; });
  const isOld = () => document.body.dataset.proof && (away || Date.now() - asked > ALONE);
  const refuse = (heading, text, link) => {
    document.dispatchEvent(new CustomEvent("polyport:refused"));
    for (const each of document.querySelectorAll("dialog[open]")) each.close();
    const told = document.createElement("div");
    told.className = "note bad";
    told.setAttribute("role", "alert");
    const head = document.createElement("h2");
    head.textContent = heading;
    const words = document.createElement("p");
    words.append(text);
    if (link) {
      const leads = document.createElement("a");
      Object.assign(leads, { href: document.body.dataset.enter, target: "_blank", rel: "noopener", textContent: link });
      words.append(" ", leads, ", come back and press again.");
    }
    told.append(head, words);
    const notice = document.getElementById("notice");
    if (notice.textContent === told.textContent) return;  // it is read out once, however often one types meanwhile
    notice.replaceChildren(told);
    told.scrollIntoView({ block: "nearest" });
  };
  // Whether who opened the page is still signed in; if so its forms carry the proof of now. ``lost`` is what is said of what is not done.
  const isSignedIn = async (lost, other = lost) => {
    const { proof, member } = document.body.dataset;
    const answer = await fetch(proof, { credentials: "same-origin", redirect: "manual" }).catch(() => null);
    if (answer && answer.ok) {
      const found = await answer.json();
      if (found.member !== member) {
        refuse("Somebody else is signed in now", `${other} ${found.member} signed in in this browser. To go on as ${member}:`, "sign in again in another tab");
        return false;
      }
      for (const field of document.querySelectorAll("input[name=csrf]")) field.value = found.proof;
      const headers = JSON.parse(document.body.getAttribute("hx-headers"));
      for (const name of Object.keys(headers)) headers[name] = found.proof;
      document.body.setAttribute("hx-headers", JSON.stringify(headers));
      asked = Date.now();
      away = document.hidden;
      document.querySelector("#notice .note.bad")?.remove();
      return true;
    }
    if (answer && answer.type === "opaqueredirect") refuse("You are signed out", lost, "sign in in another tab");
    else refuse("The server does not answer", `${lost.replace(/:$/, "")}. Press again in a moment.`);
    return false;
  };
  const renew = () => isSignedIn("Nothing was sent, and what you typed is still here:", "Nothing was sent.");

  const arm = (root) => {
    // Fields for a time hold that of UTC: from here on the viewer's.
    for (const field of root.querySelectorAll("[data-utc]:not([data-own])")) {
      field.dataset.own = "";
      if (!field.value) continue;
      const moment = new Date(`${field.value}Z`);
      field.value = new Date(moment - moment.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
    }
    for (const field of root.querySelectorAll("[data-confirms]")) {
      const button = field.form.querySelector("button.solid");
      const look = () => {  // the rest of a name that is shown cut may be typed as well: the server looks at it
        const typed = field.value.trim().replace(/\s+/gu, " ");
        button.disabled = typed !== field.dataset.confirms && !(field.dataset.confirms.length >= 60 && typed.startsWith(field.dataset.confirms));
      };
      field.addEventListener("input", look);
      // In a form of many buttons Enter would press the first of them.
      field.addEventListener("keydown", (event) => {
        if (event.key !== "Enter") return;
        event.preventDefault();
        if (!button.disabled) button.click();
      });
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

  // A part of a page that is read again by itself keeps the place of who works in it: what was open is open, and what had the focus has it.
  let place = null;
  const sign = (each) => `${each.tagName} ${each.getAttribute("href") || each.getAttribute("aria-label") || each.textContent.trim()}`;
  const alike = (root, signed) => [...root.querySelectorAll("a[href], button, input, select, summary, [tabindex]")].filter((each) => sign(each) === signed);
  const leave = (root) => {
    const at = root.contains(document.activeElement) ? document.activeElement : null;
    const same = at ? alike(root, sign(at)) : [];
    // Rows come in at the top: of things alike, the one that is meant is counted from the end.
    place = { open: [...root.querySelectorAll("details")].map((each) => each.open), signed: at && sign(at), back: same.length - same.indexOf(at) };
  };
  const comeBack = (root) => {
    const { open, signed, back } = place;
    place = null;
    [...root.querySelectorAll("details")].slice(0, open.length).forEach((each, index) => { each.open = open[index]; });
    if (signed === null || (document.activeElement !== document.body && document.activeElement)) return;
    const same = alike(root, signed);
    (same[same.length - back] || same[0] || document.getElementById("main")).focus({ preventScroll: true });
  };

  // A part of a page that lives: whenever the server says that it changed, it is read again, once nobody has text selected in it or a button pressed there.
  const living = () => document.querySelector("[data-live]");
  let stale = false;
  let pressed = false;
  let paused = false;
  const changed = () => {
    const now = living();
    if (!now || paused) return;
    const selection = getSelection();
    stale = pressed || Boolean(!selection.isCollapsed && now.contains(selection.anchorNode));
    if (!stale) htmx.trigger(now, "changed");
  };
  document.addEventListener("selectionchange", () => { if (stale) changed(); });
  document.addEventListener("pointerdown", (event) => { pressed = Boolean(living()?.contains(event.target)); }, true);
  // The press is over once its click was heard: what it was on stays until then.
  for (const name of ["pointerup", "pointercancel"]) addEventListener(name, () => setTimeout(() => { pressed = false; if (stale) changed(); }));

  // Rows that come in would move those below them: while the page is scrolled, or the pointer or the keyboard is in the list, they wait for a press.
  const mouse = matchMedia("(hover: hover)");
  const atWork = (list) => scrollY > 8 || (mouse.matches && list.matches(":hover")) || Boolean(list.querySelector(":focus-visible"));
  let fresh = 0;
  const offer = (count, whole) => {
    const place = document.querySelector(".fresh");
    if (!place) return;
    const words = `${count}${whole ? "" : " or more"} new ${count === 1 ? "run" : "runs"}`;
    if (count && !fresh) tell(`${words}: show them with the button above the list.`);
    fresh = count;
    place.hidden = !count;
    place.firstElementChild.textContent = `${words}: show`;
  };
  const showFresh = () => {
    scrollTo(0, 0);
    offer(0, true);
    document.getElementById("main").focus({ preventScroll: true });  // the button is gone, and who is nowhere in the list sees it grow again
    const list = living();
    if (list) { list.dataset.take = ""; htmx.trigger(list, "changed"); }
  };
  // What is known already is brought up to date where it stands; what is new is counted.
  const merge = (list, html) => {
    const read = new DOMParser().parseFromString(html, "text/html");
    const rows = [...read.querySelectorAll("#list [data-row]")];
    const known = new Map([...list.querySelectorAll("[data-row]")].map((row) => [row.dataset.row, row]));
    const first = rows.findIndex((row) => known.has(row.dataset.row));
    for (const row of rows) {
      const mine = known.get(row.dataset.row);
      if (!mine) continue;
      const cells = mine.querySelectorAll("[data-lives]");
      row.querySelectorAll("[data-lives]").forEach((cell, at) => {
        if (cells[at].textContent === cell.textContent) return;
        cells[at].className = cell.className;
        cells[at].replaceChildren(...cell.childNodes);
      });
    }
    offer(first < 0 ? rows.length : first, first >= 0);
  };
  const goOn = () => { const list = living(); if (fresh && list && !paused && !atWork(list)) { offer(0, true); changed(); } };
  for (const name of ["scrollend", "pointerout", "focusout"]) document.addEventListener(name, () => { if (fresh) setTimeout(goOn, 100); });

  // Where it hears of changes. A browser has six connections to a server for all its tabs together: a page that is not seen holds none, and of those that are
  // seen at a time three do; the others ask now and then.
  const SEATS = 3;
  const ASK = 5000;
  let source = null;  // what is followed: its url, and what ends it
  const stand = (is, words) => {
    document.body.dataset.liveIs = is;
    const says = document.querySelector("[data-live-says]");
    if (says && says.textContent !== words) says.textContent = words;
    const button = document.querySelector("[data-pauses]");
    if (button) button.textContent = is === "lost" ? "Try again" : is === "paused" ? "Go on" : "Pause";
  };
  const seat = async (mine) => {
    if (!navigator.locks) return true;  // a page that is not served safely has none: then it is as good as alone
    for (let number = 0; number < SEATS; number += 1) {
      const given = await new Promise((resolve) => {
        navigator.locks.request(`polyport-live-${number}`, { ifAvailable: true }, (lock) => {
          resolve(Boolean(lock));
          return lock ? new Promise((leave) => { mine.leave = leave; if (mine.over) leave(); }) : null;
        }).catch(() => resolve(false));
      });
      if (given) return true;
    }
    return false;
  };
  const end = (mine) => {
    mine.over = true;
    mine.events?.close();
    clearInterval(mine.timer);
    mine.leave?.();
    if (source === mine) source = null;
  };
  const listen = (mine) => {
    const events = mine.events = new EventSource(mine.url);
    let last = null;
    for (const name of ["changed", "queued", "running", "waiting", "succeeded", "failed", "uncertain", "cancelled"]) {
      events.addEventListener(name, (event) => {
        const first = last === null && name !== "changed";  // how a run stands at first is on the page already, unless it has moved on
        const same = first && document.querySelector(`[data-live] .status`)?.textContent.trim().toLowerCase() === name;
        last = event.lastEventId || name;
        if (!same) changed();
      });
    }
    events.onopen = () => {
      stand("live", "Live");
      document.body.setAttribute("data-following", "");
      if (mine.lost) catchUp();
      mine.lost = false;
    };
    events.onerror = () => {
      if (mine.over) return;
      document.body.removeAttribute("data-following");
      mine.lost = true;
      if (events.readyState !== EventSource.CLOSED) { stand("wait", "Not live: the server does not answer"); return; }
      stayOrLeave(mine);  // it was refused: the browser does not ask again
    };
  };
  const stayOrLeave = async (mine) => {
    const there = await isSignedIn("What is shown may be out of date:");
    if (mine.over) return;
    if (there) { look(mine); return; }
    end(mine);
    stand("lost", "Not live");
  };
  const look = (mine) => {
    mine.events?.close();
    mine.events = null;
    stand("live", "Live");
    document.body.setAttribute("data-following", "");
    if (mine.lost) catchUp();
    mine.lost = false;
    mine.timer = mine.timer || setInterval(changed, ASK);
  };
  // The server was away: what was chosen meanwhile may have been lost on the way.
  const catchUp = () => {
    const form = document.querySelector("form[data-filters]");
    const told = new URLSearchParams(location.search);
    const lost = form && [...new FormData(form)].some(([name, value]) => !form.querySelector(`[name="${name}"][data-utc]`) && value !== (told.get(name) ?? ""));
    if (lost) form.requestSubmit();
    else changed();
  };
  const follow = (returned = false) => {
    const url = living()?.dataset.live;
    const wanted = url && !document.hidden && !paused && window.EventSource ? url : null;
    if (source && source.url === wanted) return;
    if (source) end(source);
    document.body.removeAttribute("data-following");
    if (!wanted) return;
    const mine = source = { url: wanted, lost: returned };
    seat(mine).then((given) => {
      if (mine.over) return;
      if (given) listen(mine);
      else look(mine);
    });
  };
  const press = (button) => {
    paused = !paused && document.body.dataset.liveIs !== "lost";
    if (paused) stand("paused", "Paused");
    else stand("wait", "Live");
    tell(paused ? "Paused: the list stays as it is." : "The list goes on.");
    follow(true);
  };
  document.addEventListener("visibilitychange", () => follow(true));
  // Who is signed out meanwhile is told so: the page does not go away by itself.
  document.addEventListener("htmx:beforeOnLoad", (event) => {
    const { requestConfig, xhr } = event.detail;
    if (!requestConfig.elt.matches("[data-live]") || !xhr.getResponseHeader("HX-Redirect")) return;
    event.preventDefault();
    if (source) stayOrLeave(source);
  });

  document.addEventListener("click", (event) => {
    const at = event.target.closest("[data-copies], [data-copies-from], [data-copies-of], [data-opens], [data-closes], [data-pauses], [data-shows]");
    if (!at) return;
    if (at.dataset.copies !== undefined || at.dataset.copiesFrom || at.dataset.copiesOf) copy(at);
    if (at.dataset.pauses !== undefined) press(at);
    if (at.dataset.shows !== undefined) showFresh();
    if (at.dataset.opens) document.getElementById(at.dataset.opens).showModal();
    if (at.dataset.closes !== undefined) at.closest("dialog").close();
  });
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.getAttribute("method") !== "post" || form.hasAttribute("hx-post") || !isOld()) return;
    event.preventDefault();
    renew().then((taken) => { if (taken) form.requestSubmit(event.submitter); });
  }, true);
  document.addEventListener("htmx:confirm", (event) => {
    if (event.detail.verb === "get" || !isOld()) return;
    event.preventDefault();
    renew().then((taken) => { if (taken) event.detail.issueRequest(true); });
  });
  // A form is sent once, however often one presses: until its answer is there, or until so long after that none seems to come.
  const WAITED = 20000;
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || form.getAttribute("method") !== "post" || form.hasAttribute("hx-post") || event.submitter?.hasAttribute("formtarget")) return;
    if (Date.now() - Number(form.dataset.sent || 0) < WAITED) { event.preventDefault(); return; }
    form.dataset.sent = Date.now();
    const button = form.querySelector("button[data-busy]");
    if (!button || event.submitter?.hasAttribute("data-idle")) return;
    button.setAttribute("aria-disabled", "true");
    button.textContent = button.dataset.busy;
  });
  // Filters that are empty have no place in the address.
  document.addEventListener("htmx:configRequest", (event) => {
    const form = event.detail.elt.closest("form[data-filters]");
    if (!form) return;
    const given = event.detail.parameters;
    for (const each of form.querySelectorAll("[data-utc]")) if (each.value) given[each.name] = Math.floor(new Date(each.value) / 1000);
    for (const name of Object.keys(given)) if (given[name] === "") delete given[name];
  });
  // Since when, or between which times: the one takes the other away.
  document.addEventListener("input", (event) => {
    const form = event.target.closest("form[data-filters]");
    const others = event.target.matches("[data-utc]") ? "[name=since]" : event.target.name === "since" ? "[data-utc]" : "";
    if (form && others && event.target.value) for (const each of form.querySelectorAll(others)) each.value = "";
  }, true);
  // What one types in a search changes the address, and is no step back each time.
  document.addEventListener("htmx:beforeHistoryUpdate", (event) => {
    const typed = event.detail.requestConfig?.triggeringEvent?.target;
    if (typed?.matches?.("form[data-filters] input")) event.detail.history.type = "replace";
  });
  // What the server says to an error stands in its answer, as a notice. What is no answer of a page (of a server that has no room, of a proxy) would leave nothing where
  // a part of the page stood: it is told in words instead.
  const WORDS = {
    401: "You are signed out: nothing was done. Sign in in another tab, come back and press again.",
    403: "You may not do this: nothing was done.",
    404: "This is not there any more.",
    413: "This is too large: nothing was done.",
  };
  const inWordsOf = (xhr) => {
    const { status } = xhr;
    const wait = Number(xhr.getResponseHeader("Retry-After"));
    if (status === 429) return `Too much was asked for at once: nothing was done. ${wait > 0 ? `Wait ${wait} ${wait === 1 ? "second" : "seconds"}` : "Wait a moment"}, then press again.`;
    const request = xhr.getResponseHeader("X-Request-Id");
    return WORDS[status] || `${status >= 500 ? "The server could not do this" : "The server refused this"} (${status}${request ? `, request ${request}` : ""}).`;
  };
  const isPart = (xhr, elt) => {
    const wanted = elt.closest("[hx-select]")?.getAttribute("hx-select");
    return !wanted || new DOMParser().parseFromString(xhr.responseText, "text/html").querySelector(wanted) !== null;
  };
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { isError, xhr, requestConfig } = event.detail;
    if (!isError || xhr.getResponseHeader("HX-Retarget") || isPart(xhr, requestConfig.elt)) return;
    event.detail.shouldSwap = false;
    warn(inWordsOf(xhr));
  });
  document.addEventListener("htmx:responseError", () => document.getElementById("notice")?.scrollIntoView({ block: "nearest" }));
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { target, requestConfig, shouldSwap, serverResponse } = event.detail;
    const notice = document.getElementById("notice");
    // What is asked for by itself, as one types, takes no word away.
    if (notice && shouldSwap && !requestConfig.elt.hasAttribute("data-quiet")) notice.replaceChildren();
    if (!shouldSwap || !target) return;
    if (requestConfig.elt !== target) { offer(0, true); return; }
    if (target.matches("[data-rows]") && target.dataset.take === undefined && target.querySelector("[data-row]") && atWork(target)) {
      event.detail.shouldSwap = false;
      merge(target, serverResponse);
      return;
    }
    offer(0, true);
    leave(target);
  });
  const complete = () => { for (const each of document.querySelectorAll(".later:not(.whole)")) each.classList.add("whole"); };
  document.addEventListener("htmx:afterSettle", (event) => {
    showTimes(document);
    later(complete);
    arm(document.getElementById(event.detail.target?.id) || document);  // what was put in its place: the target itself is gone
    follow();
    if (event.detail.requestConfig?.elt.matches("form[data-filters]")) tell(found());
    if (place) comeBack(document.getElementById(event.detail.target.id) || document);
  });
  document.addEventListener("htmx:sendError", () => warn("The server does not answer. What is shown may be out of date."));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (/^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName)) return;
    const search = document.querySelector("main input[type=search]");
    if (search) { event.preventDefault(); search.focus(); search.select(); }
  });
  addEventListener("pageshow", () => { for (const form of document.querySelectorAll("form[data-sent]")) form.removeAttribute("data-sent"); });
  const begin = () => {
    document.documentElement.classList.add("scripted");
    // What pages keep of what was typed is for who is signed in, in this tab: nobody else finds it here.
    try {
      if (!document.body.dataset.member) for (const name of Object.keys(sessionStorage)) if (name.startsWith("polyport.")) sessionStorage.removeItem(name);
    } catch { /* A browser that keeps nothing. */ }
    // On a narrow screen the tabs are a strip; elsewhere to ask where they are would have the browser lay the page out once more.
    if (matchMedia("(max-width: 68rem)").matches) {
      for (const here of document.querySelectorAll(".tabs [aria-current]")) {
        const strip = here.closest("nav");
        strip.scrollLeft += here.getBoundingClientRect().left - strip.getBoundingClientRect().left - 16;
      }
    }
    showTimes(document);
    arm(document);
    follow();
    document.querySelector("main [aria-invalid=true]")?.focus();  // a form that was not taken: to the first field that is why
    if (document.readyState === "complete") later(complete);
    else addEventListener("load", () => later(complete), { once: true });
    setInterval(() => { if (!document.hidden) showTimes(document); }, 5000);
  };
  begin();
})();
