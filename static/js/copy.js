// Copies a command as it is filled in: no prompt, no markup.
import { toast } from "./toasts.js";

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const source = button.dataset.copy
    ? document.querySelector(button.dataset.copy)
    : button.closest(".cmd")?.querySelector("code");
  if (!source) return;
  try {
    await navigator.clipboard.writeText(source.value ?? source.textContent);
    toast("Copied.");
  } catch {
    document.getSelection().selectAllChildren(button.closest(".cmd")?.querySelector("code") ?? source);
    toast("The browser refused to copy. The text is selected: copy it by hand.", "bad");
  }
});
