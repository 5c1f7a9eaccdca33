// The editor of a runbook: colours and line numbers, saving while one types, checks and preview,
// insert buttons. Without it the text is a plain field, and every button sends the form.
import { now } from "./clocks.js";
import { toast } from "./toasts.js";

const form = document.querySelector("form[data-editor]");
const field = document.getElementById("source");
const frame = document.getElementById("ed-src");
const saved = document.getElementById("saved");
const used = new Set(JSON.parse(form.dataset.used));
document.querySelector("[data-without-script]").hidden = true;

// ---- Colours ----

const paint = document.createElement("div");
paint.className = "ed__paint";
paint.setAttribute("aria-hidden", "true");
frame.append(paint);
frame.dataset.painted = "";

const INLINE = /(<!--.*?(?:-->|$))|(\{\{[^}]*\}\})|(\*\*(?:Expect(?:ed)?(?: result)?):?\*\*)|(`[^`]+`)/g;
const CLASSES = ["c", "v", "k", "s"];

// What a line is depends on those above it: front matter, a fence, a comment that goes on.
function stateAfter(line, state, index) {
  if (state === "head") return index > 0 && /^(---|\.\.\.)\s*$/.test(line) ? "" : "head";
  if (state.startsWith("fence")) {
    return line.trim().startsWith(state.slice(6)) && !line.trim().slice(3).replace(/[`~]/g, "") ? "" : state;
  }
  if (state === "comment") return line.includes("-->") ? "" : "comment";
  if (index === 0 && /^---\s*$/.test(line)) return "head";
  const fence = /^\s*(```+|~~~+)/.exec(line);
  if (fence) return `fence ${fence[1]}`;
  const opened = line.lastIndexOf("<!--");
  return opened >= 0 && !line.includes("-->", opened) ? "comment" : "";
}

function span(text, name) {
  const part = document.createElement("span");
  part.className = name;
  part.textContent = text;
  return part;
}

function* parts(line, state, next) {
  if (state === "head") {
    const key = /^(\s*(?:- )?)([A-Za-z_][\w.-]*)(:.*)$/.exec(line);
    if (key) yield* [key[1], span(key[2], "k"), key[3]];
    else yield line;
    return;
  }
  if (state === "comment") return void (yield span(line, "c"));
  if (state === "" && next.startsWith("fence")) return void (yield span(line, "s"));
  if (state.startsWith("fence") && next === "") return void (yield span(line, "s"));
  if (state === "" && /^#{1,6}\s/.test(line)) return void (yield span(line, "h"));
  let at = 0;
  for (const found of line.matchAll(INLINE)) {
    const kind = found.slice(1).findIndex((group) => group !== undefined);
    if (state.startsWith("fence") && kind !== 1) continue;
    yield line.slice(at, found.index);
    yield span(found[0], CLASSES[kind]);
    at = found.index + found[0].length;
  }
  yield line.slice(at);
}

let painted = []; // [line, state before, state after] of each line, as it stands in `paint`

function repaint() {
  const lines = field.value.split("\n");
  let state = "";
  const wanted = lines.map((line, index) => {
    const before = state;
    state = stateAfter(line, state, index);
    return [line, before, state];
  });
  const same = (one, other) => one && other && one[0] === other[0] && one[1] === other[1] && one[2] === other[2];
  let top = 0;
  while (top < wanted.length && same(wanted[top], painted[top])) top += 1;
  let foot = 0;
  while (
    foot < Math.min(wanted.length, painted.length) - top &&
    same(wanted[wanted.length - 1 - foot], painted[painted.length - 1 - foot])
  ) {
    foot += 1;
  }
  for (let count = painted.length - top - foot; count > 0; count -= 1) paint.children[top].remove();
  const rows = wanted.slice(top, wanted.length - foot).map(([line, before, after]) => {
    const row = document.createElement("div");
    row.append(...parts(line, before, after));
    return row;
  });
  if (paint.children[top]) paint.children[top].before(...rows);
  else paint.append(...rows);
  painted = wanted;
}

// ---- Where the cursor is ----

const lineAt = (position) => field.value.slice(0, position).split("\n").length;
let here = 0;

function followCursor() {
  const before = field.value.slice(0, field.selectionStart).split("\n");
  document.getElementById("ed-at").textContent = `Line ${before.length}, column ${before.at(-1).length + 1}`;
  if (here === before.length) return;
  here = before.length;
  paint.querySelector(".is-here")?.classList.remove("is-here");
  if (document.activeElement === field) paint.children[here - 1]?.classList.add("is-here");
  showStep();
}

// The preview shows the step that is being written.
function showStep() {
  const above = painted.slice(0, here + 1).map(([line]) => line);
  const id = above.reverse().map((line) => /<!--\s*step\s[^>]*?\bid=([\w-]+)/.exec(line)?.[1]).find(Boolean);
  const preview = document.getElementById("preview");
  preview.querySelector(".is-here")?.classList.remove("is-here");
  const step = id && document.getElementById(`s-${id}`);
  if (!step) return;
  step.classList.add("is-here");
  preview.scrollTop += step.getBoundingClientRect().top - preview.getBoundingClientRect().top - 8;
}

function goToLine(number) {
  const lines = field.value.split("\n");
  const start = lines.slice(0, number - 1).reduce((sum, line) => sum + line.length + 1, 0);
  field.focus({ preventScroll: true });
  field.setSelectionRange(start, start + (lines[number - 1] ?? "").length);
  followCursor();
  paint.children[number - 1]?.scrollIntoView({ block: "center" });
}

// Where a step begins: at the heading above its comment, or in the line that the comment ends.
function goToStep(id) {
  const comment = new RegExp(`<!--\\s*step\\s[^>]*?\\bid=${id.replace(/[^\w-]/g, "")}(?![\\w-])`);
  const lines = field.value.split("\n");
  const at = lines.findIndex((line) => comment.test(line));
  if (at < 0) return false;
  goToLine(/^\s*<!--/.test(lines[at]) ? at : at + 1);
  return true;
}

// ---- Changing the text, so that Undo takes it back ----

function replace(start, end, text) {
  field.focus({ preventScroll: true });
  field.setSelectionRange(start, end);
  if (!document.execCommand("insertText", false, text)) {
    field.setRangeText(text, start, end, "end");
    field.dispatchEvent(new Event("input", { bubbles: true }));
  }
}

function replaceLines(from, to, text) {
  const lines = field.value.split("\n");
  const offset = (count) => lines.slice(0, count).reduce((sum, line) => sum + line.length + 1, 0);
  replace(offset(from - 1), Math.min(offset(to - 1), field.value.length), text);
}

function freshId() {
  const taken = new Set([...field.value.matchAll(/\bid=([\w-]+)/g)].map((found) => found[1]));
  let number = 1;
  while (taken.has(`step-${number}`) || used.has(`step-${number}`)) number += 1;
  return `step-${number}`;
}

// A step begins on a line of its own, after the line that the cursor is in.
function insertBelow(text, selected) {
  const end = field.value.indexOf("\n", field.selectionEnd);
  const at = end < 0 ? field.value.length : end;
  const line = field.value.slice(field.value.lastIndexOf("\n", at - 1) + 1, at);
  const lead = line.trim() ? "\n\n" : "\n";
  replace(at, at, lead + (field.value.startsWith("\n\n", at) ? text.trimEnd() : text));
  const start = at + lead.length + text.indexOf(selected);
  field.setSelectionRange(start, start + selected.length);
  followCursor();
  paint.children[here - 1]?.scrollIntoView({ block: "center" });
}

const INSERTS = {
  step: () =>
    insertBelow(
      `### New step\n<!-- step id=${freshId()} kind=action risk=low minutes=5 -->\nWhat to do.\n\n**Expect:** what success looks like.\n`,
      "New step",
    ),
  decision: () =>
    insertBelow(
      `### Which is it?\n<!-- step id=${freshId()} kind=decision -->\n- **The first case** → [go: where](#step-id)\n- **The second case** → [go: where](#step-id)\n`,
      "Which is it?",
    ),
  command: () => insertBelow("```bash {name=look}\ncommand {{model}}\n```\n**Expect:** what it shows.\n", "command {{model}}"),
  variable: () => {
    const picked = field.value.slice(field.selectionStart, field.selectionEnd);
    const name = /^[A-Za-z_][\w.-]*$/.test(picked) ? picked : "name";
    replace(field.selectionStart, field.selectionEnd, `{{${name}}}`);
    const cursor = field.selectionEnd;
    const lines = field.value.split("\n");
    const close = lines.findIndex((line, index) => index > 0 && /^(---|\.\.\.)\s*$/.test(line));
    if (close < 0 || lines.slice(0, close).some((line) => line.includes(`name: ${name},`))) return;
    const list = lines.findIndex((line, index) => index < close && /^variables:\s*(\[\s*\])?\s*$/.test(line));
    const entry = `  - {name: ${name}, pattern: "^[a-z0-9-]+$", required: true}\n`;
    let last = list < 0 ? close : list + 1;
    while (list >= 0 && /^\s+\S/.test(lines[last] ?? "")) last += 1;
    const before = field.value.length;
    replaceLines(last + 1, last + 1, list < 0 ? `variables:\n${entry}` : entry);
    const moved = cursor + field.value.length - before;
    field.setSelectionRange(moved - name.length - 2, moved - 2);
    followCursor();
  },
};

