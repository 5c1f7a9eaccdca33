// Live regions: elements with [data-live] ask for themselves while somebody looks at the page.

const EVERY = 5;
const BACKOFF = [5, 10, 20, 30];
const STALE_AFTER = 15;

const etags = new Map();
let failures = 0;
let timer = null;
let answeredAt = Date.now();

const regions = () => [...document.querySelectorAll("[data-live]")];
const keyOf = (region) => region.id || region.getAttribute("hx-get");

function refresh() {
  for (const region of regions()) {
    if (!region.classList.contains("htmx-request")) window.htmx?.trigger(region, "refresh");
  }
}

function plan() {
  clearTimeout(timer);
  const wait = failures ? BACKOFF[Math.min(failures - 1, BACKOFF.length - 1)] : EVERY;
  // Many browsers that lost the same server should not come back in the same second.
  const jitter = failures ? Math.random() * wait * 0.3 : 0;
  timer = setTimeout(() => {
    if (!document.hidden) refresh();
    plan();
  }, (wait + jitter) * 1000);
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden || !regions().length) return;
  refresh();
  plan();
});

// ---- Swaps that disturb nobody ----

function inUse(region) {
  const active = document.activeElement;
  if (region.contains(active) && active.matches("input, textarea, select")) return true;
  if (region.querySelector("details[open], dialog[open]")) return true;
  const selection = document.getSelection();
  return Boolean(
    selection && !selection.isCollapsed && selection.rangeCount && region.contains(selection.anchorNode),
  );
}

// Of each region by itself: several are swapped at once, and each settles a moment later.
const focused = new Map();
const sameControl = (one, other) =>
  one.tagName === other.tagName &&
  one.textContent.trim() === other.textContent.trim() &&
  one.getAttribute("href") === other.getAttribute("href");

document.addEventListener("htmx:beforeSwap", (event) => {
  const region = event.detail.requestConfig?.elt;
  if (!region?.matches?.("[data-live]") || event.detail.xhr.status >= 400) return;
  // A 304 arrives here as the cached 200.
  const etag = event.detail.xhr.getResponseHeader("ETag");
  if ((etag && etags.get(keyOf(region)) === etag) || inUse(region)) {
    event.detail.shouldSwap = false;
    return;
  }
  if (etag) etags.set(keyOf(region), etag);
  const active = document.activeElement;
  const element = region.contains(active) ? active : null;
  if (element || region.scrollTop) {
    focused.set(keyOf(region), { element, scroll: region.scrollTop });
  }
});

document.addEventListener("htmx:afterSettle", (event) => {
  const region = event.detail.elt;
  if (!region.matches?.("[data-live]") || !focused.has(keyOf(region))) return;
  const { element, scroll } = focused.get(keyOf(region));
  focused.delete(keyOf(region));
  if (scroll) region.scrollTop = scroll;
  if (element && !element.isConnected) {
    [...region.querySelectorAll("a[href], button, summary, [tabindex]")]
      .find((candidate) => sameControl(candidate, element))
      ?.focus({ preventScroll: true });
  }
});

// ---- The live line ----

function clockNow() {
  return new Date(answeredAt).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });
}

function tell() {
  const age = Math.round((Date.now() - answeredAt) / 1000);
  const stale = age > STALE_AFTER;
  for (const line of document.querySelectorAll("[data-live-line]")) {
    line.toggleAttribute("data-stale", stale);
    line.textContent = stale
      ? `Not live since ${clockNow()}, trying again`
      : `Live, checked ${Math.max(age, 0)} s ago`;
  }
}

document.addEventListener("htmx:afterRequest", (event) => {
  if (!event.detail.requestConfig?.elt?.matches?.("[data-live]")) return;
  if (event.detail.xhr.status >= 200 && event.detail.xhr.status < 400) {
    answeredAt = Date.now();
    if (failures) {
      failures = 0;
      plan();
    }
  } else {
    failures += 1;
    plan();
  }
  tell();
});

if (regions().length) {
  plan();
  setInterval(() => {
    if (!document.hidden) tell();
  }, 1000);
}
