// Tabs over panels, and the views of a page on a phone.

function choose(tab) {
  for (const other of tab.closest('[role="tablist"]').querySelectorAll('[role="tab"]')) {
    const chosen = other === tab;
    other.setAttribute("aria-selected", String(chosen));
    other.tabIndex = chosen ? 0 : -1;
    const panel = document.getElementById(other.getAttribute("aria-controls"));
    if (panel) panel.hidden = !chosen;
  }
}

// Without a script all panels are shown, so the script hides them.
function prepare(root) {
  for (const tab of root.querySelectorAll('[role="tab"][aria-selected="true"]')) choose(tab);
}

document.addEventListener("click", (event) => {
  const tab = event.target.closest('[role="tab"]');
  if (tab) choose(tab);
  const view = event.target.closest("[data-view][data-for]");
  if (!view) return;
  const shown = document.querySelector(view.dataset.for);
  if (shown) shown.dataset.view = view.dataset.view;
  for (const other of view.parentElement.querySelectorAll("[data-view]")) {
    other.setAttribute("aria-pressed", String(other === view));
  }
});

document.addEventListener("keydown", (event) => {
  if (!event.target.matches?.('[role="tab"]')) return;
  const tabs = [...event.target.closest('[role="tablist"]').querySelectorAll('[role="tab"]')];
  const at = tabs.indexOf(event.target);
  const to = {
    ArrowRight: (at + 1) % tabs.length,
    ArrowLeft: (at + tabs.length - 1) % tabs.length,
    Home: 0,
    End: tabs.length - 1,
  }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  tabs[to].focus();
  choose(tabs[to]);
});

// What the address names, or what needs the reader, may stand in a view that is not shown.
function reveal(element) {
  const pane = element?.closest("[data-pane]");
  if (!pane || pane.checkVisibility()) return;
  document.querySelector(`[data-for][data-view="${pane.dataset.pane}"]`)?.click();
  element.scrollIntoView();
}
const named = () =>
  location.hash.length > 1 ? document.getElementById(decodeURIComponent(location.hash.slice(1))) : null;
window.addEventListener("hashchange", () => reveal(named()));

document.addEventListener("htmx:afterSettle", (event) => prepare(event.detail.elt));
prepare(document);
reveal(document.querySelector("[data-pane] [data-focus]") ?? named());

// The tab of this page may stand beyond the edge of a phone.
for (const tab of document.querySelectorAll(".tabs > [aria-current]")) {
  tab.scrollIntoView({ block: "nearest", inline: "center" });
}
