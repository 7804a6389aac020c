/** Types of `offhook.js`. */

export interface ConnectOptions {
  /** The server, such as `https://voice.example.net`; left out: the one this page comes from. */
  url?: string;
  /** A call token that your server asked for at `POST /v1/webrtc/tokens`; it says who is called. */
  token?: string;
  /** An API key with the scope `web_calls`, for pages of your own that only you see. Never publish one. */
  key?: string;
  /** The agent or number that is called, where no token says it. */
  agent?: string;
  to?: string;
  /** The name the far end sees. */
  caller?: string;
  /** Sound of your own in place of the microphone. */
  stream?: MediaStream;
  /** More wishes for the microphone. */
  audio?: MediaTrackConstraints;
  /** STUN and TURN servers; they came with the token. */
  iceServers?: RTCIceServer[];
  /** Use TURN relays only. */
  relayOnly?: boolean;
  /** Gives the call up. */
  signal?: AbortSignal;
}

export type CallState = "idle" | "connecting" | "connected" | "reconnecting" | "ended";

export interface Transcript {
  who: "caller" | "agent";
  text: string;
  final: boolean;
  at_ms: number;
  reply?: number;
}

export interface Latency {
  turn: number;
  /** From the true end of speech to the first sound of the reply. */
  total_ms: number;
  /** What each hop added to it. */
  hops: Record<string, number>;
  at_ms: number;
}

export interface CallEvents {
  state: { state: CallState };
  answered: { codec: string; at_ms: number };
  transcript: Transcript;
  /** Who has the floor: `listening`, `hearing`, `thinking`, `speaking`, … */
  phase: { phase: string; at_ms: number };
  latency: Latency;
  digits: { who: "caller" | "agent"; digits: string };
  hold: { on: boolean; by_us?: boolean };
  transfer: { kind: string; state: string };
  bargein: { stop_ms: number };
  /** The browser wants a click before it plays sound. */
  blocked: { message: string };
  ended: { reason: string; error?: OffhookError };
}

export interface PathStats {
  rttMs: number | null;
  jitterMs: number | null;
  bufferMs: number | null;
  lost: number;
  received: number;
}

export declare class OffhookError extends Error {
  readonly code: string;
  readonly status: number;
  /** Seconds after which another try may succeed; 0 when not told. */
  readonly retryAfter: number;
}

export declare class OffhookCall extends EventTarget {
  constructor(options?: ConnectOptions);
  readonly id: string;
  readonly codec: string;
  readonly state: CallState;
  readonly muted: boolean;
  readonly remoteStream: MediaStream | null;
  readonly peerConnection: RTCPeerConnection | null;
  start(): Promise<void>;
  mute(on?: boolean): void;
  digits(keys: string): void;
  hangup(): void;
  stats(): Promise<PathStats>;
  addEventListener<K extends keyof CallEvents>(
    type: K,
    listener: (event: CustomEvent<CallEvents[K]>) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
}

/** Call; resolves once sound flows, rejects with an `OffhookError`. */
export declare function connect(options?: ConnectOptions): Promise<OffhookCall>;
