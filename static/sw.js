// Keeps the pages of runs, and the files they need, for when there is no network. Everything else
// goes to the server as if this were not here.

const FILES = "files __RELEASE__";
const PAGES = "pages";
const MOST_PAGES = 6;
const FOLLOWED = /^\/(?:runs|incidents)\/\d+$/;

self.addEventListener("install", () => self.skipWaiting());

self.addEventListener("activate", (event) => {
  const old = async () => {
    const names = await caches.keys();
    await Promise.all(names.filter((name) => ![FILES, PAGES].includes(name)).map((name) => caches.delete(name)));
    await self.clients.claim();
  };
  event.waitUntil(old());
});

async function keepPage(path) {
  const answer = await fetch(path, { headers: { Accept: "text/html" }, credentials: "same-origin" });
  // Where it leads to the sign-in page there is nothing to keep.
  if (!answer.ok || answer.redirected) return;
  const pages = await caches.open(PAGES);
  await pages.delete(path);
  await pages.put(path, answer);
  const kept = await pages.keys();
  await Promise.all(kept.slice(0, -MOST_PAGES).map((request) => pages.delete(request)));
}

async function keepFiles(paths) {
  const files = await caches.open(FILES);
  for (const path of paths) {
    if (!(await files.match(path))) await files.add(path).catch(() => null);
  }
}

self.addEventListener("message", (event) => {
  const { keep, files } = event.data ?? {};
  if (typeof keep !== "string" || !FOLLOWED.test(keep)) return;
  // A page that is kept has what it needs.
  event.waitUntil(keepFiles(files ?? []).then(() => keepPage(keep)).catch(() => null));
});

async function page(request, path) {
  try {
    return await fetch(request);
  } catch (error) {
    const kept = await caches.match(path, { cacheName: PAGES });
    if (kept) return kept;
    throw error;
  }
}

async function file(request, path) {
  const kept = await caches.match(path, { cacheName: FILES });
  return kept ?? fetch(request);
}

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (url.origin !== location.origin) return;
  // What a page shows may not outlive its sign-in.
  if (url.pathname === "/sign-out" || (request.mode === "navigate" && url.pathname === "/sign-in")) {
    event.waitUntil(caches.delete(PAGES));
    return;
  }
  if (request.method !== "GET") return;
  if (request.mode === "navigate" && FOLLOWED.test(url.pathname)) {
    event.respondWith(page(request, url.pathname));
  } else if (url.pathname.startsWith("/static/")) {
    event.respondWith(file(request, url.pathname));
  }
});
