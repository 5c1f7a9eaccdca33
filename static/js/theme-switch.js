// The button that goes from the system's theme to light, to dark and back.
const THEMES = ["system", "light", "dark"];
const root = document.documentElement;

function current() {
  return root.dataset.theme ?? "system";
}

function show() {
  const name = current() === "system" ? "Theme: follow the system" : `Theme: ${current()}`;
  for (const button of document.querySelectorAll("[data-theme-switch]")) {
    button.setAttribute("aria-label", name);
    button.title = name;
  }
}

document.addEventListener("click", (event) => {
  if (!event.target.closest("[data-theme-switch]")) return;
  const next = THEMES[(THEMES.indexOf(current()) + 1) % THEMES.length];
  if (next === "system") delete root.dataset.theme;
  else root.dataset.theme = next;
  try {
    localStorage.setItem("theme", next);
  } catch {
    // Not kept; it holds for this page.
  }
  show();
});

show();
