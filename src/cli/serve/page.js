"use strict";
// Every text gets onto the page as a text node: nothing from a log or a row can become markup.
const byId = (id) => document.getElementById(id);
const node = (name, text, style) => {
  const made = document.createElement(name);
  made.textContent = text;
  if (style) made.className = style;
  return made;
};
const fill = (id, nodes) => byId(id).replaceChildren(...nodes);
const row = (cells) => {
  const made = document.createElement("tr");
  made.append(...cells.map(([text, style]) => node("td", String(text ?? ""), style)));
  return made;
};
const span = (ms) => ms == null ? "not yet" : ms < 1000 ? `${ms} ms` : ms < 60000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.floor(ms / 60000)} min ${Math.floor(ms / 1000) % 60} s`;
const clock = (time) => String(time).replace("T", " ").replace(/\..*|Z$/, "");
const fact = (name, value, style) => {
  const made = document.createElement("div");
  made.append(node("dt", name), node("dd", value, style));
  return made;
};

function show(news) {
  if (news.problem) {
    byId("line").textContent = news.problem;
    return;
  }
  const { incident, objectives } = news;
  const resumed = incident.status === "resumed";
  byId("title").textContent = incident.id;
  document.title = `${resumed ? "resumed" : "open"} ${incident.id}`;
  byId("line").textContent = `${resumed ? "Resumed" : "Open"} since ${clock(incident.resumed ?? incident.opened)}: ${incident.reason}`;
  const paused = resumed ? ["lifted by the resume", "good"] : objectives.pause_proven ? ["proven", "good"] : ["NOT proven", "bad"];
  fill("facts", [
    fact("Pause", ...paused),
    fact("Trading stopped after", span(objectives.pause_ms)),
    fact("Old values dead after", span(objectives.contained_ms)),
    fact("Objective", `${objectives.rto_minutes} min`),
    fact("Approvals", `${news.approvals.length} of ${news.threshold}`),
    fact("Ledger", `${news.entries} entries`),
  ]);
  const blocking = news.blocking.map((words) => node("li", words, "bad"));
  if (!blocking.length) blocking.push(node("li", resumed ? "nothing: trading was let in again" : "nothing by the ledger; the gate asks the world too: portcullis audit show --gate", "good"));
  fill("blocking", blocking);
  fill("credentials", news.credentials.map((one) => row([
    [one.id + (one.compromised ? " (compromised)" : "")],
    one.old_refused ? ["dead", "good"] : ["NOT proven dead", "bad"],
    one.new_accepted ? ["accepted", "good"] : ["NOT proven", "bad"],
    [one.detail],
  ])));
  fill("scans", [
    ...news.scans.map((one) => row([[`scan ${one.name}`], [one.findings], one.complete ? ["complete", "good"] : ["NOT complete", "bad"]])),
    ...news.levels.map((one) => row([[one.level], [one.findings], one.open ? [`${one.open} undecided`, "warn"] : ["decided", "good"]])),
  ]);
  fill("timeline", news.timeline.map((one) => row([[clock(one.time), "time"], [one.kind, one.finding ? "kind bad" : "kind dim"], [one.words]])));
}

async function listen() {
  const token = location.hash.slice(1);
  const reply = await fetch("/events", { headers: { Authorization: `Bearer ${token}` } });
  if (!reply.ok) {
    byId("line").textContent = await reply.text();
    return reply.status !== 401;
  }
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return true;
    waiting += value;
    let end;
    while ((end = waiting.indexOf("\n\n")) >= 0) {
      const event = waiting.slice(0, end);
      waiting = waiting.slice(end + 2);
      if (event.startsWith("data: ")) show(JSON.parse(event.slice(6)));
    }
  }
}

async function forever() {
  for (;;) {
    let again = true;
    try {
      again = await listen();
    } catch {
      // Said below: the server is gone, or not there yet.
    }
    if (!again) return;
    byId("line").textContent = "Not connected: what stands here may be old.";
    await new Promise((wake) => setTimeout(wake, 2000));
  }
}
forever();
