// Following a run. Each form works without this; with it the page stays where it is, keys press the
// buttons of the current step, and what can't be sent is kept and sent later.
import { now } from "./clocks.js";
import { openDialog } from "./dialogs.js";
import { drop, keep, keepPage, waiting } from "./offline.js";
import { toast } from "./toasts.js";

const HERE_EVERY = 15_000;
const WAITS = [2, 5, 10, 20, 30];
const KEEPS_AFTER = 8_000; // what others did
const KEEPS_MINE_AFTER = 1_000;
const TAKE_BACK_LASTS = 10_000;

const column = () => document.getElementById("run-column");
const token = () => document.querySelector('meta[name="csrf-token"]');
const current = () => document.querySelector('#run-steps > [aria-current="step"]');
const stepOf = (id) => document.querySelector(`#run-steps > [data-step="${CSS.escape(id)}"]`);
const run = column()?.dataset.run;
const person = column()?.dataset.person;
const numberOf = (step) => step?.id.slice(1) ?? "";

// ---- What the server says ----

// The last event that this page shows: only what changed since is sent. After a time that is up
// there is no event, and all of it is asked for.
const known = () => (away || !shown ? {} : { "X-Known": shown });
let away = false;
let shown = document.getElementById("run-live")?.dataset.seq?.split(".")[0];

async function post(url, fields, { quiet = false } = {}) {
  const headers = { "HX-Request": "true", "HX-Current-URL": location.href, "X-CSRFToken": token()?.content ?? "", ...known() };
  if (quiet) headers["X-Quiet"] = "1";
  const send = () => fetch(url, { method: "POST", headers, body: new URLSearchParams(fields), credentials: "same-origin" });
  let reply = await send();
  const fresh = reply.headers.get("X-CSRF-Token");
  if (reply.status === 400 && fresh) {
    token().content = fresh;
    for (const field of document.querySelectorAll('input[name="csrf_token"]')) field.value = fresh;
    headers["X-CSRFToken"] = fresh;
    reply = await send();
  }
  return reply;
}

// No answer of Baton's own: the network, or something in between.
const isAway = (reply) => reply.status >= 502 && reply.status <= 504 && !reply.headers.has("HX-Retarget");

const columnIn = (html) => new DOMParser().parseFromString(html, "text/html").getElementById("run-column");

async function refresh({ all = false } = {}) {
  try {
    const headers = { "HX-Request": "true", ...(all ? {} : known()) };
    const reply = await fetch(`/runs/${run}/part/column`, { headers, credentials: "same-origin", cache: "no-store" });
    if (reply.ok) merge(await reply.text());
  } catch {
    // The live line says so.
  }
}

// ---- Taking over what changed, without losing what is typed ----

const stepsIn = (root) => [...root.querySelectorAll("#run-steps > [data-step]")].map((step) => step.dataset.step).join(" ");
const typedIn = (root) =>
  [...root.querySelectorAll("textarea, input.input")].filter(
    (field) => field.value !== field.defaultValue && field.value.trim() && field.name,
  );

// A form for a step that came without one.
function addForm(step, template) {
  const made = document.getElementById(template)?.cloneNode(true);
  if (!made) return null;
  made.innerHTML = made.innerHTML.replaceAll("__STEP__", step.dataset.step).replaceAll("__SEEN__", step.dataset.seen);
  step.querySelector(".step__body")?.append(made.content);
  return step.querySelector(".step__form");
}

function carry(old, fresh) {
  for (const field of typedIn(old)) {
    if (field.name === "note" && !fresh.querySelector('[name="note"]')) addForm(fresh, "note-template");
    const same = fresh.querySelector(`[name="${CSS.escape(field.name)}"]`);
    if (!same) continue;
    same.value = field.value;
    const fold = same.closest("details");
    if (fold && field.name === "note") fold.open = true;
  }
  const [was, is] = [old.querySelector(":scope > details"), fresh.querySelector(":scope > details")];
  if (was?.open && is && !old.classList.contains("step--open")) is.open = true;
}

