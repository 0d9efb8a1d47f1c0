// The page "Try it": uploads of files, and a guard for what is typed while the form is on its way. Without script files are given by address, the rest by buttons.
(() => {
  "use strict";
  const form = () => document.querySelector("form[data-trial]");
  const proof = () => JSON.parse(document.body.getAttribute("hx-headers") || "{}");

  // Whoever types while the form is asked for anew would lose it with the old form: then the answer is thrown away, and asked for once more.
  let typed = 0;
  document.addEventListener("input", (event) => { if (event.target.closest("form[data-trial]")) typed += 1; }, true);
  document.addEventListener("htmx:beforeRequest", (event) => { event.detail.xhr.typed = typed; });
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { xhr, target, requestConfig } = event.detail;
    if (!target || target.id !== "work" || xhr.typed === typed) return;
    const action = requestConfig.parameters.do || "";
    if (action !== "refresh") return;
    event.detail.shouldSwap = false;
    const last = form();
    if (last) htmx.ajax("POST", last.getAttribute("action"), { source: last, target: "#work", select: "#work", swap: "outerHTML", values: { do: "refresh" } });
  });

  // What a choice asks for of itself, a moment later, must not take the place of what was pressed meanwhile: the answer to that has the form anew as well.
  const own = new Set(["refresh", "preview", "seek"]);
  let pressed = null;
  document.addEventListener("htmx:beforeRequest", (event) => {
    const { xhr, target, requestConfig } = event.detail;
    if (target && target.id === "work" && !own.has(requestConfig.parameters.do || "")) pressed = xhr;
  });
  document.addEventListener("htmx:afterRequest", (event) => { if (event.detail.xhr === pressed) pressed = null; });
  document.addEventListener("htmx:confirm", (event) => {
    if (pressed && event.detail.elt.closest("[data-decides]")) event.preventDefault();
  });

  // Where to go on after a row was added or moved, or a run has come back; after faults, the first of them.
  document.addEventListener("htmx:afterSettle", (event) => {
    if (!event.detail.target || event.detail.target.id !== "work") return;
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