document.addEventListener("click", (event) => {
  const insert = event.target.closest("[data-insert]");
  if (insert) return INSERTS[insert.dataset.insert]();
  const line = event.target.closest("[data-line]");
  if (line) {
    event.preventDefault();
    return goToLine(Number(line.dataset.line));
  }
  const to = event.target.closest("[data-to-step]");
  if (to && goToStep(to.dataset.toStep)) return event.preventDefault();
  const fix = event.target.closest("[data-fix-start]");
  if (fix) {
    event.preventDefault();
    const { fixStart, fixEnd, fixText } = fix.dataset;
    replaceLines(Number(fixStart), Number(fixEnd), fixText);
    followCursor();
  }
});

// ---- Checks and preview ----

const CHECK_AFTER = 400;
let checking = null;

function check() {
  clearTimeout(checking);
  checking = setTimeout(() => window.htmx?.trigger(document.body, "written"), CHECK_AFTER);
}

function markLines() {
  for (const row of paint.querySelectorAll("[data-tone]")) delete row.dataset.tone;
  for (const link of [...document.querySelectorAll("#checks [data-line]")].reverse()) {
    const tone = link.parentElement.querySelector(".state")?.dataset.tone;
    const row = paint.children[Number(link.dataset.line) - 1];
    if (row && tone) row.dataset.tone = tone;
  }
}
document.addEventListener("htmx:afterSettle", (event) => {
  if (event.detail.target?.id !== "checked" && event.detail.elt?.id !== "checked") return;
  markLines();
  showStep();
});

