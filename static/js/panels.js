// The button that makes panels says how many.
document.addEventListener("change", (event) => {
  const form = event.target.closest("form[data-counts]");
  if (!form || event.target.name !== "take") return;
  const count = form.querySelectorAll('input[name="take"]:checked').length;
  const words = form.querySelector("[data-count]");
  const again = words.dataset.again ? (count === 1 ? " as it is" : " as they are") : "";
  words.textContent = `Make ${count === 1 ? "1 panel" : `${count} panels`}${again}`;
});