function replace(old, fresh) {
  const active = old.contains(document.activeElement) ? document.activeElement : null;
  const where = active && { name: active.getAttribute("name"), tag: active.tagName, at: active.selectionStart };
  carry(old, fresh);
  old.replaceWith(fresh);
  if (!where) return;
  const again =
    (where.name && fresh.querySelector(`${where.tag}[name="${CSS.escape(where.name)}"]`)) ??
    fresh.querySelector(where.tag === "SUMMARY" ? "summary" : "textarea, summary");
  again?.focus({ preventScroll: true });
  if (where.at !== null && where.at !== undefined && again?.setSelectionRange) again.setSelectionRange(where.at, where.at);
}

function merge(html, { mine = false } = {}) {
  const fresh = columnIn(html);
  const here = column();
  if (!fresh || !here) return;
  const partial = "partial" in fresh.dataset;
  const other =
    (!partial && stepsIn(fresh) !== stepsIn(here)) ||
    fresh.querySelector("#run-body").dataset.version !== here.querySelector("#run-body")?.dataset.version;
  const news = [];
  const ends = !over && isOver(fresh);
  over ||= ends;
  if (other) {
    for (const step of here.querySelectorAll("#run-steps > [data-step]")) {
      const same = fresh.querySelector(`[data-step="${CSS.escape(step.dataset.step)}"]`);
      if (same) carry(step, same);
    }
    here.replaceWith(fresh);
  } else {
    for (const piece of fresh.querySelectorAll("[data-stand][id]")) {
      const old = document.getElementById(piece.id);
      if (!old || old.dataset.stand === piece.dataset.stand) continue;
      if (piece.dataset.step && piece.dataset.state !== old.dataset.state) {
        news.push(`Step ${numberOf(piece)}: ${piece.querySelector(".step__who")?.textContent.trim().replace(/\s+/g, " ")}`);
      }
      replace(old, piece);
    }
    const live = document.getElementById("run-live");
    const next = fresh.querySelector("#run-live");
    if (live && next && live.dataset.seq !== next.dataset.seq) {
      if (live.querySelector("details")?.open && next.querySelector("details")) next.querySelector("details").open = true;
      live.replaceWith(next);
    }
  }
  seen = document.getElementById("run-live")?.dataset.seq;
  shown = seen?.split(".")[0];
  window.htmx?.process(document.getElementById("run-column"));
  if (!mine && news.length) document.getElementById("run-news").textContent = news.slice(0, 3).join(". ");
  settle();
  if (ends) showEnd();
  laterKeep(mine ? KEEPS_MINE_AFTER : KEEPS_AFTER);
}

const isOver = (root) => !(root.querySelector("#run-live")?.dataset.seq ?? "open").endsWith("open");
let over = isOver(document);

// What the page of a run says of it beside its steps: no time to escalation, what a drill showed.
async function showEnd() {
  if (location.pathname !== `/runs/${run}`) return;
  try {
    const reply = await fetch(location.pathname, { credentials: "same-origin", cache: "no-store" });
    const page = new DOMParser().parseFromString(await reply.text(), "text/html");
    for (const part of [".inc-head", ".c-ppl"]) {
      const fresh = page.querySelector(part);
      if (!fresh) continue;
      document.querySelector(part).replaceWith(fresh);
      window.htmx?.process(fresh);
    }
  } catch {
    // It is there when the page is opened again.
  }
}

let seen = document.getElementById("run-live")?.dataset.seq;
document.addEventListener("htmx:afterSettle", (event) => {
  const live = document.getElementById("run-live");
  if (event.detail.elt !== live || live.dataset.seq === seen) return;
  seen = live.dataset.seq;
  if (!busy) refresh();
});

let keeping = null;
let keepsAt = Infinity;
function laterKeep(wait) {
  // The earliest wish counts: a run in which something goes on all the time would never be kept.
  if (Date.now() + wait >= keepsAt) return;
  clearTimeout(keeping);
  keepsAt = Date.now() + wait;
  keeping = setTimeout(() => {
    keepsAt = Infinity;
    if (navigator.onLine) keepPage();
  }, wait);
}

// ---- Saying something ----