// ---- Saving ----

const SAVE_AFTER = 3000;
const TRY_AGAIN_AFTER = [5, 10, 20, 30];
let unsaved = "unsaved" in form.dataset;
let halted = unsaved; // a conflict or a refusal is on the page: the next save is on purpose
let saving = null; // the request that is under way
let timer = null;
let failures = 0;

function tell(text, tone) {
  saved.textContent = text;
  saved.className = tone ? `t-${tone} m` : "";
}

function tellSaved() {
  const time = document.createElement("time");
  // By the clock that ticks on this page, so that nothing is saved in a second from now.
  time.dateTime = new Date(now()).toISOString();
  time.textContent = "just now";
  time.dataset.tick = "ago";
  saved.className = "";
  saved.replaceChildren("saved ", time);
}

function changed() {
  unsaved = true;
  if (!halted) tell("not saved yet");
  saveSoon(SAVE_AFTER);
  check();
}

function saveSoon(wait) {
  clearTimeout(timer);
  if (!halted) timer = setTimeout(() => save(true), wait);
}

// `typing`: steps get their ids only when the author pauses to save, not in the middle of a title.
async function save(typing) {
  clearTimeout(timer);
  if (saving) {
    await saving;
    if (!unsaved || halted) return;
  }
  saving = send(typing);
  await saving;
  saving = null;
}

