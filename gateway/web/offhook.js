/**
 * Offhook in a page: one function that calls, and an object that is the call.
 *
 *   import { connect } from "./offhook.js";
 *   const call = await connect({ url: "https://voice.example.net", token });
 *   call.addEventListener("transcript", (event) => console.log(event.detail.who, event.detail.text));
 *
 * Signalling is WHIP (RFC 9725) with sound both ways; the data channel `offhook` carries everything else.
 * No dependency, no build step. Types are in offhook.d.ts.
 */

const CALLS = "/v1/webrtc/calls";
const ICE_SERVERS = "/v1/webrtc/ice_servers";
const CHANNEL = "offhook";
const SDP = "application/sdp";
const FRAGMENT = "application/trickle-ice-sdpfrag";
/** How long an audio path may be broken before a new one is looked for, in milliseconds. */
const PATIENCE_MS = 1500;
/** How long a call may stay broken before it is given up. */
const GIVE_UP_MS = 20000;
/** How long connecting may take. */
const CONNECT_MS = 20000;
const CANDIDATES_MS = 30;

/** Why a call could not be made or went on no longer; `code` is for programs, `message` for people. */
export class OffhookError extends Error {
  constructor(code, message, details = {}) {
    super(message);
    this.name = "OffhookError";
    this.code = code;
    this.status = details.status ?? 0;
    this.retryAfter = details.retryAfter ?? 0;
    if (details.cause !== undefined) this.cause = details.cause;
  }
}

/** Call. Resolves once the far end has answered and sound flows; rejects with an `OffhookError`. */
export async function connect(options = {}) {
  const call = new OffhookCall(options);
  await call.start();
  return call;
}

/** One call. Fires `state`, `transcript`, `phase`, `latency`, `digits`, `hold`, `transfer`, `bargein`, `ended`. */
export class OffhookCall extends EventTarget {
  #options;
  #state = "idle";
  #peer = null;
  #channel = null;
  #stream = null;
  #ownsStream = false;
  #player = null;
  #location = "";
  #tag = "";
  #candidates = [];
  #timers = new Map();
  #restarting = null;
  #settle = null;
  #muted = false;
  #onPageHide = () => this.#leave();
  #onOnline = () => this.#restart();

  /** @param {import("./offhook.js").ConnectOptions} options */
  constructor(options = {}) {
    super();
    this.#options = options;
    this.id = "";
    this.codec = "";
  }

  /** `idle`, `connecting`, `connected`, `reconnecting` or `ended`. */
  get state() {
    return this.#state;
  }

  get muted() {
    return this.#muted;
  }

  /** The far end's sound, for a page that shows or records it. */
  get remoteStream() {
    return this.#player?.srcObject ?? null;
  }

  get peerConnection() {
    return this.#peer;
  }