// A name for this tab and a number for each answer: so the server knows what the tab knew.
function nextId() {
  try {
    const client = sessionStorage.getItem("run client") ?? crypto.randomUUID?.().slice(0, 18) ?? `${Math.random()}`.slice(2);
    const number = Number(sessionStorage.getItem("run number") ?? 0) + 1;
    sessionStorage.setItem("run client", client);
    sessionStorage.setItem("run number", number);
    return `${client}.${number}`;
  } catch {
    return `${Math.random()}`.slice(2);
  }
}

let busy = false;
let tries = 0;
let retry = null;
const queued = () => waiting(run, person).catch(() => []);

async function say(form, submitter) {
  const fields = [...new FormData(form, submitter)].filter(([name]) => name !== "csrf_token" && name !== "client_event_id");
  fields.push(["client_event_id", nextId()]);
  const to = new URL(submitter.hasAttribute("formaction") ? submitter.formAction : form.action);
  const url = to.pathname + to.search;
  const whole = form.hasAttribute("data-run-whole") || form.hasAttribute("data-claim");
  const said = Object.fromEntries(fields);
  const step = stepOf(decodeURIComponent(to.pathname.split("/").at(-1)));
  busy = true;
  lock(form, submitter, true);
  try {
    if (!whole && (await queued()).length) {
      await hold(url, fields, step);
      await drain();
      return;
    }
    const reply = await post(url, fields);
    if (isAway(reply)) throw new TypeError("no answer");
    await heard(reply, form, said, step);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    if (whole) toast("Not saved: no network. Your text is kept. Press the button again.", "bad");
    else await hold(url, fields, step);
  } finally {
    busy = false;
    lock(form, submitter, false);
  }
}

function lock(form, submitter, on) {
  form.toggleAttribute("aria-busy", on);
  if (on) form.setAttribute("aria-busy", "true");
  if (submitter?.isConnected) submitter.setAttribute("aria-busy", String(on));
}

async function heard(reply, form, said, step) {
  if (reply.status === 401) {
    toast("Your session has ended. Sign in in another tab, then press again; your text is kept.", "bad");
    return;
  }
  const html = await reply.text();
  if (!columnIn(html)) {
    const part = new DOMParser().parseFromString(html, "text/html").body.textContent.trim().replace(/\s+/g, " ");
    toast(part || "That did not work. Nothing was saved; your text is kept.", "bad");
    return;
  }
  if (reply.ok) {
    form.reset();
    for (const field of step?.querySelectorAll("textarea") ?? []) field.value = field.defaultValue = "";
    form.closest("dialog")?.close();
  }
  const dialog = form.closest("dialog[open]");
  merge(html, { mine: true });
  if (!reply.ok) {
    if (dialog && askAgain(dialog.id, html)) return;
    dialog?.close();
    const told = document.querySelector("#run-column [data-focus], #run-column [aria-invalid]");
    told?.closest("details")?.setAttribute("open", "");
    told?.focus();
    told?.scrollIntoView({ block: "center" });
    return;
  }
  tellToasts(reply.headers.get("HX-Trigger"));
  tell(reply.headers.get("X-Said"), said.kind);
  if (reply.headers.get("X-Then") === "escalate" && openDialog("escalate")) return;
  if (["noted", "copied"].includes(said.kind) || form.hasAttribute("data-claim")) return;
  goOn();
}

// A dialog that came back open says in itself what is wrong.
function askAgain(id, html) {
  const fresh = columnIn(html).querySelector(`dialog[open]#${CSS.escape(id)} form`);
  const here = document.getElementById(id);
  if (!fresh || !here) return false;
  here.close();
  here.querySelector("form").replaceWith(fresh);
  return openDialog(id);
}

function tellToasts(trigger) {
  if (!trigger?.startsWith("{")) return;
  for (const one of JSON.parse(trigger).toast?.toasts ?? []) toast(one.sentence, one.tone);
}

