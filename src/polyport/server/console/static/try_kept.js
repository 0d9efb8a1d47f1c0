// What a form was filled in with outlives a reload and the way back to it: this tab keeps it, for who is signed in, without secrets. It is in no address.
(() => {
  "use strict";
  const form = () => document.querySelector("form[data-trial]");
  const nameOf = (shown) => `polyport.try.${shown.dataset.trial}`;
  const LONGEST = 500000;
  const passing = new Set(["csrf", "nonce", "confirm", "do", "following", "seek", "texts"]);
  // In JSON secrets may stand as well, where an operation has some: then none of it is kept.
  const isKept = (shown, name) => !passing.has(name) && ![...shown.elements].some((each) => each.name === name && /^(password|file)$/.test(each.type))
    && !("secretive" in shown.dataset && /^(text$|j:|more:)/.test(name));

  const keep = () => {
    const shown = form();
    if (!shown) return;
    const pairs = [...new FormData(shown)].filter(([name]) => isKept(shown, name));
    const text = JSON.stringify({ member: document.body.dataset.member, pairs });
    try {
      if (text.length <= LONGEST) sessionStorage.setItem(nameOf(shown), text);
      else sessionStorage.removeItem(nameOf(shown));
    } catch { /* A browser that keeps nothing. */ }
  };
  const kept = (shown) => {
    try {
      const found = JSON.parse(sessionStorage.getItem(nameOf(shown)) || "null");
      return found && found.member === document.body.dataset.member ? found.pairs : null;
    } catch {
      return null;
    }
  };

  const comeBack = () => {
    const shown = form();
    const [how] = performance.getEntriesByType("navigation");
    const pairs = shown && how && ["reload", "back_forward"].includes(how.type) ? kept(shown) : null;
    if (!pairs) return;
    const values = new FormData();
    for (const [name, text] of pairs) values.append(name, text);
    values.set("do", "restore");
    htmx.ajax("POST", shown.getAttribute("action"), { source: shown, target: "#work", select: "#work", swap: "outerHTML", values });
  };
  let later = null;
  document.addEventListener("input", (event) => {
    if (!event.target.form?.matches("form[data-trial]")) return;
    clearTimeout(later);
    later = setTimeout(keep, 200);
  });
  document.addEventListener("htmx:afterSettle", (event) => { if (event.detail.target?.id === "work") keep(); });
  addEventListener("pagehide", () => { if (later !== null) keep(); });
  comeBack();
})();
