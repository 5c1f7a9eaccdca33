// Native dialogs. [data-open="id"] opens, [data-close] closes. Focus goes to the
// field that [data-field] names, or to the first.
// Without a script the same links show the dialog as the target of its address.

const FIELD = "input:not([type=hidden]), select, textarea";

export function openDialog(id, field) {
  const dialog = document.getElementById(id);
  if (!(dialog instanceof HTMLDialogElement) || dialog.open) return false;
  for (const other of document.querySelectorAll("dialog[open]")) other.close();
  dialog.showModal();
  const first =
    document.getElementById(field) ??
    dialog.querySelector("[data-focus]") ??
    dialog.querySelector('[aria-invalid="true"], [autofocus]') ??
    dialog.querySelector(`.dialog__body :is(${FIELD}), .palette__q input`);
  first?.focus();
  return true;
}

document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-open]");
  if (opener && !event.ctrlKey && !event.metaKey) {
    const { open, field } = opener.dataset;
    if (openDialog(open, field)) {
      event.preventDefault();
      return;
    }
  }
  const closer = event.target.closest("[data-close]");
  const dialog = closer?.closest("dialog");
  if (dialog) {
    event.preventDefault();
    dialog.close();
  }
});

// A press on the backdrop reaches the dialog itself. Text that was typed is worth more than that.
document.addEventListener("mousedown", (event) => {
  const dialog = event.target;
  if (!(dialog instanceof HTMLDialogElement) || !dialog.open) return;
  const box = dialog.getBoundingClientRect();
  const inside =
    event.clientX >= box.left &&
    event.clientX <= box.right &&
    event.clientY >= box.top &&
    event.clientY <= box.bottom;
  const typed = [...dialog.querySelectorAll("textarea, input:not([type=hidden])")].some(
    (field) => field.value !== field.defaultValue && field.type !== "search",
  );
  if (!inside && !typed) dialog.close();
});

// One menu at a time, and none once its work is done.
document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details[data-menu][open]")) {
    if (!menu.contains(event.target) || event.target.closest(".menu a, .menu button")) {
      menu.open = false;
    }
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const menu = document.querySelector("details[data-menu][open]");
  if (!menu) return;
  menu.open = false;
  menu.querySelector("summary").focus();
});

// A dialog whose form was taken has done its work.
document.addEventListener("htmx:afterRequest", (event) => {
  const dialog = event.detail.elt?.closest?.("dialog[open]");
  const { xhr, requestConfig } = event.detail;
  const taken = xhr.status >= 200 && xhr.status < 400 && requestConfig?.verb !== "get";
  if (dialog && taken) dialog.close();
});

// Focus the summary of a form that came back.
export function focusSummary(root) {
  root.querySelector?.("[data-focus]")?.focus();
}
document.addEventListener("htmx:afterSettle", (event) => focusSummary(event.detail.elt));
focusSummary(document);

// A dialog that asks again because of an error came open; or the address names one.
const asking = document.querySelector("dialog[open]");
if (asking) {
  asking.close();
  openDialog(asking.id);
} else if (location.hash.length > 1 && openDialog(decodeURIComponent(location.hash.slice(1)))) {
  // While it is the target of the address, style sheets keep it on the page.
  location.replace("#");
}
