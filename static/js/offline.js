// Answers that have not reached the server yet. They wait in this browser, in their order, and are
// sent with the ids they were given, so that none is lost and none counts twice.

const NAME = "baton";
const STORE = "answers";

function open() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () =>
      request.result.createObjectStore(STORE, { keyPath: "id", autoIncrement: true });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function work(mode, act) {
  const database = await open();
  try {
    return await new Promise((resolve, reject) => {
      const transaction = database.transaction(STORE, mode);
      const request = act(transaction.objectStore(STORE));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onerror = () => reject(transaction.error);
      transaction.onabort = () => reject(transaction.error);
    });
  } finally {
    database.close();
  }
}

export const keep = (answer) => work("readwrite", (store) => store.add(answer));
export const drop = (id) => work("readwrite", (store) => store.delete(id));

// Only what this person said in this run: another one at this machine must not speak for them.
export async function waiting(run, person) {
  const all = await work("readonly", (store) => store.getAll());
  return all.filter((answer) => answer.run === run && answer.person === person);
}

// ---- The page and its files, for when there is no network ----

export async function keepPage() {
  if (!("serviceWorker" in navigator)) return;
  try {
    await navigator.serviceWorker.register("/sw.js", { scope: "/" });
    const { active } = await navigator.serviceWorker.ready;
    const files = performance
      .getEntriesByType("resource")
      .map((entry) => new URL(entry.name))
      .filter((url) => url.origin === location.origin && url.pathname.startsWith("/static/"))
      .map((url) => url.pathname);
    active.postMessage({ keep: location.pathname, files: [...new Set(files)] });
  } catch {
    // A browser that keeps nothing; the run works as long as there is a network.
  }
}
