// What makes the page nicer. Everything works without it.
"use strict";

(() => {
  const facts = document.body.dataset;

  // A person looks at the page: link previews of chats and mail programs fetch it, but run no script.
  if (facts.opened) {
    const form = document.querySelector("form");
    if (form) {
      const told = new URLSearchParams({ id: form.elements.id.value, token: form.elements.token.value });
      fetch(facts.opened, { method: "POST", body: told, keepalive: true }).catch(() => {});
    }
  }

  // Secrets can be looked at by who typed them.
  for (const button of document.querySelectorAll(".reveal")) {
    const field = document.getElementById(button.getAttribute("aria-controls"));
    const show = (shown) => {
      if (field.tagName === "TEXTAREA") field.classList.toggle("veiled", !shown);
      else field.type = shown ? "text" : "password";
      button.setAttribute("aria-pressed", String(shown));
      button.textContent = shown ? button.dataset.hide : button.dataset.show;
    };
    button.hidden = false;
    show(false);
    button.addEventListener("click", () => show(button.getAttribute("aria-pressed") !== "true"));
    if (field.form) field.form.addEventListener("submit", () => show(false));
  }

  // One click, one request; and a word while it takes its time.
  const form = document.querySelector("form");
  if (form) {
    const button = form.querySelector("button.main");
    form.addEventListener("submit", (event) => {
      if (button.getAttribute("aria-disabled") === "true") {
        event.preventDefault();
        return;
      }
      button.setAttribute("aria-disabled", "true");
      document.getElementById("status").textContent = facts.checking;
    });
    window.addEventListener("pageshow", () => {
      button.removeAttribute("aria-disabled");
      document.getElementById("status").textContent = "";
    });
  }

  // On to the partner's sign-in.
  if (facts.hop) window.location.replace(facts.hop);

  // The end: tell the window that opened this one, if it is of an origin that the account allows; else go back there.
  if (facts.message) {
    const opener = window.opener;
    if (opener) {
      for (const origin of JSON.parse(facts.origins)) opener.postMessage(JSON.parse(facts.message), origin);
    } else if (facts.back) {
      setTimeout(() => window.location.replace(facts.back), 1500);
    }
  }
})();