function tell(sentence, kind) {
  if (!sentence) return;
  // Only the last one can be taken back by `u`, too.
  for (const undo of document.querySelectorAll(".toast [data-undo]")) undo.closest(".toast").remove();
  const text = toast(sentence, "ok", TAKE_BACK_LASTS);
  if (["taken_back", "noted", "opened"].includes(kind)) return;
  const undo = document.createElement("button");
  undo.type = "button";
  undo.className = "btn btn--quiet btn--sm";
  undo.textContent = "Take back";
  undo.dataset.undo = "";
  undo.addEventListener("click", () => {
    undo.closest(".toast").remove();
    document.querySelector("#run-undo button")?.click();
  });
  text.append(" ", undo);
}

function goOn() {
  const next = current() ?? document.getElementById("run-finish");
  const target = next?.querySelector("summary") ?? next?.querySelector(".input, .btn");
  target?.focus({ preventScroll: true });
  next?.scrollIntoView({ block: "nearest" });
}

// ---- Without a network ----

async function hold(url, fields, step) {
  const answer = { run, person, url, fields: [...fields, ["said_at", new Date(now()).toISOString()]], step: step?.dataset.step };
  try {
    await keep(answer);
  } catch {
    toast("Not saved: no network, and this browser keeps nothing. Your text is still in its field.", "bad");
    return;
  }
  const said = Object.fromEntries(fields);
  apply(said, step);
  const asksForHelp = (said.kind === "decided" && said.option === "0") || (said.kind === "failed" && !step?.dataset.fail);
  if (asksForHelp && !document.querySelector(".inc-head--drill")) {
    toast("Without a network nobody is paged from here. Call them, or press Escalate when it is back.", "bad");
  }
  for (const field of step?.querySelectorAll("textarea") ?? []) field.value = "";
  document.querySelector("dialog[open]")?.close();
  await offline();
  goOn();
}

async function offline() {
  const count = (await queued()).length;
  away = count > 0 || !navigator.onLine;
  document.documentElement.toggleAttribute("data-offline", away);
  for (const line of document.querySelectorAll(".live[data-live-line], .live[data-offline-line]")) {
    line.toggleAttribute("data-live-line", !away);
    line.toggleAttribute("data-offline-line", away);
    line.toggleAttribute("data-stale", away);
    if (away) line.textContent = count ? `Offline, ${count} answer${count === 1 ? "" : "s"} waiting` : "Offline";
  }
  clearTimeout(retry);
  if (!count) return;
  retry = setTimeout(drain, WAITS[Math.min(tries, WAITS.length - 1)] * 1000);
  tries += 1;
}

let draining = false;
async function drain() {
  if (draining) return;
  draining = true;
  let sent = 0;
  try {
    for (let [answer] = await queued(); answer; [answer] = await queued()) {
      const reply = await post(answer.url, answer.fields, { quiet: true });
      if (isAway(reply) || reply.status >= 500) break;
      if (reply.status === 401) {
        toast("Your session has ended. Sign in, and what is waiting here is sent.", "bad");
        break;
      }
      if (!reply.ok) await refused(answer, reply);
      await drop(answer.id);
      sent += 1;
    }
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
  } finally {
    draining = false;
  }
  if (sent) tries = 0;
  if (!(await queued()).length && sent) {
    toast(sent === 1 ? "1 answer was sent." : `${sent} answers were sent.`);
    await refresh({ all: true });
  }
  await offline();
}

// Somebody was quicker, or it no longer fits: what was said is kept as a note, and that is told.
async function refused(answer, reply) {
  const said = Object.fromEntries(answer.fields);
  const step = stepOf(answer.step ?? "");
  const page = new DOMParser().parseFromString(await reply.text(), "text/html");
  const why = page.querySelector('[role="alert"] b')?.textContent ?? "It no longer fits.";
  toast(`Step ${numberOf(step)}: ${why} What you said is kept as a note.`, "bad");
  if (said.kind === "copied" || said.kind === "taken_back") return;
  const words = { done: "done", failed: "failed", skipped: "skipped", decided: `answer ${said.option}`, waiting: "waiting" };
  const text = said.note || said.other_reason || said.reason || "";
  const note = said.kind === "noted" ? text : `Offline: ${words[said.kind] ?? said.kind}. ${text}`.trim();
  await post(answer.url, [["kind", "noted"], ["note", note], ["seen", "0"], ["client_event_id", `${said.client_event_id}n`.slice(0, 64)]], { quiet: true });
}

