// Keeps elapsed clocks and relative times going from what the server wrote. The difference between
// its clock and this machine's is taken out, so that a wrong clock here shows no wrong times.

const DAY = 86400;
const pad = (number) => String(number).padStart(2, "0");

function clock(seconds) {
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return hours ? `${hours}:${pad(minutes)}:${pad(seconds % 60)}` : `${pad(minutes)}:${pad(seconds % 60)}`;
}

function duration(seconds) {
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  const [large, unit, small, smallUnit] =
    seconds < DAY
      ? [Math.floor(seconds / 3600), "h", Math.floor((seconds % 3600) / 60), "min"]
      : [Math.floor(seconds / DAY), "d", Math.floor((seconds % DAY) / 3600), "h"];
  return small ? `${large} ${unit} ${small} ${smallUnit}` : `${large} ${unit}`;
}

function ago(seconds) {
  if (seconds === 0) return "now";
  return seconds > 0 ? `${duration(seconds)} ago` : `in ${duration(-seconds)}`;
}

const served = Number(document.querySelector('meta[name="served-at"]')?.content) * 1000 || Date.now();
const opened = performance.now();
export const now = () => served + (performance.now() - opened);

function tick() {
  if (document.hidden) return;
  for (const element of document.querySelectorAll("time[data-tick]")) {
    const seconds = Math.floor((now() - Date.parse(element.dateTime)) / 1000);
    const kind = element.dataset.tick;
    let text = null;
    if (kind === "clock") text = clock(Math.max(seconds, 0));
    else if (kind === "for") text = duration(Math.max(seconds, 0));
    else if (kind === "left") text = seconds < 0 ? `in ${clock(-seconds)}` : "now";
    // From a day on it is a date, which the server writes in the reader's zone.
    else if (Math.abs(seconds) < DAY) text = ago(seconds);
    if (text !== null && element.textContent !== text) element.textContent = text;
  }
}

setInterval(tick, 1000);
document.addEventListener("visibilitychange", tick);
