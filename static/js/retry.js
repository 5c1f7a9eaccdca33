// The page of an error that may pass tries again by itself.
const button = document.querySelector("[data-retry]");

if (button) {
  let left = Number(button.dataset.retry);
  const note = document.createElement("span");
  note.className = "meta";
  button.after(note);
  const timer = setInterval(() => {
    left -= 1;
    if (left > 0) {
      note.textContent = `Tries again by itself in ${left} s.`;
    } else {
      clearInterval(timer);
      location.replace(button.href);
    }
  }, 1000);
}
