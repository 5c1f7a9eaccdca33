// The palette: filters the pages it knows at once, and asks the server for the rest.
const WAITS = 200;

const field = document.querySelector("[data-palette]");
const found = document.getElementById("palette-found");
const pages = document.getElementById("palette-pages");
let timer = null;
let asked = null;

const choices = () =>
  [...document.querySelectorAll("#palette .menu > li > :is(a, button)")].filter(
    (choice) => !choice.parentElement.hidden,
  );

function mark(choice) {
  for (const other of choices()) other.classList.toggle("is-active", other === choice);
  choice?.scrollIntoView({ block: "nearest" });
}

function filter(text) {
  const wanted = text.trim().toLowerCase();
  let heading = null;
  for (const item of pages.children) {
    if (item.matches(".palette__h")) {
      heading = item;
      heading.hidden = true;
      continue;
    }
    item.hidden = !item.textContent.toLowerCase().includes(wanted);
    if (!item.hidden && heading) heading.hidden = false;
  }
  mark(choices()[0]);
}

async function ask(text) {
  asked?.abort();
  if (!text.trim() || !field.dataset.search) {
    found.replaceChildren();
    return;
  }
  asked = new AbortController();
  const url = new URL(field.dataset.search, location.href);
  url.searchParams.set("q", text);
  try {
    const reply = await fetch(url, { headers: { "HX-Request": "true" }, signal: asked.signal });
    if (!reply.ok) return;
    const part = new DOMParser().parseFromString(await reply.text(), "text/html");
    const items = [...part.querySelectorAll("a[href]")].map((link) => {
      const item = document.createElement("li");
      item.append(document.adoptNode(link));
      return item;
    });
    if (items.length) {
      const heading = document.createElement("li");
      heading.className = "palette__h";
      heading.textContent = "Found";
      items.unshift(heading);
    }
    found.replaceChildren(...items);
    mark(choices()[0]);
  } catch {
    // Asked again with the next letter; Enter opens the page of the search.
  }
}

if (field) {
  field.addEventListener("input", () => {
    filter(field.value);
    clearTimeout(timer);
    timer = setTimeout(() => ask(field.value), WAITS);
  });
  field.addEventListener("keydown", (event) => {
    const all = choices();
    const at = all.findIndex((choice) => choice.classList.contains("is-active"));
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      mark(all[(at + (event.key === "ArrowDown" ? 1 : all.length - 1)) % all.length]);
    } else if (event.key === "Enter" && at >= 0) {
      event.preventDefault();
      all[at].click();
    }
  });
}
