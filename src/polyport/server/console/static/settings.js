// What the settings do beyond forms: the connect page's preview follows what one chooses, and files are read into the fields that take their text.
// Without it a logo and a description are pasted, and the preview is shown by a button.
(() => {
  "use strict";
  const later = (work) => {
    let waits = 0;
    return () => { clearTimeout(waits); waits = setTimeout(work, 200); };
  };

  // The preview is the page itself, asked for with the form as it stands.
  const looks = document.querySelector("form[data-previews]");
  let show = () => {};
  if (looks) {
    const button = looks.querySelector("button[data-shows]");
    show = later(() => { if (looks.checkValidity()) looks.requestSubmit(button); });
    looks.addEventListener("input", (event) => {
      if (event.target.matches("[data-colours]")) looks.querySelector("input[name=colored]").checked = true;
      if (!event.target.matches("input[type=file]")) show();
    });
    if (looks.hasAttribute("data-filled")) show();
  }

  // A logo: its bytes, as an address that holds them.
  for (const picked of document.querySelectorAll("[data-reads]")) {
    const field = document.getElementById(picked.dataset.reads);
    picked.addEventListener("change", () => {
      picked.setCustomValidity("");
      field.value = "";
      const [file] = picked.files;
      if (!file) { show(); return; }
      if (file.size > Number(picked.dataset.most)) {
        picked.setCustomValidity("This file has more than 64 KiB.");
        picked.reportValidity();
        return;
      }
      const reader = new FileReader();
      reader.onload = () => {
        field.value = reader.result;
        const unset = looks.querySelector("input[name=unset-logo]");
        if (unset) unset.checked = false;
        show();
      };
      reader.readAsDataURL(file);
    });
  }

  // A description, and the files beside it: the one that says what it is comes first.
  const IS_IT = /^[^]{0,4000}?(^|[{,\s])["']?(openapi|swagger|discoveryVersion)["']?\s*:/;
  for (const picked of document.querySelectorAll("[data-describes]")) {
    const { form } = picked;
    const field = document.getElementById(picked.dataset.describes);
    const beside = form.querySelector("[data-beside]");
    const told = form.querySelector("[data-told]");
    const most = Number(picked.dataset.most);
    const mib = (bytes) => `${(bytes / 1048576).toFixed(1)} MiB`;
    const size = () => new TextEncoder().encode(field.value).length + [...beside.querySelectorAll("textarea")].reduce((sum, each) => sum + new TextEncoder().encode(each.value).length, 0);
    const hold = () => {
      const bytes = size();
      field.setCustomValidity(bytes > most ? `This has ${mib(bytes)}; a description with its files has ${mib(most)} at most.` : "");
      return bytes <= most;
    };
    field.addEventListener("input", later(hold));
    picked.addEventListener("change", async () => {
      beside.replaceChildren();
      told.textContent = "";
      picked.setCustomValidity("");
      const files = [...picked.files];
      if (!files.length) return;
      const bytes = files.reduce((sum, each) => sum + each.size, 0);
      if (bytes > most) {
        picked.setCustomValidity(`These files have ${mib(bytes)}; a description with its files has ${mib(most)} at most.`);
        picked.reportValidity();
        return;
      }
      const read = await Promise.all(files.map(async (file) => [file.name, await file.text()]));
      const at = Math.max(0, read.findIndex(([, text]) => IS_IT.test(text)));
      const [[name, text]] = read.splice(at, 1);
      field.value = text;
      read.forEach(([title, content], index) => {
        const names = Object.assign(document.createElement("input"), { type: "hidden", name: `file.${index}.name`, value: title });
        const texts = Object.assign(document.createElement("textarea"), { name: `file.${index}.text`, hidden: true, value: content });
        beside.append(names, texts);
      });
      told.textContent = read.length ? `${name}, and beside it ${read.map(([title]) => title).join(", ")}.` : `${name}, ${mib(bytes)}.`;
      hold();
    });
  }
})();