// What the page shows until the server has heard: the same rules, for as far as they go by
// themselves. The server's own word takes the place of it.
const WORDS = { done: ["Done", "s-done", "ok"], failed: ["Failed", "s-failed", "bad"], skipped: ["Skipped", "s-skipped", "idle"], waiting: ["Waiting", "s-waiting", "info"], not_taken: ["Not taken", "s-nottaken", "idle"], doing: ["Doing", "s-doing", "info"] };
const SETTLED = ["done", "skipped", "not_taken"];

function mark(step, state) {
  const [word, icon, tone] = WORDS[state];
  step.dataset.state = state;
  step.dataset.stand = "not sent";
  step.removeAttribute("aria-current");
  step.classList.toggle("step--open", state === "doing" || state === "waiting");
  step.classList.remove("step--ahead");
  const dot = step.querySelector(".step__dot");
  dot.dataset.tone = tone;
  const use = dot.querySelector("use");
  use.setAttribute("href", `${use.getAttribute("href").split("#")[0]}#i-${icon}`);
  const who = step.querySelector(".step__who");
  const label = document.createElement("span");
  label.className = "state";
  label.dataset.tone = tone;
  label.textContent = state === "doing" ? word : `${word}, not sent`;
  who.replaceChildren(label);
  step.querySelector(":scope > details").open = state === "doing" || state === "waiting";
  for (const form of step.querySelectorAll(".step__form")) form.hidden = SETTLED.includes(state) || state === "failed";
  for (const more of step.querySelectorAll(".step__more")) more.hidden = true;
}

function apply(said, step) {
  const states = { done: "done", failed: "failed", skipped: "skipped", decided: "done", waiting: "waiting" };
  const state = states[said.kind];
  if (!state || !step) return;
  mark(step, state);
  let target = said.kind === "failed" ? stepOf(step.dataset.fail ?? "") : null;
  if (said.kind === "decided") {
    const chosen = step.querySelector(`[data-option="${CSS.escape(said.option ?? "")}"]`);
    target = stepOf(chosen?.dataset.goes ?? "");
    leaveBranches(step, target);
  }
  const next = target ?? following(step);
  for (const other of document.querySelectorAll('#run-steps > [aria-current="step"]')) other.removeAttribute("aria-current");
  if (next) {
    mark(next, "doing");
    next.setAttribute("aria-current", "step");
    for (const option of next.querySelectorAll(".opt")) option.disabled = false;
    for (const later of next.querySelectorAll(".step__form > [hidden]:not(button)")) later.hidden = false;
    next.querySelector("[data-later]")?.remove();
    // A risky one waits for the server, which checks the name.
    if (!next.querySelector(".step__form") && !("risky" in next.dataset)) addForm(next, "answer-template");
  }
  settle();
}

function following(step) {
  const all = [...document.querySelectorAll("#run-steps > [data-step]")];
  const at = all.indexOf(step);
  return [...all.slice(at + 1), ...all.slice(0, at)].find(
    (one) =>
      ["todo", "doing"].includes(one.dataset.state) &&
      !("undoes" in one.dataset) &&
      (one.dataset.role !== "roll_back" || step.dataset.role === "roll_back"),
  );
}

function leaveBranches(decision, chosen) {
  const all = [...document.querySelectorAll("#run-steps > [data-step]")];
  const firsts = [...decision.querySelectorAll("[data-goes]")].map((option) => stepOf(option.dataset.goes)).filter(Boolean);
  for (const first of firsts) {
    if (first === chosen || all.indexOf(first) < all.indexOf(decision)) continue;
    for (const step of all.slice(all.indexOf(first))) {
      if ((step !== first && firsts.includes(step)) || step.dataset.section !== first.dataset.section) break;
      if (["todo", "doing"].includes(step.dataset.state)) mark(step, "not_taken");
    }
  }
}

// ---- Forms and dialogs ----

