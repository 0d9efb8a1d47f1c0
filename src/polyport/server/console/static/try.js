// The page "Try it": uploads of files, and a guard for what is typed while the form is on its way. Without script files are given by address, the rest by buttons.
(() => {
  "use strict";
  const form = () => document.querySelector("form[data-trial]");
  const proof = () => JSON.parse(document.body.getAttribute("hx-headers") || "{}");

  // What is pressed is done in order, each press with the form that the one before it left: two at once would leave only what the later one did. What a choice or a
  // letter asks for of itself needs no order: the answer to a press has the form anew as well.
  const own = new Set(["refresh", "preview", "seek"]);
  let pending = null;  // what was pressed and is under way: its action, its request, whether its answer is put into the page now
  let waiting = [];  // what was pressed since
  const stop = () => { pending = null; waiting = []; };
  const press = (action) => [...document.querySelectorAll("#work button[name=do]")].find((each) => each.value === action && !each.disabled)?.click();
  const goOn = () => { while (waiting.length && !pending) { const action = waiting.shift(); passing = true; press(action); passing = false; } };
  let passing = false;
  document.addEventListener("submit", (event) => {
    if (!event.target.matches("form[data-trial]")) return;
    const action = event.submitter?.value || "refresh";
    if (passing || !(pending || waiting.length)) {
      if (!own.has(action)) pending = { action };
      return;
    }
    event.preventDefault();
    event.stopImmediatePropagation();
    const last = waiting.length ? waiting[waiting.length - 1] : pending.action;
    if (!own.has(action) && (last !== action || action.includes(":"))) waiting.push(action);  // to press "Run" twice is to run once
  }, true);
  document.addEventListener("htmx:confirm", (event) => {
    if (pending && event.detail.elt.closest("[data-decides]")) event.preventDefault();
  });
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
  const once = new Set(["run", "case"]);
  let typed = 0;
  const touched = new Map();
  let carried = null;
  document.addEventListener("input", (event) => {
    if (!event.target.closest("form[data-trial]")) return;
    typed += 1;
    if (event.target.name && event.target.type !== "file") touched.set(event.target.name, typed);
  }, true);
  document.addEventListener("htmx:beforeRequest", (event) => {
    const { xhr, target, requestConfig } = event.detail;
    const action = requestConfig.parameters.do || "";
    xhr.typed = typed;
    if (target && target.id === "work" && !own.has(action)) pending = { action, xhr };
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
    pending = { action, xhr, lands: true };  // until it has settled, the form in the page is half the old one
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    const { xhr, requestConfig } = event.detail;
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
    if (!event.detail.target || event.detail.target.id !== "work") return;
    const done = pending && pending.lands ? pending.action : null;
    const typing = carried && carried.at;
    if (done !== null) {
      pending = null;
      follow(done);
    }
    if (carried) { bring(carried); carried = null; }
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
    const next = document.querySelector("#work [data-focus]") || document.querySelector("#work [aria-invalid=true], #work [data-fault]");
    if (!next) return;
    const inside = next.matches(".row") ? next.querySelector("input:not([type=hidden]), select:not(.ways), textarea") : null;
    (inside || next).focus({ preventScroll: true });
    next.scrollIntoView({ block: next.matches("[aria-invalid], [data-fault]") ? "center" : "start" });
  });

  const upload = async (field) => {
    const file = field.files[0];
    const place = field.dataset.uploads;
    const text = field.closest(".field").querySelector("input[name]");
    if (!file || !text) return;
    const told = field.closest("label");
    const say = (words) => { let said = told.querySelector("span"); if (!said) { said = document.createElement("span"); said.setAttribute("role", "status"); told.append(said); } said.textContent = words; };
    say("Uploading…");
    const bytes = new Uint8Array(await file.arrayBuffer());
    let binary = "";
    for (let at = 0; at < bytes.length; at += 32768) binary += String.fromCharCode(...bytes.subarray(at, at + 32768));
    const body = new URLSearchParams({ name: file.name, contentType: file.type || "application/octet-stream", base64: btoa(binary) });
    const answer = await fetch(form().dataset.files, { method: "POST", body, headers: proof(), credentials: "same-origin" }).catch(() => null);
    if (!answer || !answer.ok) { say(answer && answer.status === 413 ? "The file is too large." : "That did not work."); return; }
    const { fileId } = await answer.json();
    const ways = document.getElementsByName("how:" + place)[0];
    text.name = "f:" + place;
    text.value = fileId;
    if (ways) ways.value = "fileId";
    say(`${file.name} is kept as ${fileId}.`);
    text.dispatchEvent(new Event("input", { bubbles: true }));
  };
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
  document.addEventListener("change", (event) => { if (event.target.matches("input[type=file][data-uploads]")) upload(event.target); });

  // Ctrl or Cmd with Enter runs dry.
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || !event.target.closest("form[data-trial]")) return;
    const dry = document.getElementById("dry");
    if (dry) { event.preventDefault(); dry.click(); }
  });
})();
