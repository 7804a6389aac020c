/**
 * `<offhook-call>`: a call button. Everybody can use it: a real button, its state in words, told to screen readers.
 *
 *   <script type="module" src="/web/offhook-call.js"></script>
 *   <offhook-call agent="reception">Talk to us</offhook-call>
 *
 * Attributes: `url`, `agent` or `to`, `caller`, `token` (good for one call) or `token-url` (an address of your server
 * that answers a POST with what `/v1/webrtc/tokens` gave it), `words` (show what is said).
 * Events, bubbling: `offhook-state`, `offhook-transcript`, `offhook-ended`, `offhook-error`.
 * Parts for your style sheet: `button`, `status`, `words`.
 */

import { OffhookCall, OffhookError } from "./offhook.js";

const STYLE = `
:host { display: inline-block; font: inherit; max-inline-size: 100%; }
button {
  font: inherit; font-weight: 600; color: var(--offhook-on, #fff); background: var(--offhook-call, #0b6b3a);
  border: 2px solid transparent; border-radius: 999px; padding: .7em 1.4em; min-block-size: 44px; cursor: pointer;
}
button[data-busy] { background: var(--offhook-hangup, #a11b1b); }
button:focus-visible { outline: 3px solid var(--offhook-focus, #1a73e8); outline-offset: 3px; }
[part=status] { display: block; min-block-size: 1.4em; margin-block-start: .3em; font-size: .9em; }
[part=words] { margin: .3em 0 0; font-size: .95em; max-block-size: 12em; overflow: auto; }
[part=words] .caller::before { content: "You: "; opacity: .7; }
[part=words] .agent::before { content: "They: "; opacity: .7; }
@media (forced-colors: active) { button { border-color: ButtonText; } }
`;

const TOLD = {
  idle: "",
  connecting: "Calling …",
  connected: "Connected. Speak now.",
  reconnecting: "The connection is lost, trying again …",
  ended: "The call is over.",
};
const KEPT_LINES = 50;

export class OffhookCallElement extends HTMLElement {
  #call = null;
  #button;
  #status;
  #words;

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open", delegatesFocus: true });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    root.adoptedStyleSheets = [sheet];
    this.#button = Object.assign(document.createElement("button"), { type: "button" });
    this.#button.part = "button";
    this.#button.append(document.createElement("slot"));
    this.#status = Object.assign(document.createElement("span"), { role: "status" });
    this.#status.part = "status";
    this.#words = Object.assign(document.createElement("div"), { hidden: true });
    this.#words.part = "words";
    this.#words.setAttribute("role", "log");
    this.#words.setAttribute("aria-label", "What was said");
    this.#words.tabIndex = 0;
    root.append(this.#button, this.#status, this.#words);
    this.#button.addEventListener("click", () => (this.#call ? this.hangup() : this.call()));
  }

  connectedCallback() {
    if (!this.textContent.trim()) this.textContent = "Call";
  }

  disconnectedCallback() {
    this.hangup();
  }

  /** The running call, or null. */
  get current() {
    return this.#call;
  }

  /** What the button does. */
  async call() {
    if (this.#call) return;
    try {
      const call = new OffhookCall({ ...(await this.#token()), ...this.#chosen() });
      this.#follow(call);
      await call.start();
    } catch (error) {
      this.#say(error.message);
      this.#fire("error", { error });
      this.#show(null);
    }
  }

  hangup() {
    this.#call?.hangup();
  }

  #chosen() {
    const given = {};
    for (const name of ["url", "agent", "to", "caller", "token"]) {
      if (this.hasAttribute(name)) given[name] = this.getAttribute(name);
    }
    return given;
  }

  async #token() {
    const from = this.getAttribute("token-url");
    if (!from) return {};
    const answer = await fetch(from, { method: "POST", cache: "no-store" }).catch(() => null);
    if (!answer?.ok) throw new OffhookError("token_refused", "no call can be made at the moment");
    const { token, ice_servers: iceServers } = await answer.json();
    return { token, iceServers };
  }

  #follow(call) {
    this.#words.replaceChildren();
    this.#words.hidden = !this.hasAttribute("words");
    this.#show(call);
    call.addEventListener("state", ({ detail }) => {
      this.#say(TOLD[detail.state] ?? "");
      this.#fire("state", detail);
    });
    call.addEventListener("transcript", ({ detail }) => {
      if (detail.final) this.#write(detail);
      this.#fire("transcript", detail);
    });
    call.addEventListener("blocked", ({ detail }) => this.#say(detail.message));
    call.addEventListener("ended", ({ detail }) => {
      this.#show(null);
      this.#fire("ended", detail);
    });
  }

  #show(call) {
    this.#call = call;
    this.#button.toggleAttribute("data-busy", Boolean(call));
    if (call) this.#button.setAttribute("aria-label", "Hang up");
    else this.#button.removeAttribute("aria-label");
  }

  #say(text) {
    this.#status.textContent = text;
  }

  #write({ who, text }) {
    const line = Object.assign(document.createElement("div"), { textContent: text, className: who });
    this.#words.append(line);
    while (this.#words.childElementCount > KEPT_LINES) this.#words.firstChild.remove();
    this.#words.scrollTop = this.#words.scrollHeight;
  }

  #fire(name, detail) {
    this.dispatchEvent(new CustomEvent(`offhook-${name}`, { detail, bubbles: true, composed: true }));
  }
}

if (!customElements.get("offhook-call")) customElements.define("offhook-call", OffhookCallElement);