document.addEventListener(
  "submit",
  (event) => {
    const form = event.target;
    if (!form.matches("[data-run-form], [data-run-whole]")) return;
    // Before the script of other forms: this one says itself when it is busy.
    event.preventDefault();
    event.stopImmediatePropagation();
    const opens = event.submitter?.dataset.opens;
    if (opens) ask(opens, event.submitter);
    else if (form.getAttribute("aria-busy") !== "true" && event.submitter) say(form, event.submitter);
  },
  true,
);

function ask(id, opener) {
  const step = opener.closest("[data-step]") ?? stepOf(opener.dataset.step ?? "") ?? current();
  const known = step?.dataset.step ? stepOf(step.dataset.step) : null;
  const dialog = document.getElementById(id);
  const form = dialog?.querySelector("form");
  if (!known || !form) return;
  const own = known.querySelector(".step__form");
  form.action = `/runs/${run}/steps/${encodeURIComponent(known.dataset.step)}`;
  form.querySelector('[name="seen"]').value = known.dataset.seen;
  const title = dialog.querySelector("h2");
  title.textContent = id === "problem" ? `What happened at step ${numberOf(known)}?` : `Why is step ${numberOf(known)} skipped?`;
  const note = own?.querySelector('[name="note"]')?.value;
  const field = form.querySelector('textarea[name="note"]');
  if (field && note) field.value = note;
  const on = form.querySelector("[data-goes-on]");
  if (on) {
    const fail = stepOf(known.dataset.fail ?? "");
    on.textContent = fail
      ? `The runbook goes on with step ${numberOf(fail)}.`
      : "The runbook does not say where to go on from here, so escalating is offered next.";
  }
  openDialog(id);
  form.querySelector('input[type="radio"]:checked')?.focus();
}

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-skip-instead]")) {
    const step = stepOf(decodeURIComponent(document.querySelector("#problem form").action.split("/").at(-1)));
    document.getElementById("problem").close();
    if (step) ask("skip", step.querySelector('[data-opens="skip"]') ?? step);
  }
  const adds = event.target.closest("[data-adds-note]");
  if (adds) {
    event.preventDefault();
    const step = adds.closest("[data-step]");
    adds.parentElement.remove();
    addForm(step, "note-template")?.querySelector("textarea").focus();
  }
  const toNote = event.target.closest("[data-to-note]");
  if (toNote) {
    event.preventDefault();
    const field = document.getElementById(toNote.getAttribute("href").slice(1));
    field?.focus();
    field?.scrollIntoView({ block: "center" });
  }
});

// ---- Copying ----

const secrets = new Map();
const PLAIN = /^[A-Za-z0-9_.=+/:@-]+$/;
document.addEventListener("input", (event) => {
  const name = event.target.dataset?.secret;
  if (name) secrets.set(name, event.target.value);
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-run-copy]");
  if (!button) return;
  const step = button.closest("[data-step]");
  let text = document.getElementById(button.dataset.runCopy).value;
  for (const [name, value] of secrets) {
    if (value && !PLAIN.test(value)) toast(`${name} holds characters that a shell reads. Type it by hand.`, "bad");
    else if (value) text = text.replaceAll(`{{${name}}}`, value);
  }
  try {
    await navigator.clipboard.writeText(text);
    toast("Copied.");
  } catch {
    document.getSelection().selectAllChildren(button.closest(".cmd").querySelector("code"));
    toast("The browser refused to copy. The text is selected: copy it by hand.", "bad");
  }
  const fields = [["kind", "copied"], ["command", button.dataset.index], ["typed", step.querySelector("[data-confirm]")?.value ?? ""], ["client_event_id", nextId()]];
  const url = `/runs/${run}/steps/${step.dataset.step}`;
  try {
    if ((await queued()).length) throw new TypeError("in order");
    await post(url, fields, { quiet: true });
  } catch {
    await keep({ run, person, url, fields, step: step.dataset.step }).catch(() => null);
    await offline();
  }
});

// ---- Keys, clocks and risky steps ----

