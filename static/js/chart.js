// The past of a panel, drawn with uPlot: a line that is never joined across what nobody saw, its
// limit, the states beneath it on the same axis, and what happened to the model as dotted lines.

const EVERY = 30; // seconds between two looks, of a range that ends now
const LEFT = 56; // width of the axis; .plot__x in panels.css has the same
const NAMES = {
  line: "--c-now", band: "--c-band", grid: "--c-grid", limit: "--c-limit", text: "--fg-3",
  mark: "--fg-3", blind: "--blind-bg", blindLine: "--blind-line", idle: "--idle-bg",
  idleLine: "--idle-line", label: "--bad-fg", surface: "--surface",
};
const SHAPES = {
  ok: [7, 3], breach: [0, 10], partial: [3, 7], no_data: [3, 7], unreachable: [3, 7],
  no_traffic: [8, 2], not_measurable: [8, 2],
};
const HOURS = "{HH}:{mm}";
const DAY = "{D} {MMM}";
// Least step in seconds, its words, then what is added when a year, a month or a day begins.
const TIMES = [
  [31536000, "{YYYY}", null, null, null, null, null, null, 1],
  [2419200, "{MMM}", "\n{YYYY}", null, null, null, null, null, 1],
  [86400, DAY, "\n{YYYY}", null, null, null, null, null, 1],
  [3600, HOURS, `\n${DAY} {YYYY}`, null, `\n${DAY}`, null, null, null, 1],
  [60, HOURS, `\n${DAY} {YYYY}`, null, `\n${DAY}`, null, null, null, 1],
  [1, "{HH}:{mm}:{ss}", `\n${DAY} {YYYY}`, null, `\n${DAY}`, null, null, null, 1],
];

const box = document.querySelector("[data-chart]");
const readout = document.querySelector("[data-readout]");
const strip = document.querySelector("[data-strip]");
const trouble = document.querySelector("[data-trouble]");
const colours = {};
let plot = null;
let told = null;

// A canvas knows no custom properties, and light-dark() is settled only in an element's own style.
function readColours() {
  const probe = document.createElement("i");
  box.append(probe);
  for (const [name, token] of Object.entries(NAMES)) {
    probe.style.color = `var(${token})`;
    colours[name] = getComputedStyle(probe).color;
  }
  probe.remove();
}

function figure(value) {
  const size = Math.abs(value);
  const digits = Number.isInteger(value) || size >= 100 ? 0 : size >= 10 ? 1 : size >= 0.1 ? 2 : 4;
  return value.toLocaleString("en-GB", { maximumFractionDigits: digits }).replace("-", "−");
}

const moment = (seconds) =>
  new Date(seconds * 1000).toLocaleString("en-GB", {
    timeZone: box.dataset.zone, day: "numeric", month: "short", hour: "2-digit", minute: "2-digit",
    second: told && told.to - told.from < 7200 ? "2-digit" : undefined,
  });

// Zero is in the frame unless the values lie close together and far from it.
function bounds(_plot, low, high) {
  const limits = told.limits.map((one) => one.value);
  const bottom = Math.min(low ?? 0, ...limits);
  const top = Math.max(high ?? 1, ...limits);
  if (bottom > 0 && bottom > top * 0.75) {
    const room = (top - bottom || top * 0.1) * 0.15;
    return [bottom - room, top + room];
  }
  const least = Math.min(0, bottom);
  const most = Math.max(0, top);
  const room = (most - least || 1) * 0.08;
  return [least < 0 ? least - room : 0, most > 0 ? most + room : 0];
}

function drawBehind(drawn) {
  const { ctx, bbox } = drawn;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  for (const [start, end, isBlind] of told.gaps) {
    const left = drawn.valToPos(start, "x", true);
    const width = Math.max(drawn.valToPos(end, "x", true) - left, devicePixelRatio);
    ctx.fillStyle = isBlind ? colours.blind : colours.idle;
    ctx.fillRect(left, bbox.top, width, bbox.height);
    ctx.strokeStyle = isBlind ? colours.blindLine : colours.idleLine;
    ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
    ctx.lineWidth = devicePixelRatio;
    ctx.strokeRect(left, bbox.top - devicePixelRatio, width, bbox.height + 2 * devicePixelRatio);
  }
  ctx.restore();
}

function vertical(ctx, drawn, at, dash) {
  const x = Math.round(drawn.valToPos(at, "x", true)) + 0.5;
  ctx.setLineDash(dash.map((one) => one * devicePixelRatio));
  ctx.beginPath();
  ctx.moveTo(x, drawn.bbox.top);
  ctx.lineTo(x, drawn.bbox.top + drawn.bbox.height);
  ctx.stroke();
}

function drawOver(drawn) {
  const { ctx, bbox } = drawn;
  ctx.save();
  ctx.lineWidth = devicePixelRatio;
  ctx.strokeStyle = colours.mark;
  for (const [at] of told.marks) if (at >= told.from && at <= told.to) vertical(ctx, drawn, at, [1, 3]);
  for (const [at] of told.breaks) vertical(ctx, drawn, at, [6, 3]);
  ctx.font = `500 ${12 * devicePixelRatio}px ${getComputedStyle(box).fontFamily}`;
  ctx.textBaseline = "bottom";
  ctx.textAlign = "left";
  ctx.lineJoin = "round";
  for (const { value, label } of told.limits) {
    const y = Math.round(drawn.valToPos(value, "y", true)) + 0.5;
    ctx.strokeStyle = colours.limit;
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash([4 * devicePixelRatio, 3 * devicePixelRatio]);
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
    ctx.setLineDash([]);
    const above = y - 4 * devicePixelRatio;
    const below = y + 17 * devicePixelRatio;
    const at = [bbox.left + 4 * devicePixelRatio, above < bbox.top + 12 * devicePixelRatio ? below : above];
    ctx.strokeStyle = colours.surface;
    ctx.lineWidth = 4 * devicePixelRatio;
    ctx.strokeText(label, ...at);
    ctx.fillStyle = colours.label;
    ctx.fillText(label, ...at);
  }
  ctx.restore();
}

