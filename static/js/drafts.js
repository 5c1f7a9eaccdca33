// A text that is being written outlives its page: another form of it that is sent, a sign-in in
// between, a slip of the hand. It is kept in this tab only.
//
// [data-draft="7 note INC-214"]   the name that it is kept by: whose it is, and what
// [data-draft-taken="#timeline"]  where the server leads once it has taken the text
// form[data-forgets]              signs out: the next person at this machine is not to read it

function keep(field) {
  const name = `draft ${field.dataset.draft}`;
  const sent = `${name}, sent`;
  const taken = sessionStorage.getItem(sent) !== null && location.hash === field.dataset.draftTaken;
  if (taken) sessionStorage.removeItem(name);
  else if (!field.value) field.value = sessionStorage.getItem(name) ?? "";
  sessionStorage.removeItem(sent);
  field.addEventListener("input", () => sessionStorage.setItem(name, field.value));
  field.form.addEventListener("submit", () => {
    sessionStorage.setItem(sent, "yes");
    // The server led here once before; if it does not answer now, nothing was taken.
    history.replaceState(history.state, "", location.pathname + location.search);
  });
}

try {
  document.querySelectorAll("[data-draft]").forEach(keep);
  document.querySelectorAll("form[data-forgets]").forEach((form) => {
    form.addEventListener("submit", () => sessionStorage.clear());
  });
} catch {
  // No storage, as in a locked-down browser.
}
