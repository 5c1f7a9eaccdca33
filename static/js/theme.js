// Runs in the head, before the first paint: no flash of the other theme.
(function () {
  "use strict";
  try {
    var theme = localStorage.getItem("theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch (error) {
    // No storage, as in a locked-down browser: the system decides.
  }
})();