  /** What `connect` does. Once for each object. */
  async start() {
    if (this.#state !== "idle") throw new OffhookError("used", "this call was started before");
    this.#become("connecting");
    const { signal } = this.#options;
    try {
      signal?.throwIfAborted();
      signal?.addEventListener("abort", () => this.hangup(), { once: true });
      await this.#offer();
      await this.#connected();
    } catch (error) {
      const told = known(error);
      this.#close(told.code, told);
      throw told;
    }
  }

  /** Stop sending what the microphone hears, or go on. */
  mute(on = true) {
    this.#muted = Boolean(on);
    for (const track of this.#stream?.getAudioTracks() ?? []) track.enabled = !this.#muted;
    this.#send({ type: "mute", on: this.#muted });
  }

  /** Press keys: 0-9, *, #, A-D. */
  digits(keys) {
    if (!/^[0-9*#A-D]{1,32}$/.test(keys)) throw new OffhookError("digits", "keys are 0-9, *, # and A-D");
    this.#send({ type: "digits", digits: keys });
  }

  /** End the call. Idempotent. */
  hangup() {
    this.#leave();
    this.#close("hung_up");
  }

  /** Milliseconds and counts of the path as the browser sees it. */
  async stats() {
    const found = { rttMs: null, jitterMs: null, lost: 0, received: 0, bufferMs: null };
    for (const report of (await this.#peer?.getStats())?.values() ?? []) {
      if (report.type === "inbound-rtp" && report.kind === "audio") {
        found.jitterMs = Math.round((report.jitter ?? 0) * 1000);
        found.lost = report.packetsLost ?? 0;
        found.received = report.packetsReceived ?? 0;
        if (report.jitterBufferEmittedCount) {
          found.bufferMs = Math.round((report.jitterBufferDelay / report.jitterBufferEmittedCount) * 1000);
        }
      }
      if (report.type === "candidate-pair" && report.nominated && report.currentRoundTripTime !== undefined) {
        found.rttMs = Math.round(report.currentRoundTripTime * 1000);
      }
    }
    return found;
  }

  // ------------------------------------------------------------------------------------------ setting up

  async #offer() {
    const options = this.#options;
    this.#stream = options.stream ?? (await microphone(options.audio));
    this.#ownsStream = !options.stream;
    if (this.#state !== "connecting") throw new OffhookError("hung_up", "hung up before the call was made");
    const iceServers = options.iceServers ?? (await this.#iceServers());
    const peer = new RTCPeerConnection({
      iceServers,
      iceTransportPolicy: options.relayOnly ? "relay" : "all",
      bundlePolicy: "max-bundle",
    });
    this.#peer = peer;
    peer.addEventListener("icecandidate", (event) => this.#found(event.candidate));
    peer.addEventListener("connectionstatechange", () => this.#pathChanged());
    peer.addEventListener("track", (event) => this.#play(event.streams[0] ?? new MediaStream([event.track])));
    this.#channel = peer.createDataChannel(CHANNEL);
    this.#channel.addEventListener("message", (event) => this.#told(event.data));
    for (const track of this.#stream.getAudioTracks()) {
      peer.addTransceiver(track, { direction: "sendrecv", streams: [this.#stream] });
    }
    await peer.setLocalDescription();
    const answer = await this.#request("POST", this.#callsUrl(), {
      headers: { "Content-Type": SDP },
      body: peer.localDescription.sdp,
    });
    this.#location = new URL(answer.headers.get("Location"), this.#base()).href;
    this.#tag = answer.headers.get("ETag") ?? "";
    this.id = this.#location.split("/").pop();
    globalThis.addEventListener?.("pagehide", this.#onPageHide);
    globalThis.addEventListener?.("online", this.#onOnline);
    await peer.setRemoteDescription({ type: "answer", sdp: await answer.text() });
    this.#after("candidates", CANDIDATES_MS, () => this.#trickle());
  }

  #connected() {
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
      this.#after("connect", CONNECT_MS, () =>
        reject(new OffhookError("no_path", "no audio path to the server was found; a TURN server may help")),
      );
      this.#pathChanged();
    }).finally(() => this.#stop("connect"));
  }

  async #iceServers() {
    if (this.#options.token) return []; // they came with the token, to whoever asked for it
    try {
      const answer = await this.#request("GET", new URL(ICE_SERVERS, this.#base()));
      return (await answer.json()).ice_servers ?? [];
    } catch {
      return [];
    }
  }

  #base() {
    return new URL(this.#options.url ?? "", globalThis.location?.href);
  }

  #callsUrl() {
    const url = new URL(CALLS, this.#base());
    const { to, agent, caller } = this.#options;
    for (const [name, value] of Object.entries({ to: to ?? agent, caller })) {
      if (value) url.searchParams.set(name, value);
    }
    return url;
  }

  async #request(method, url, init = {}) {
    const headers = new Headers(init.headers);
    const proof = this.#options.token ?? this.#options.key;
    if (proof) headers.set("Authorization", `Bearer ${proof}`);
    let answer;
    try {
      answer = await fetch(url, { ...init, method, headers, cache: "no-store" });
    } catch (cause) {
      throw new OffhookError("unreachable", "the server cannot be reached", { cause });
    }
    if (answer.ok) return answer;
    const problem = await answer.json().catch(() => ({}));
    throw new OffhookError(codeOf(answer.status), problem.detail ?? `the server answered ${answer.status}`, {
      status: answer.status,
      retryAfter: Number(answer.headers.get("Retry-After")) || 0,
    });
  }

  // -------------------------------------------------------------------------------------- the audio path

  #found(candidate) {
    this.#candidates.push(candidate?.candidate ? `a=${candidate.candidate}` : "a=end-of-candidates");
    if (this.#tag) this.#after("candidates", CANDIDATES_MS, () => this.#trickle());
  }

  async #trickle() {
    if (!this.#candidates.length || !this.#tag || this.#restarting) return;
    const lines = this.#candidates.splice(0);
    try {
      await this.#patch(this.#tag, lines);
    } catch {
      // One candidate less: the others may do, and a restart brings all of them.
    }
  }

  #patch(match, lines) {
    const local = this.#peer.localDescription.sdp;
    const body = [
      `a=ice-ufrag:${attribute(local, "ice-ufrag")}`,
      `a=ice-pwd:${attribute(local, "ice-pwd")}`,
      "m=audio 9 UDP/TLS/RTP/SAVPF 0",
      `a=mid:${attribute(local, "mid")}`,
      ...lines,
      "",
    ].join("\r\n");
    return this.#request("PATCH", this.#location, {
      headers: { "Content-Type": FRAGMENT, "If-Match": match },
      body,
    });
  }

  #pathChanged() {
    const state = this.#peer?.connectionState;
    if (state === "connected") {
      this.#stop("patience");
      this.#stop("give up");
      this.#become("connected");
      this.#settle?.resolve();
      this.#settle = null;
    } else if (state === "failed" && this.#settle) {
      this.#settle.reject(new OffhookError("no_path", "no audio path to the server was found"));
    } else if ((state === "disconnected" || state === "failed") && this.#state !== "ended" && !this.#settle) {
      this.#become("reconnecting");
      this.#after("patience", state === "failed" ? 0 : PATIENCE_MS, () => this.#restart());
      if (!this.#timers.has("give up")) {
        this.#after("give up", GIVE_UP_MS, () => this.#close("connection_lost"));
      }
    }
  }

  /** A new ICE session (RFC 9725 section 4.3.3), because the old path is broken or the network changed. */
  #restart() {
    if (this.#restarting || !this.#location || !["connected", "reconnecting"].includes(this.#state)) return;
    this.#restarting = this.#restartNow()
      .catch((error) => {
        if (error instanceof OffhookError && error.status === 404) this.#close("connection_lost");
        else if (this.#state === "reconnecting") this.#after("patience", PATIENCE_MS, () => this.#restart());
      })
      .finally(() => {
        this.#restarting = null;
      });
  }

  async #restartNow() {
    const peer = this.#peer;
    this.#candidates = [];
    await peer.setLocalDescription(await peer.createOffer({ iceRestart: true }));
    await gathered(peer);
    const lines = this.#candidates.splice(0);
    const answer = await this.#patch("*", lines);
    this.#tag = answer.headers.get("ETag") ?? this.#tag;
    const fragment = await answer.text();
    await peer.setRemoteDescription({ type: "answer", sdp: renewed(peer.remoteDescription.sdp, fragment) });
  }

  #play(stream) {
    this.#player ??= Object.assign(new Audio(), { autoplay: true });
    this.#player.srcObject = stream;
    this.#player.play().catch(() => this.#emit("blocked", { message: "the browser plays sound after a click" }));
  }

  // ------------------------------------------------------------------------------------ the data channel

  #send(message) {
    if (this.#channel?.readyState === "open") this.#channel.send(JSON.stringify(message));
  }

  #told(text) {
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      return;
    }
    const { type, ...rest } = message;
    switch (type) {
      case "hello":
        this.id = rest.call_id ?? this.id;
        this.codec = rest.codec ?? "";
        break;
      case "barge_in":
        this.#emit("bargein", rest);
        break;
      case "ended":
        this.#close(rest.reason ?? "ended");
        break;
      default:
        if (typeof type === "string") this.#emit(type, rest);
    }
  }

  // --------------------------------------------------------------------------------------------- the end

  #leave() {
    this.#send({ type: "hangup" });
    if (!this.#location || this.#state === "ended") return;
    const headers = {};
    const proof = this.#options.token ?? this.#options.key;
    if (proof) headers.Authorization = `Bearer ${proof}`;
    fetch(this.#location, { method: "DELETE", keepalive: true, headers }).catch(() => {});
  }

  #close(reason, error) {
    if (this.#state === "ended") return;
    globalThis.removeEventListener?.("pagehide", this.#onPageHide);
    globalThis.removeEventListener?.("online", this.#onOnline);
    for (const name of [...this.#timers.keys()]) this.#stop(name);
    this.#settle?.reject(error ?? new OffhookError(reason, "the call ended before it was answered"));
    this.#settle = null;
    if (this.#ownsStream) for (const track of this.#stream?.getTracks() ?? []) track.stop();
    if (this.#player) this.#player.srcObject = null;
    this.#peer?.close();
    this.#become("ended");
    this.#emit("ended", { reason, error });
  }

  #become(state) {
    if (state === this.#state || this.#state === "ended") return;
    this.#state = state;
    this.#emit("state", { state });
  }

  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  #after(name, ms, work) {
    this.#stop(name);
    this.#timers.set(
      name,
      setTimeout(() => {
        this.#timers.delete(name);
        work();
      }, ms),
    );
  }

  #stop(name) {
    clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }
}

async function microphone(audio) {
  if (!globalThis.navigator?.mediaDevices?.getUserMedia) {
    throw new OffhookError("insecure", "a browser gives its microphone to pages on https or on this machine only");
  }
  const wanted = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, ...audio };
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: wanted });
  } catch (cause) {
    if (cause.name === "NotAllowedError") {
      throw new OffhookError("microphone_denied", "the microphone was not allowed; allow it beside the address", { cause });
    }
    throw new OffhookError("no_microphone", "no microphone can be used", { cause });
  }
}

function known(error) {
  if (error instanceof OffhookError) return error;
  if (error?.name === "AbortError") return new OffhookError("hung_up", "the call was given up", { cause: error });
  return new OffhookError("failed", error?.message ?? "the call failed", { cause: error });
}

function codeOf(status) {
  const codes = { 401: "token_refused", 403: "forbidden", 404: "nobody_there", 422: "no_codec", 429: "too_many" };
  return codes[status] ?? (status >= 500 ? "busy" : "refused");
}

/** The first value of an SDP attribute. */
function attribute(sdp, name) {
  return sdp.match(new RegExp(`^a=${name}:(.*)$`, "m"))?.[1].trim() ?? "";
}

/** An SDP answer with the ICE session of a fragment in place of its own. */
function renewed(sdp, fragment) {
  const fresh = ["ice-ufrag", "ice-pwd"].map((name) => [name, attribute(fragment, name)]);
  const kept = sdp.split(/\r\n|\n/).filter((line) => !/^a=(candidate:|end-of-candidates)/.test(line));
  const lines = kept.map((line) => {
    const found = fresh.find(([name]) => line.startsWith(`a=${name}:`));
    return found ? `a=${found[0]}:${found[1]}` : line;
  });
  const candidates = fragment.split(/\r\n|\n/).filter((line) => /^a=(candidate:|end-of-candidates)/.test(line));
  const first = lines.findIndex((line) => line.startsWith("m="));
  const next = lines.findIndex((line, index) => index > first && line.startsWith("m="));
  lines.splice(next < 0 ? lines.length - 1 : next, 0, ...candidates);
  return lines.join("\r\n");
}

/** Until all candidates are known, but no longer than a second. */
function gathered(peer) {
  if (peer.iceGatheringState === "complete") return Promise.resolve();
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, 1000);
    peer.addEventListener("icegatheringstatechange", () => {
      if (peer.iceGatheringState !== "complete") return;
      clearTimeout(timer);
      resolve();
    });
  });
}
