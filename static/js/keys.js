// The keyboard map. Single keys rest while somebody types, and when they are turned off.
//
// [data-key="d"]    a key of this page: moves focus to the button or field; [data-key-press] presses it
// [data-go="i"]     g then i goes there
// [data-rows]       a list or table in which j and k move from link to link
import { openDialog } from "./dialogs.js";

const GO_WAITS = 1500;
let goUntil = 0;

const typing = (element) =>
  element.isContentEditable ||
  (element.matches?.("input, textarea, select") &&
    !["checkbox", "radio", "button", "submit"].includes(element.type));
const visible = (element) => element.checkVisibility?.() ?? element.offsetParent !== null;

function rowLinks() {
  const links = [];
  for (const list of document.querySelectorAll("[data-rows]")) {
    const rows = list.matches("table") ? list.querySelectorAll("tbody tr") : list.children;
    for (const row of rows) {
      const link = row.querySelector("a[href]");
      if (link && visible(link)) links.push(link);
    }
  }
  return links;
}

function move(by) {
  const links = rowLinks();
  if (!links.length) return false;
  const row = document.activeElement?.closest("tr, li");
  const at = links.findIndex((link) => link === document.activeElement || (row && row.contains(link)));
  const next = at < 0 ? (by > 0 ? 0 : links.length - 1) : Math.min(Math.max(at + by, 0), links.length - 1);
  links[next].focus();
  links[next].scrollIntoView({ block: "nearest" });
  return true;
}

function go(key) {
  const link = document.querySelector(`[data-go="${CSS.escape(key)}"]`);
  if (!link) return false;
  location.assign(link.href);
  return true;
}

function pageKey(key) {
  const found = [...document.querySelectorAll(`[data-key="${CSS.escape(key)}"]`)].find(
    (element) => !element.disabled && visible(element),
  );
  if (!found) return false;
  if (found.hasAttribute("data-key-press")) found.click();
  else found.focus();
  return true;
}

function nameOf(element) {
  const named = element.getAttribute("aria-label");
  if (named) return named;
  const label = (element.labels?.[0] ?? element).cloneNode(true);
  for (const mark of label.querySelectorAll("kbd, svg")) mark.remove();
  return label.textContent.trim();
}

function describePageKeys() {
  const list = document.getElementById("keys-here");
  if (!list) return;
  list.replaceChildren(
    ...[...document.querySelectorAll("[data-key]")].map((element) => {
      const pair = document.createElement("div");
      const [term, what, cap] = ["dt", "dd", "kbd"].map((name) => document.createElement(name));
      cap.className = "kbd";
      cap.textContent = element.dataset.key.toUpperCase();
      term.append(cap);
      what.textContent = nameOf(element);
      pair.append(term, what);
      return pair;
    }),
  );
}

function handle(event) {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (key === "k" && (event.ctrlKey || event.metaKey) && !event.altKey) return openDialog("palette");
  if (key === "Escape" && typing(event.target) && !event.target.closest("dialog")) {
    event.target.blur();
    return true;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return false;
  if (document.body.dataset.singleKeys === "off" || document.querySelector("dialog[open]")) return false;
  if (goUntil > performance.now()) {
    goUntil = 0;
    return go(key);
  }
  if (key === "g") {
    goUntil = performance.now() + GO_WAITS;
    return true;
  }
  if (key === "/") return openDialog("palette");
  if (key === "?") {
    describePageKeys();
    return openDialog("keys");
  }
  if (key === "j" || key === "k") return move(key === "j" ? 1 : -1);
  return key.length === 1 && pageKey(key);
}

document.addEventListener("keydown", (event) => {
  if (!event.defaultPrevented && handle(event)) event.preventDefault();
});
document.addEventListener("click", (event) => {
  if (event.target.closest('[data-open="keys"]')) describePageKeys();
});
