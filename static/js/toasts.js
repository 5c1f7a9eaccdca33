// Toasts: ok ones leave after 5 s, bad ones stay; three at the most.
const MOST = 3;
const LASTS = 5000;

function region() {
  let found = document.getElementById("toasts");
  if (!found) {
    found = document.createElement("div");
    found.id = "toasts";
    found.className = "toasts";
    found.setAttribute("role", "status");
    document.body.append(found);
  }
  // What stands outside an open dialog can be neither reached nor heard.
  const home = document.querySelector("dialog[open]") ?? document.body;
  if (found.parentElement !== home) home.append(found);
  return found;
}

function icon(name) {
  const sprite = document.querySelector("svg.i use")?.getAttribute("href")?.split("#")[0];
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "i");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `${sprite}#i-${name}`);
  svg.append(use);
  return svg;
}

function last(element, lasts = LASTS) {
  if (element.dataset.tone !== "ok") return;
  let left = setTimeout(() => element.remove(), lasts);
  // Reading or pressing takes longer for some.
  element.addEventListener("mouseenter", () => clearTimeout(left));
  element.addEventListener("mouseleave", () => {
    left = setTimeout(() => element.remove(), lasts);
  });
}

export function toast(sentence, tone = "ok", lasts = LASTS) {
  const element = document.createElement("div");
  element.className = "toast";
  element.dataset.tone = tone;
  const text = document.createElement("div");
  text.textContent = sentence;
  const close = document.createElement("button");
  close.type = "button";
  close.className = "btn btn--quiet btn--sm btn--icon";
  close.setAttribute("aria-label", "Close");
  close.dataset.dismiss = "";
  close.append(icon("x"));
  element.append(icon(tone === "ok" ? "s-done" : "s-failed"), text, close);
  const box = region();
  box.append(element);
  while (box.children.length > MOST) {
    (box.querySelector('.toast[data-tone="ok"]') ?? box.firstElementChild).remove();
  }
  last(element, lasts);
  return text;
}

document.addEventListener("toast", (event) => {
  for (const one of event.detail?.toasts ?? []) toast(one.sentence, one.tone);
});

document.addEventListener("click", (event) => {
  event.target.closest("[data-dismiss]")?.closest(".toast, .banner")?.remove();
});

document.addEventListener(
  "close",
  (event) => {
    const box = event.target.querySelector?.("#toasts");
    if (box) document.body.append(box);
  },
  true,
);

for (const element of document.querySelectorAll("#toasts .toast")) last(element);
