// The connect page's look as one chooses it: a logo is read from a file, the preview follows. Without it a logo is pasted as text.
(() => {
  "use strict";
  const preview = document.querySelector(".preview");
  if (!preview) return;
  const name = document.getElementById("f-name");
  const usual = "Your company";
  name.addEventListener("input", () => { preview.querySelector("[data-name]").textContent = name.value || usual; });
  const colour = document.querySelector("[data-colours]");
  colour.addEventListener("input", () => {
    preview.querySelector("[data-colour]").setAttribute("fill", colour.value);
    document.querySelector("input[name=colored]").checked = true;
  });
  const picked = document.querySelector("[data-reads]");
  const field = document.getElementById(picked.dataset.reads);
  picked.addEventListener("change", () => {
    picked.setCustomValidity("");
    field.value = "";
    const [file] = picked.files;
    if (!file) return;
    if (file.size > Number(picked.dataset.most)) {
      picked.setCustomValidity("This file has more than 64 KiB.");
      picked.reportValidity();
      return;
    }
    const reader = new FileReader();
    reader.onload = () => {
      field.value = reader.result;
      const image = preview.querySelector("[data-logo]");
      image.src = reader.result;
      image.hidden = false;
    };
    reader.readAsDataURL(file);
  });
})();