function stateAt(seconds) {
  return told.states.find(([start, end]) => seconds > start - 1 && seconds <= end + 1)?.[3];
}

function read(drawn) {
  const index = drawn.cursor.idx;
  if (index == null || !readout) return;
  const at = drawn.data[0][index];
  const value = drawn.data[2][index];
  const said = value == null ? "no value" : `${figure(value)} ${told.unit}`.trim();
  readout.textContent = [moment(at), said, stateAt(at)].filter(Boolean).join(" · ");
}

// A range that was drawn with the pointer becomes the range of the page, so that all of it agrees.
function zoom(drawn) {
  const { left, width } = drawn.select;
  if (width < 8) return;
  const [start, end] = [left, left + width].map((x) => new Date(drawn.posToVal(x, "x") * 1000));
  const url = new URL(location.href);
  url.searchParams.delete("range");
  url.searchParams.delete("after");
  url.searchParams.set("from", `${start.toISOString().slice(0, 19)}Z`);
  url.searchParams.set("to", `${end.toISOString().slice(0, 19)}Z`);
  url.hash = "past";
  location.assign(url);
}

function options() {
  const axis = {
    stroke: () => colours.text,
    grid: { stroke: () => colours.grid, width: 1 },
    ticks: { show: false },
    font: `12px ${getComputedStyle(box).fontFamily}`,
  };
  return {
    width: box.clientWidth,
    height: box.clientHeight,
    padding: [8, 12, 0, 0],
    legend: { show: false },
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), box.dataset.zone),
    scales: { x: { range: () => [told.from, told.to] }, y: { range: bounds } },
    cursor: { y: false, drag: { x: true, y: false, setScale: false }, points: { size: 7 } },
    axes: [
      { ...axis, grid: { show: false }, values: TIMES, space: 70, size: 36, gap: 4 },
      { ...axis, size: LEFT, gap: 6, values: (_plot, ticks) => ticks.map(figure) },
    ],
    series: [
      {},
      { stroke: "transparent", points: { show: false } },
      { stroke: () => colours.line, width: 1.75, points: { size: 4, fill: () => colours.line } },
      { stroke: "transparent", points: { show: false } },
    ],
    bands: [{ series: [3, 1], fill: () => colours.band }],
    hooks: { drawClear: [drawBehind], draw: [drawOver], setCursor: [read], setSelect: [zoom] },
  };
}

const columns = () => [told.columns.at, told.columns.low, told.columns.value, told.columns.high];

function draw() {
  const began = performance.now();
  if (plot) {
    plot.setData(columns());
    return;
  }
  readColours();
  const chosen = options();
  // The first drawing is the one that its reader waits for.
  chosen.hooks.draw.push(() => (box.dataset.drawn ??= (performance.now() - began).toFixed(1)));
  plot = new uPlot(chosen, columns(), box);
  box.removeAttribute("aria-busy");
}

function drawStrip() {
  strip.replaceChildren(
    ...told.strip.map(([x, width, state]) => {
      const piece = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      const [y, height] = SHAPES[state];
      piece.setAttribute("class", `st st--${state}`);
      for (const [name, value] of Object.entries({ x, width, y, height })) piece.setAttribute(name, value);
      return piece;
    }),
  );
}

function say(sentence) {
  trouble.textContent = sentence;
  trouble.hidden = !sentence;
}

async function load() {
  try {
    const answer = await fetch(box.dataset.points, { headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error(answer.status);
    told = await answer.json();
  } catch {
    say(plot ? "The chart could not be renewed. Trying again." : "The readings did not come. The table below has them.");
    return;
  }
  say(told.trouble);
  box.setAttribute("aria-label", told.sentence);
  for (const line of document.querySelectorAll("[data-sentence]")) line.textContent = told.sentence;
  drawStrip();
  draw();
}

// Left and right read one point after the other.
function step(event) {
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!by || !plot) return;
  event.preventDefault();
  const last = plot.data[0].length - 1;
  const index = Math.min(Math.max((plot.cursor.idx ?? last + (by > 0 ? 0 : 1)) + by, 0), last);
  plot.setCursor({ left: plot.valToPos(plot.data[0][index], "x"), top: 0 });
}

if (box) {
  load();
  box.addEventListener("keydown", step);
  new ResizeObserver(() => {
    if (plot && plot.width !== box.clientWidth) plot.setSize({ width: box.clientWidth, height: box.clientHeight });
  }).observe(box);
  const recolour = () => {
    readColours();
    plot?.redraw(false);
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);
  new MutationObserver(recolour).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  if (box.hasAttribute("data-moves")) {
    setInterval(() => {
      if (!document.hidden) load();
    }, EVERY * 1000);
  }
}
