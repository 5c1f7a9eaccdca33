// Forms: one press is one request, nothing typed is ever lost, errors stand beside the form.
import { toast } from "./toasts.js";

const tokenMeta = () => document.querySelector('meta[name="csrf-token"]');

document.addEventListener("htmx:configRequest", (event) => {
  if (event.detail.verb !== "get" && tokenMeta()) {
    event.detail.headers["X-CSRFToken"] = tokenMeta().content;
  }
});

// A session that changed brings a new token; with it, pressing again works.
function takeToken(xhr) {
  const token = xhr?.getResponseHeader("X-CSRF-Token");
  if (!token) return;
  if (tokenMeta()) tokenMeta().content = token;
  for (const field of document.querySelectorAll('input[name="csrf_token"]')) field.value = token;
}

// ---- One press, one request ----

const words = new WeakMap();

function lock(form, submitter) {
  form.setAttribute("aria-busy", "true");
  const button = submitter ?? form.querySelector('button[type="submit"], button:not([type])');
  if (!button || button.hasAttribute("aria-busy")) return;
  words.set(form, { button, label: button.innerHTML });
  button.setAttribute("aria-busy", "true");
  const label = [...button.childNodes].find(
    (node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim(),
  );
  if (label) label.textContent = "Saving…";
}

function unlock(form) {
  form.removeAttribute("aria-busy");
  const kept = words.get(form);
  if (!kept) return;
  kept.button.removeAttribute("aria-busy");
  kept.button.innerHTML = kept.label;
  words.delete(form);
}

const formOf = (element) => (element instanceof HTMLFormElement ? element : element?.closest?.("form"));

const BY_HTMX = "[hx-post], [hx-put], [hx-patch], [hx-delete]";

document.addEventListener(
  "submit",
  (event) => {
    if (event.target.getAttribute("aria-busy") !== "true") return;
    event.preventDefault();
    event.stopImmediatePropagation();
  },
  true,
);
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || form.method !== "post" || form.matches(BY_HTMX)) return;
  lock(form, event.submitter);
});
document.addEventListener("htmx:beforeRequest", (event) => {
  const { elt, requestConfig } = event.detail;
  const form = formOf(elt);
  if (!form || requestConfig.verb === "get") return;
  lock(form, requestConfig.triggeringEvent?.submitter);
});

document.addEventListener("htmx:afterRequest", (event) => {
  const form = formOf(event.detail.elt);
  if (form) unlock(form);
  takeToken(event.detail.xhr);
});

// Coming back by the Back button finds the form as it was, not busy.
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll('form[aria-busy="true"]')) unlock(form);
});

// ---- Errors beside the form ----

document.addEventListener("htmx:beforeSwap", (event) => {
  const { xhr, elt, requestConfig } = event.detail;
  if (xhr.status < 400 || !xhr.getResponseHeader("HX-Retarget")) return;
  const dialog = requestConfig?.elt?.closest?.("dialog[open]") ?? elt?.closest?.("dialog[open]");
  const notices = dialog?.querySelector("[data-notices]") ?? document.getElementById("banners");
  if (!notices) return;
  // A live region asks again and again: what it was told once is enough, and that it has no answer
  // says the live line.
  if (requestConfig?.elt?.matches?.("[data-live]")) {
    if (xhr.status >= 500 || notices.dataset.told === String(xhr.status)) {
      event.detail.shouldSwap = false;
      return;
    }
    notices.dataset.told = xhr.status;
  }
  event.detail.target = notices;
  event.detail.shouldSwap = true;
  event.detail.isError = true;
});

document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target?.matches?.("[data-notices]")) {
    event.detail.target.scrollIntoView({ block: "nearest" });
  }
});

// ---- No answer, or a broken one: the text stays, and the request is sent again by itself ----

const WAITS = [5, 10, 20, 30];
const tries = new WeakMap();

function resend(form, xhr) {
  const count = tries.get(form) ?? 0;
  const wait = Number(xhr?.getResponseHeader("Retry-After")) || WAITS[Math.min(count, WAITS.length - 1)];
  tries.set(form, count + 1);
  // Only a form with an idempotency key may be repeated without asking.
  const repeats = form.querySelector('input[name="idempotency_key"]') !== null;
  if (!repeats) {
    toast("Not saved: no answer. Your text is kept. Press the button again.", "bad");
    return;
  }
  let left = wait;
  const say = () => `Not saved: no answer. Your text is kept. Trying again in ${left} s.`;
  const text = toast(say(), "bad");
  const timer = setInterval(() => {
    left -= 1;
    if (!form.isConnected || !text.isConnected) {
      clearInterval(timer);
    } else if (left > 0) {
      text.textContent = say();
    } else {
      clearInterval(timer);
      text.closest(".toast").remove();
      form.requestSubmit();
    }
  }, 1000);
}

for (const name of ["htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(name, (event) => {
    const form = formOf(event.detail.elt);
    if (form && event.detail.requestConfig?.verb !== "get") resend(form, null);
  });
}
document.addEventListener("htmx:responseError", (event) => {
  const { xhr, elt, requestConfig } = event.detail;
  const form = formOf(elt);
  const gateway = xhr.status >= 502 && xhr.status <= 504 && !xhr.getResponseHeader("HX-Retarget");
  if (form && gateway && requestConfig?.verb !== "get") resend(form, xhr);
  else if (!xhr.getResponseHeader("HX-Retarget") && !elt.matches("[data-live]")) {
    toast("That did not work. Nothing was saved; your text is kept.", "bad");
  }
});
document.addEventListener("htmx:afterRequest", (event) => {
  const form = formOf(event.detail.elt);
  if (form && event.detail.xhr.status >= 200 && event.detail.xhr.status < 400) tries.delete(form);
});

// A typed confirmation unlocks its button; the server checks it again.
document.addEventListener("input", (event) => {
  const field = event.target.closest("[data-confirm]");
  if (!field) return;
  const button = document.querySelector(field.dataset.unlocks);
  if (button) button.disabled = field.value.trim() !== field.dataset.confirm;
});
