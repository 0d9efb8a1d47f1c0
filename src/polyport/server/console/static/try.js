// The page "Try it": presses in their order, and a guard for what is typed while the form is on its way. Without script all of it goes by buttons.
(() => {
  "use strict";
  const form = () => document.querySelector("form[data-trial]");
  const proof = () => JSON.parse(document.body.getAttribute("hx-headers") || "{}");

  // What is pressed is done in order, each press with the form that the one before it left: two at once would leave only what the later one did. What a choice or a
  // letter asks for of itself needs no order: the answer to a press has the form anew as well.
  const own = new Set(["refresh", "preview", "seek", "restore"]);
  const RUNS = new Set(["run", "dry", "next"]);
  let pending = null;  // what was pressed and is under way: its action, its request, whether its answer is put into the page now
  let waiting = [];  // what was pressed since
  const stop = () => { pending = null; waiting = []; };
  const press = (action) => [...document.querySelectorAll("main button[name=do]")].find((each) => each.value === action && !each.disabled)?.click();
  let uploads = 0;  // files that are on their way: what would run without them waits
  const waits = (action) => uploads > 0 && RUNS.has(action);
  const goOn = () => { while (waiting.length && !pending && !waits(waiting[0])) { const action = waiting.shift(); passing = true; press(action); passing = false; } };
  let passing = false;
  document.addEventListener("submit", (event) => {
    if (!event.target.matches("form[data-trial]")) return;
    const action = event.submitter?.value || "refresh";
    if (passing || !(pending || waiting.length || waits(action))) {
      if (!own.has(action)) pending = { action };
      return;
    }
    event.preventDefault();
    event.stopImmediatePropagation();
    const last = waiting.length ? waiting[waiting.length - 1] : pending?.action;
    if (waits(action)) say("Waiting for the file…");
    if (!own.has(action) && (last !== action || action.includes(":"))) waiting.push(action);  // to press "Run" twice is to run once
  }, true);
  document.addEventListener("htmx:confirm", (event) => {
    // What asks for the whole form by itself would take the place of the answer to the press.
    if (pending && event.detail.elt.closest("[data-decides], #texts")) event.preventDefault();
  });
  document.addEventListener("polyport:uploading", () => { uploads += 1; });
  document.addEventListener("polyport:uploaded", () => { uploads -= 1; if (!uploads && waiting.length) { say(""); goOn(); } });
  document.addEventListener("polyport:refused", stop);
  document.addEventListener("htmx:swapError", stop);

  // The row that was meant by a press, after rows were copied, moved or removed; null if it is gone.
  const moved = (path, action, about) => {
    const list = about.replace(/\[\d+\]$/, "");
    if (list === about || !path.startsWith(`${list}[`)) return path;
    const at = Number(about.slice(list.length + 1, -1));
    const [, now, rest] = path.slice(list.length).match(/^\[(\d+)\](.*)$/);
    const row = Number(now);
    if (action === "remove" && row === at) return null;
    const other = action === "up" ? at - 1 : action === "down" ? at + 1 : at;
    let to = row;
    if (action === "remove") to -= row > at;
    else if (action === "copy") to += row > at;
    else if (row === at) to = other;
    else if (row === other) to = at;
    return `${list}[${to}]${rest}`;
  };
  const follow = (done) => {
    const [action, about] = done.split(/:(.*)/);
    waiting = waiting.map((each) => {
      const [name, path] = each.split(/:(.*)/);
      if (about === undefined || path === undefined) return each;
      const now = moved(path, action, about);
      return now === null ? null : `${name}:${now}`;
    }).filter((each) => each !== null);
  };

  // Whoever types while the form is on its way would lose it with the old form: then the answer is thrown away, and asked for once more with what is typed by then.
  // What may be done once only, a run, keeps its answer, and what was typed is put into the new form.
  const once = new Set(["run", "next", "case"]);
  let typed = 0;
  let shown = 0;  // what of it the call beside the form shows
  const touched = new Map();
  let carried = null;
  document.addEventListener("input", (event) => {
    if (!event.target.closest("form[data-trial]")) return;
    typed += 1;
    if (event.target.name && event.target.type !== "file") touched.set(event.target.name, typed);
  }, true);
  // Buttons that stand apart from the form, below what came of a run, press it as those in it do.
  document.addEventListener("htmx:configRequest", (event) => {
    const pressed = event.detail.triggeringEvent?.submitter;
    if (pressed?.name === "do" && event.detail.elt === form()) event.detail.parameters.do = pressed.value;
  });
  document.addEventListener("htmx:beforeRequest", (event) => {
    const { xhr, target, requestConfig } = event.detail;
    const action = requestConfig.parameters.do || "";
    xhr.typed = typed;
    if (target && target.id === "work" && !own.has(action)) pending = { action, xhr };
    if (target && target.id === "work" && RUNS.has(action)) begin(action, xhr);
  });
  const fieldsOf = (name) => [...form().elements].filter((each) => each.name === name);
  const carry = (since) => {
    const names = [...touched].filter(([, at]) => at > since).map(([name]) => name);
    const at = document.activeElement;
    return { at: names.includes(at.name) ? at.name : null, fields: names.map((name) => [name, fieldsOf(name).map((each) => [each.value, each.checked])]) };
  };
  const bring = ({ at, fields }) => {
    for (const [name, were] of fields) {
      fieldsOf(name).forEach((each, index) => {
        const was = /^(checkbox|radio)$/.test(each.type) ? were.find(([value]) => value === each.value) : were[index];
        if (!was) return;
        if (/^(checkbox|radio)$/.test(each.type)) each.checked = was[1];
        else each.value = was[0];
        for (const type of ["input", "change"]) each.dispatchEvent(new Event(type, { bubbles: true }));
      });
    }
    if (at) fieldsOf(at)[0]?.focus();
  };
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { xhr, target, requestConfig } = event.detail;
    if (!target || target.id !== "work" || !event.detail.shouldSwap) return;
    const action = requestConfig.parameters.do || "refresh";
    if (xhr.typed !== typed && !once.has(action)) {
      event.detail.shouldSwap = false;
      xhr.again = true;
      return;
    }
    carried = xhr.typed === typed ? null : carry(xhr.typed);
    xhr.landed = typed;
    pending = { action, xhr, lands: true };  // until it has settled, the form in the page is half the old one
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    const { xhr, requestConfig } = event.detail;
    end(xhr);
    if (pending && pending.xhr === xhr && pending.lands) return;
    if (pending && pending.xhr === xhr) pending = null;
    else if (!xhr.again) return;
    if (!xhr.again) { stop(); return; }
    const action = requestConfig.parameters.do || "refresh";
    const last = form();
    if (!last) { stop(); return; }
    queueMicrotask(() => {  // once the request is over for htmx as well
      if (action !== "refresh") { waiting.unshift(action); goOn(); return; }
      if (!pending) htmx.ajax("POST", last.getAttribute("action"), { source: last, target: "#work", select: "#work", swap: "outerHTML", values: { do: "refresh" } });
    });
  });

  // Where to go on after a row was added or moved, or a run has come back; after faults, the first of them.
  document.addEventListener("htmx:afterSettle", (event) => {
    const { target, xhr } = event.detail;
    if (!target || !["work", "preview"].includes(target.id)) return;
    shown = Math.max(shown, xhr.typed ?? 0);
    compare();
    if (target.id !== "work" || xhr.settled) return;  // it is told of each part that was put in its place
    xhr.settled = true;
    const done = pending && pending.lands ? pending.action : null;
    const typing = carried && carried.at;
    if (done !== null) {
      pending = null;
      follow(done);
    }
    const unheard = [...touched].filter(([, at]) => at > xhr.landed).map(([name]) => name);  // until it has settled nobody hears what is done in the new form
    if (carried) { bring(carried); carried = null; }
    for (const each of unheard.flatMap(fieldsOf)) for (const type of ["input", "change"]) each.dispatchEvent(new Event(type, { bubbles: true }));
    if (waiting.length) { goOn(); return; }
    if (typing) return;
    // What was pressed is gone with its row: one goes on at the last row there is, or where rows are added.
    const removed = (done || "").match(/^remove:(.*)\[\d+\]$/);
    if (removed && document.activeElement === document.body) {
      const buttons = [...document.querySelectorAll("#work button[name=do]")];
      const [last] = buttons.filter((each) => each.value.startsWith(`remove:${removed[1]}[`) && !each.value.slice(removed[1].length + 8).includes(".")).slice(-1);
      (last || buttons.find((each) => each.value === `add:${removed[1]}`))?.focus();
      return;
    }
    const next = document.querySelector("#work [data-focus], #case[data-focus], #outcome[data-focus]") || document.querySelector("#work [aria-invalid=true], #work [data-fault]");
    if (!next) return;
    next.removeAttribute("data-focus");  // what came of a run stays in the page: one is led there once
    const inside = next.matches(".row") ? next.querySelector("input:not([type=hidden]), select:not(.ways), textarea") : null;
    (inside || next).focus({ preventScroll: true });
    next.scrollIntoView({ block: next.matches("[aria-invalid], [data-fault]") ? "center" : "start" });
  });

  // JSON in colours while it is typed: the same text under the box, part by part. What is very long stays plain.
  const parts = /("(?:[^"\\\n]|\\.)*"?)(\s*:)?|-?\d[\d.eE+-]*|\b(?:true|false|null)\b/g;
  const paint = (box) => {
    const editor = box.closest(".editor");
    if (!editor) return;
    const under = editor.querySelector("pre");
    const text = box.value;
    editor.classList.toggle("painting", text.length < 60000);
    if (text.length >= 60000) return;
    const made = document.createDocumentFragment();
    let at = 0;
    for (const found of text.matchAll(parts)) {
      const whole = found[1] || found[0];
      made.append(text.slice(at, found.index));
      const part = document.createElement("span");
      part.className = found[1] ? (found[2] ? "nt" : "s2") : /^[tfn]/.test(whole) ? "kc" : "mi";
      part.textContent = whole;
      made.append(part);
      at = found.index + whole.length;
    }
    made.append(`${text.slice(at)}\n`);
    under.replaceChildren(made);
    under.scrollTop = box.scrollTop;
  };
  const paintAll = () => document.querySelectorAll("textarea[data-json]").forEach(paint);
  document.addEventListener("input", (event) => { if (event.target.matches("textarea[data-json]")) paint(event.target); });
  document.addEventListener("scroll", (event) => {
    if (event.target.matches && event.target.matches("textarea[data-json]")) event.target.previousElementSibling.scrollTop = event.target.scrollTop;
  }, true);
  document.addEventListener("htmx:afterSettle", paintAll);
  paintAll();

  document.addEventListener("change", (event) => {
    const picked = event.target.dataset.picks;
    if (!picked || !event.target.value) return;
    const place = document.getElementById(picked);
    place.value = new Date(event.target.value).toISOString().replace(".000Z", "Z");
    place.dispatchEvent(new Event("input", { bubbles: true }));
    place.focus();
  });
  // A run that takes its time says so, and can be cancelled.
  let ticking = null;
  const say = (words) => {
    const place = document.getElementById("running");
    if (!place) return;
    place.hidden = !words;
    place.querySelector("[role=status]").textContent = words;
    if (!words) place.querySelector(".seconds").textContent = "";
  };
  const begin = (action, xhr) => {
    end();
    const began = Date.now();
    say(action === "dry" ? "Running dry…" : "Running…");
    const cancel = document.getElementById("cancel");
    if (cancel) Object.assign(cancel, { hidden: action === "dry", disabled: false, textContent: "Cancel" });
    form()?.setAttribute("aria-busy", "true");
    const tick = () => {
      const place = document.querySelector("#running .seconds");
      if (place) place.textContent = `${Math.round((Date.now() - began) / 1000)} s`;
    };
    ticking = { xhr, timer: setInterval(tick, 1000) };
  };
  const end = (xhr) => {
    if (!ticking || (xhr && ticking.xhr !== xhr)) return;
    clearInterval(ticking.timer);
    ticking = null;
    form()?.removeAttribute("aria-busy");
    say("");
  };
  document.addEventListener("click", async (event) => {
    if (event.target.id !== "cancel") return;
    Object.assign(event.target, { disabled: true, textContent: "Cancelling…" });
    const body = new URLSearchParams({ nonce: form().elements.nonce.value });
    const asked = fetch(form().dataset.cancels, { method: "POST", body, headers: proof(), credentials: "same-origin" });
    const found = await asked.then((answer) => (answer.ok ? answer.json() : null)).catch(() => null);
    // Not accepted yet, or the server could not do it: it may be pressed again.
    if (!found?.cancelled) Object.assign(event.target, { disabled: false, textContent: "Cancel" });
  });

  // Where nobody knows whether it ran, it is said where one sees that.
  const mayHaveRun = (event) => {
    const { xhr, requestConfig } = event.detail;
    if (!["run", "next"].includes(requestConfig.parameters.do) || (xhr.status > 0 && xhr.status < 500)) return;
    const link = Object.assign(document.createElement("a"), { href: form().dataset.runs, textContent: "see Runs" });
    const words = document.createElement("p");
    words.append("It may have run: ", link, " before you press again.");
    (document.querySelector("#notice .note") || document.getElementById("notice")).append(words);
  };
  document.addEventListener("htmx:responseError", mayHaveRun);
  document.addEventListener("htmx:sendError", (event) => { mayHaveRun(event); document.getElementById("notice").scrollIntoView({ block: "nearest" }); });

  // What came of another input than the one that is there now says so.
  const compare = () => {
    const word = document.getElementById("before");
    if (word) word.hidden = document.getElementById("outcome").dataset.of === document.getElementById("preview")?.dataset.mark;
  };

  // The call is copied as it is typed: where it lags behind, once it has caught up.
  let caught = null;
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copies-from]");
    if (!button || shown === typed || caught === button) return;
    event.stopImmediatePropagation();
    caught = button;
    const after = Date.now() + 4000;
    const look = () => {
      if (shown !== typed && Date.now() < after) { setTimeout(look, 50); return; }
      (document.getElementById(button.id) || button).click();
      caught = null;
    };
    look();
  }, true);

  // Ctrl or Cmd with Enter runs dry. In the fields of a case Enter presses its button: in a form of many buttons it would press the first of them.
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    const save = event.target.closest("#case")?.querySelector("button[value=case]");
    if (save && event.target.matches("input")) { event.preventDefault(); save.click(); return; }
    if (!(event.ctrlKey || event.metaKey) || !event.target.closest("form[data-trial]")) return;
    const dry = document.getElementById("dry");
    if (dry) { event.preventDefault(); dry.click(); }
  });
})();