async function send(typing) {
  const body = new FormData(form);
  const sent = field.value;
  const words = form.elements.message.value;
  let reply;
  try {
    reply = await fetch(form.action + (typing ? "?typing" : ""), {
      method: "POST",
      body,
      headers: {
        Accept: "application/json",
        "X-CSRFToken": document.querySelector('meta[name="csrf-token"]').content,
      },
    });
  } catch {
    reply = null;
  }
  const token = reply?.headers.get("X-CSRF-Token");
  if (token) document.querySelector('meta[name="csrf-token"]').content = token;
  if (!reply || reply.status >= 500 || token) return tryAgain(typing, token ? 0 : null);
  failures = 0;
  const answer = await reply.json().catch(() => ({}));
  if (!reply.ok) {
    halted = true;
    return refused(reply.status, answer.detail);
  }
  halted = false;
  for (const one of document.querySelectorAll('input[name="version"]')) one.value = answer.version;
  if (answer.source !== null && field.value === sent) take(answer.source);
  for (const one of document.querySelectorAll("[data-when-saved]")) one.hidden = false;
  unsaved = field.value !== (answer.source ?? sent) || form.elements.message.value !== words;
  tellSaved();
  if (unsaved) saveSoon(SAVE_AFTER);
}

// Ids were written into the text: the cursor stays in its line.
function take(text) {
  const line = field.value.slice(0, field.selectionStart).split("\n");
  const kept = field.value.split("\n")[line.length - 1];
  const { scrollTop } = frame;
  field.value = text;
  const lines = text.split("\n");
  let at = line.length - 1;
  while (at < lines.length && lines[at] !== kept) at += 1;
  if (at === lines.length) at = line.length - 1;
  const start = lines.slice(0, at).reduce((sum, one) => sum + one.length + 1, 0);
  field.setSelectionRange(start + line.at(-1).length, start + line.at(-1).length);
  repaint();
  frame.scrollTop = scrollTop;
  here = 0;
  followCursor();
  check();
}

function tryAgain(typing, wait) {
  const seconds = wait ?? TRY_AGAIN_AFTER[Math.min(failures, TRY_AGAIN_AFTER.length - 1)];
  failures += 1;
  if (seconds) tell(`Not saved: no answer. Your text is kept here. Trying again in ${seconds} s.`, "bad");
  timer = setTimeout(() => save(typing), seconds * 1000);
}

// The server's page shows both texts; going there sends this one along.
function refused(status, sentence) {
  tell(status === 409 ? "not saved: somebody else did" : "not saved", "bad");
  const notice = document.getElementById(status === 409 ? "told-of-conflict" : "told").content.cloneNode(true);
  if (sentence) notice.querySelector(".banner > div").textContent = sentence;
  document.getElementById("editor-notices").replaceChildren(notice);
}

field.addEventListener("input", () => {
  repaint();
  followCursor();
  changed();
});
form.elements.message.addEventListener("input", changed);
document.addEventListener("selectionchange", () => {
  if (document.activeElement === field) followCursor();
});

document.addEventListener("keydown", (event) => {
  if (event.key.toLowerCase() !== "s" || !(event.ctrlKey || event.metaKey) || event.altKey) return;
  event.preventDefault();
  if (halted) toast("Two texts are waiting for you. Press one of the buttons above.", "bad");
  else save(false);
});

// A form that is sent says what it saw, so a save that is under way ends first.
let leaving = false;
form.addEventListener(
  "submit",
  (event) => {
    const { submitter } = event;
    clearTimeout(timer);
    if (submitter?.hasAttribute("data-save") && !halted) {
      event.preventDefault();
      event.stopImmediatePropagation();
      save(false);
    } else if (saving && !halted) {
      event.preventDefault();
      event.stopImmediatePropagation();
      saving.then(() => form.requestSubmit(submitter));
    }
  },
  true,
);
document.addEventListener("submit", () => {
  leaving = true;
});
window.addEventListener("pageshow", () => {
  leaving = false;
});
window.addEventListener("beforeunload", (event) => {
  if (unsaved && !leaving) event.preventDefault();
});

repaint();
markLines();
const asked = new URLSearchParams(location.search).get("step");
if (asked) goToStep(asked);
