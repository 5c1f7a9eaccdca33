// A load that gets too old while somebody looks: its lamp says so in that second, and once aloud.

import { now } from "./clocks.js";

function look() {
  if (document.hidden) return;
  for (const age of document.querySelectorAll("time[data-fresh-for]")) {
    if (now() - Date.parse(age.dateTime) <= Number(age.dataset.freshFor) * 1000) continue;
    const lamp = age.closest(".lamp");
    if (!lamp || lamp.dataset.state !== "ok") continue;
    lamp.dataset.state = "breach";
    lamp.dataset.tone = "bad";
    lamp.querySelector(".lamp__w").textContent = "Breach";
    const shape = lamp.querySelector("use");
    shape.setAttribute("href", shape.getAttribute("href").replace(/#.*/, "#i-l-breach"));
    const said = document.getElementById("freshness-said");
    if (said) said.textContent = `${lamp.title}: too old now.`;
  }
}

setInterval(look, 1000);
document.addEventListener("visibilitychange", look);