function settle() {
  for (const one of document.querySelectorAll("#run-steps [data-k]")) {
    one.removeAttribute("data-key");
    if (!one.matches("textarea")) one.removeAttribute("data-key-press");
  }
  for (const one of current()?.querySelectorAll("[data-k]") ?? []) {
    one.dataset.key = one.dataset.k;
    if (!one.matches("textarea")) one.setAttribute("data-key-press", "");
  }
  for (const field of document.querySelectorAll("#run-steps [data-confirm]")) unlock(field);
}

function unlock(field) {
  const fits = field.value.trim() === field.dataset.confirm;
  const step = field.closest("[data-step]");
  for (const one of step.querySelectorAll("[data-locked], [data-run-copy]")) one.disabled = !fits;
}
document.addEventListener("input", (event) => {
  if (event.target.matches("#run-steps [data-confirm]")) unlock(event.target);
});

const typing = (element) =>
  element.isContentEditable || (element.matches?.("input, textarea, select") && !["checkbox", "radio", "button", "submit"].includes(element.type));

document.addEventListener(
  "keydown",
  (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    if (document.body.dataset.singleKeys === "off" || document.querySelector("dialog[open]")) return;
    const key = event.key.toLowerCase();
    if (key === "f") {
      const problem = current()?.querySelector('[data-k="p"]');
      if (!problem) return;
      event.preventDefault();
      problem.click();
    } else if (key === "j" || key === "k") {
      const all = [...document.querySelectorAll("#run-steps > [data-step] summary")];
      const on = document.activeElement.closest?.("#run-steps > [data-step]") ?? current();
      const at = all.findIndex((one) => one.closest("[data-step]") === on);
      const away = on && !on.contains(document.activeElement) ? 0 : key === "j" ? 1 : -1;
      const next = all[Math.min(Math.max(at + away, 0), all.length - 1)];
      if (!next) return;
      event.preventDefault();
      next.focus();
      next.scrollIntoView({ block: "nearest" });
    }
  },
  true,
);

function tick() {
  if (document.hidden) return;
  for (const ring of document.querySelectorAll(".ring[data-until]")) {
    const left = Math.max(Math.ceil((Date.parse(ring.dataset.until) - now()) / 1000), 0);
    ring.querySelector("text").textContent = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
    const part = Math.round((left / Math.max(Number(ring.dataset.total), 1)) * 100);
    ring.querySelector(".ring__v").setAttribute("stroke-dasharray", `${left ? part : 100} 100`);
    if (!left && !("up" in ring.dataset)) {
      ring.dataset.up = "";
      refresh({ all: true });
    }
  }
  for (const deadline of document.querySelectorAll('time[data-tick="left"]')) {
    const left = (Date.parse(deadline.dateTime) - now()) / 1000;
    deadline.parentElement.classList.toggle("t-bad", left <= 0);
    deadline.parentElement.classList.toggle("t-warn", left > 0 && left <= 300);
  }
}
setInterval(tick, 1000);

// ---- Being here ----

let reading = null;
document.addEventListener("focusin", (event) => {
  reading = event.target.closest?.("#run-steps > [data-step]")?.dataset.step ?? reading;
});

function here() {
  if (document.hidden || !navigator.onLine || !run) return;
  const step = reading ?? current()?.dataset.step ?? "";
  post(`/runs/${run}/here`, [["step", step]], { quiet: true })
    .then(() => window.htmx?.trigger("#run-people", "refresh"))
    .catch(() => null);
}

if (run && person) {
  settle();
  // What the commands need is asked above the first step.
  const first = document.querySelector("#run-ask form") ?? current();
  // A drill begins with its banner: nobody may take it for the real thing.
  const begins = current() === document.querySelector("#run-steps > [data-step]");
  const banner = begins && document.querySelector(".inc-head--drill");
  if (!location.hash && first && !banner) first.scrollIntoView({ block: "nearest" });
  here();
  setInterval(here, HERE_EVERY);
  keepPage();
  window.addEventListener("online", drain);
  window.addEventListener("offline", offline);
  const answers = await queued();
  for (const answer of answers) apply(Object.fromEntries(answer.fields), stepOf(answer.step ?? ""));
  if (answers.length) await drain();
  else if (!navigator.onLine) await offline();
}
