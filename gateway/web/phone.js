/** The softphone page: who is called, the words, and where the time goes. */

import { OffhookCall } from "./offhook.js";

const $ = (id) => document.getElementById(id);
const KEYS = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "*", "0", "#"];
const NAMES = { "*": "star", "#": "pound" };
const HOPS = { rx: "in", vad: "voice", endpoint: "turn", asr_final: "words", agent: "agent", tts: "speech", tx: "out" };
const STATES = {
  connecting: "Calling …",
  connected: "Connected. Speak now.",
  reconnecting: "The connection is lost, trying again …",
};
const ENDS = {
  hung_up: "You hung up.",
  agent_hung_up: "The agent hung up.",
  dialplan_hung_up: "The call is over.",
  connection_lost: "The connection was lost.",
  no_input: "The call ended because nobody spoke.",
  transferred: "You were transferred.",
  drained: "The server is shutting down.",
};
const KEPT_LINES = 300;
const KEPT_TURNS = 50;

let call = null;
let lastWords = "";
let watching = 0;

// --------------------------------------------------------------------------------------------- theme, keys

const theme = $("theme");
setTheme(remembered("theme") ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
theme.addEventListener("click", () => {
  const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  setTheme(next);
  remember("theme", next);
});

function setTheme(name) {
  document.documentElement.dataset.theme = name;
  theme.setAttribute("aria-pressed", String(name === "dark"));
}

for (const key of KEYS) {
  const button = Object.assign(document.createElement("button"), { type: "button", textContent: key });
  if (NAMES[key]) button.setAttribute("aria-label", NAMES[key]);
  button.addEventListener("click", () => press(key));
  $("keypad").append(button);
}

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, textarea, select");
  if (call && !typing && !event.ctrlKey && !event.metaKey && !event.altKey && KEYS.includes(event.key)) {
    press(event.key);
  }
});

function press(key) {
  try {
    call?.digits(key);
  } catch (error) {
    say(error.message, true);
  }
}

// -------------------------------------------------------------------------------------------------- dialling

const key = $("key");
key.value = sessionStorage.getItem("offhook-key") ?? "";
key.addEventListener("change", () => {
  sessionStorage.setItem("offhook-key", key.value);
  loadTargets();
});
$("to").value = new URLSearchParams(location.search).get("to") ?? remembered("to") ?? "";
loadTargets();

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (call) call.hangup();
  else place();
});
$("mute").addEventListener("click", () => {
  call?.mute(!call.muted);
  $("mute").setAttribute("aria-pressed", String(Boolean(call?.muted)));
});

async function loadTargets() {
  const headers = key.value ? { Authorization: `Bearer ${key.value}` } : {};
  const answer = await fetch("/phone/targets", { headers, cache: "no-store" }).catch(() => null);
  if (answer?.status === 401 || answer?.status === 403) {
    $("proof").open = true;
    say("This server asks for a key.", true);
    return;
  }
  const { targets = [] } = answer?.ok ? await answer.json() : {};
  $("targets").replaceChildren(...targets.map((name) => new Option(name)));
  $("quick").replaceChildren(
    ...targets.slice(0, 12).map((name) => {
      const item = document.createElement("li");
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: name });
      button.addEventListener("click", () => {
        $("to").value = name;
        $("call").focus();
      });
      item.append(button);
      return item;
    }),
  );
  if (!$("to").value && targets.length) $("to").value = targets[0];
}

async function place() {
  const to = $("to").value.trim();
  remember("to", to);
  $("words").replaceChildren();
  lastWords = "";
  $("ledger").tBodies[0].replaceChildren();
  const placed = new OffhookCall({ to, key: key.value || undefined });
  follow(placed);
  try {
    await placed.start();
    placed.mute(false);
  } catch (error) {
    const again = error.retryAfter ? ` Try again in ${error.retryAfter} seconds.` : "";
    say(`${sentence(error.message)}${again}`, true);
  }
}

