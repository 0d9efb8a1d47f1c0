// Uploads of files to try an operation with: the bytes go to the server as they are, the id that it keeps them by goes into the form.
(() => {
  "use strict";
  const form = () => document.querySelector("form[data-trial]");
  const proof = () => JSON.parse(document.body.getAttribute("hx-headers") || "{}");
  const size = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;
  const tell = (what, detail) => document.dispatchEvent(new CustomEvent(`polyport:${what}`, { detail }));

  // The form may be another one by the time a file has arrived: its field is looked for anew each time.
  const fieldOf = (place) => [...document.querySelectorAll("input[type=file][data-uploads]")].find((each) => each.dataset.uploads === place);
  const say = (place, words) => {
    const said = fieldOf(place)?.closest("label").querySelector("[role=status]");
    if (said) said.textContent = words;
  };
  const refusals = {
    401: "You are signed out: nothing was kept.",
    403: "You may not keep files: nothing was kept.",
    429: "Too much was asked for at once: wait a moment, then choose it again.",
  };
  const send = async (place, file, most) => {
    const large = `The file has ${size(file.size)}: up to ${size(most)} are taken.`;
    if (file.size > most) { say(place, large); return; }
    say(place, `Uploading ${file.name}…`);
    const headers = { ...proof(), "Content-Type": "application/octet-stream", "X-File-Name": encodeURIComponent(file.name), "X-File-Type": file.type };
    const answer = await fetch(form().dataset.files, { method: "POST", body: file, headers, credentials: "same-origin" }).catch(() => null);
    if (!answer || !answer.ok) {
      const request = answer && answer.headers.get("X-Request-Id");
      say(place, !answer ? "The server does not answer: nothing was kept." : answer.status === 413 ? large : refusals[answer.status] || `That did not work (${answer.status}${request ? `, request ${request}` : ""}).`);
      return;
    }
    const { fileId } = await answer.json();
    say(place, `${file.name} is kept as ${fileId}.`);
    const ways = document.getElementsByName(`how:${place}`)[0];
    const text = fieldOf(place)?.closest(".field").querySelector("input[name]");
    if (!text) return;
    text.name = `f:${place}`;
    text.value = fileId;
    if (ways) ways.value = "fileId";
    for (const each of [text, ways]) each?.dispatchEvent(new Event("input", { bubbles: true }));
  };
  document.addEventListener("change", async (event) => {
    if (!event.target.matches("input[type=file][data-uploads]")) return;
    const [file] = event.target.files;
    if (!file) return;
    tell("uploading");
    await send(event.target.dataset.uploads, file, Number(event.target.dataset.most)).finally(() => tell("uploaded"));
  });
})();
