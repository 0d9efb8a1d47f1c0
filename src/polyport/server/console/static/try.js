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

  // Where to go on after a row was added or moved, or a run has come back; after faults, the first of them.
  document.addEventListener("htmx:afterSettle", (event) => {
    if (!event.detail.target || event.detail.target.id !== "work") return;
    const next = document.querySelector("#work [data-focus]") || document.querySelector("#work [aria-invalid=true]");
    if (!next) return;
    const inside = next.matches(".row") ? next.querySelector("input:not([type=hidden]), select:not(.ways), textarea") : null;
    (inside || next).focus({ preventScroll: true });
    next.scrollIntoView({ block: next.matches("[aria-invalid]") ? "center" : "start" });
  });

  const upload = async (field) => {
    const file = field.files[0];
    const place = field.dataset.uploads;
    const text = document.getElementById(field.closest(".field").querySelector("input[name]").id);
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
  document.addEventListener("change", (event) => { if (event.target.matches("input[type=file][data-uploads]")) upload(event.target); });

  // Tab leaves a box for JSON, as everywhere; Ctrl or Cmd with Enter runs dry.
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || !event.target.closest("form[data-trial]")) return;
    const dry = document.getElementById("dry");
    if (dry) { event.preventDefault(); dry.click(); }
  });
})();