function follow(placed) {
  call = placed;
  busy(true);
  placed.addEventListener("state", ({ detail }) => {
    if (STATES[detail.state]) say(STATES[detail.state], detail.state === "reconnecting");
    $("keypad").disabled = $("mute").disabled = detail.state !== "connected";
    if (detail.state === "connected") watch(placed);
  });
  placed.addEventListener("transcript", ({ detail }) => write(detail));
  placed.addEventListener("latency", ({ detail }) => note(detail));
  placed.addEventListener("digits", ({ detail }) => line("note", `Key ${detail.digits}`));
  placed.addEventListener("hold", ({ detail }) => line("note", detail.on ? "On hold" : "Back from hold"));
  placed.addEventListener("transfer", ({ detail }) => line("note", `Transfer: ${detail.state}`));
  placed.addEventListener("blocked", ({ detail }) => say(detail.message, true));
  placed.addEventListener("ended", ({ detail }) => {
    if (call !== placed) return;
    call = null;
    busy(false);
    $("interim").textContent = "";
    if (!detail.error) say(ENDS[detail.reason] ?? "The call is over.");
  });
}

function busy(on) {
  const button = $("call");
  button.textContent = on ? "Hang up" : "Call";
  button.toggleAttribute("data-busy", on);
  $("to").readOnly = on;
  if (!on) {
    $("keypad").disabled = $("mute").disabled = true;
    $("mute").setAttribute("aria-pressed", "false");
    clearInterval(watching);
    meter(0);
  }
}

// ------------------------------------------------------------------------------------------ what is shown

function say(text, bad = false) {
  $("status").textContent = text;
  $("status").toggleAttribute("data-bad", bad);
}

function write({ who, text, final }) {
  if (who === "caller" && !final) {
    if (!lastWords.endsWith(text)) $("interim").textContent = text; // the last words may be told twice
    return;
  }
  if (who === "caller") {
    $("interim").textContent = "";
    lastWords = text;
  }
  line(who, text, who === "caller" ? "You" : "Agent");
}

function line(kind, text, name = "") {
  const item = document.createElement("div");
  item.className = kind;
  if (name) item.append(Object.assign(document.createElement("b"), { textContent: name }));
  item.append(text);
  const words = $("words");
  const atEnd = words.scrollHeight - words.scrollTop - words.clientHeight < 40;
  words.append(item);
  while (words.childElementCount > KEPT_LINES) words.firstChild.remove();
  if (atEnd) words.scrollTop = words.scrollHeight;
}

function note({ turn, total_ms: total, hops }) {
  const row = $("ledger").tBodies[0].insertRow(0);
  const parts = Object.entries(hops).map(([hop, ms]) => `${HOPS[hop] ?? hop} ${ms}`);
  for (const text of [String(turn), `${total} ms`, parts.join(" · ")]) row.insertCell().textContent = text;
  while (row.parentElement.rows.length > KEPT_TURNS) row.parentElement.deleteRow(-1);
}

/** The path's figures each second, and how loud the far end is. */
function watch(placed) {
  clearInterval(watching);
  watching = setInterval(async () => {
    const { rttMs, jitterMs, bufferMs, lost } = await placed.stats();
    const told = [
      rttMs !== null && `round trip ${rttMs} ms`,
      jitterMs !== null && `jitter ${jitterMs} ms`,
      bufferMs !== null && `buffer ${bufferMs} ms`,
      `${lost} packets lost`,
      placed.codec,
    ];
    $("path").textContent = told.filter(Boolean).join(" · ");
  }, 1000);
  listen(placed);
}

function listen(placed) {
  const stream = placed.remoteStream;
  if (!stream || placed.analysed) return;
  placed.analysed = true;
  const context = new AudioContext();
  const analyser = Object.assign(context.createAnalyser(), { fftSize: 512 });
  context.createMediaStreamSource(stream).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  const look = () => {
    if (placed.state === "ended") {
      context.close();
      return;
    }
    analyser.getFloatTimeDomainData(samples);
    const rms = Math.sqrt(samples.reduce((sum, value) => sum + value * value, 0) / samples.length);
    meter(Math.min(1, rms * 4));
    requestAnimationFrame(look);
  };
  look();
}

function meter(share) {
  $("meter").firstElementChild.style.transform = `scaleX(${share})`;
}

function sentence(text) {
  const told = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(told) ? told : `${told}.`;
}

function remembered(name) {
  try {
    return localStorage.getItem(`offhook-${name}`);
  } catch {
    return null;
  }
}

function remember(name, value) {
  try {
    localStorage.setItem(`offhook-${name}`, value);
  } catch {
    // A page that may not remember asks again.
  }
}
