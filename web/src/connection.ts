/** One call to the bot: start it, carry audio and messages, notice when it is gone. */

import { logger, LogLevel, PipecatClient, type RTVIMessage } from "@pipecat-ai/client-js";
import { SmallWebRTCTransport } from "@pipecat-ai/small-webrtc-transport";

import { type BotEvent, readMessage } from "./events";
import type { Microphone } from "./microphone";
import { blocked, ended, failed, type Problem, ProblemError, refused, unreachable } from "./problems";

const START_TIMEOUT_MS = 10_000;
const CONNECT_TIMEOUT_MS = 20_000;
const PROBE_TIMEOUT_MS = 2_000;
const PULSE_MS = 1_500;
/** A connection that recovers within this time is not worth a word. */
const DISCONNECTED_GRACE_MS = 2_500;
const FIRST_RETRY_SECONDS = 3;

logger.setLevel(LogLevel.NONE);

export interface CallHandlers {
  onEvent(event: BotEvent): void;
  onBotAudio(track: MediaStreamTrack): void;
  /** The call is over and nobody here asked for it. */
  onLost(problem: Problem): void;
}

/** The SDK passes on only the messages it knows; this one lets the page read all of them. */
class MessageClient extends PipecatClient {
  onMessage: (message: RTVIMessage) => void = () => {};

  protected override handleMessage(message: RTVIMessage): void {
    super.handleMessage(message);
    this.onMessage(message);
  }
}

interface StartAnswer {
  sessionId: string;
  iceConfig?: { iceServers?: RTCIceServer[] };
}

export class Call {
  private readonly base = new URL("../", location.href);
  private readonly transport: SmallWebRTCTransport;
  private readonly client: MessageClient;
  private readonly hangUp = new AbortController();
  private established = false;
  private packets = -1;

  constructor(
    private readonly microphone: Microphone,
    private readonly handlers: CallHandlers,
  ) {
    this.transport = new SmallWebRTCTransport({ mediaManager: microphone });
    this.client = new MessageClient({
      transport: this.transport,
      enableMic: microphone.track !== null,
      enableCam: false,
      callbacks: {
        onTrackStarted: (track, owner) => {
          if (track.kind === "audio" && !owner?.local) this.handlers.onBotAudio(track);
        },
        onDisconnected: () => void this.lost(),
      },
    });
    this.client.onMessage = (message) => this.read(message);
  }

  /** Resolve when the bot is ready to talk. Throws ProblemError; nothing is left open then. */
  async open(): Promise<void> {
    try {
      const answer = await this.start();
      this.hangUp.signal.throwIfAborted();
      await this.connect(answer);
    } catch (error) {
      await this.close();
      throw error instanceof ProblemError ? error : new ProblemError(await this.diagnose(blocked()));
    }
    this.established = true;
    this.watch();
  }

  /** Hang up. Never throws, and silences every handler. */
  async close(): Promise<void> {
    this.hangUp.abort();
    await this.client.disconnect().catch(() => {});
    this.microphone.close();
  }

  /** Mute or unmute the user. */
  enableMicrophone(enable: boolean): void {
    this.client.enableMic(enable);
  }

  /** Ask in writing; the answer is spoken. Throws when the connection cannot carry the message. */
  async sendText(text: string): Promise<void> {
    await this.client.sendText(text, { run_immediately: true, audio_response: true });
  }

  /** Send the audio of another microphone from now on. */
  async useTrack(track: MediaStreamTrack): Promise<void> {
    const sender = this.peerConnection()?.getTransceivers()[0]?.sender;
    await sender?.replaceTrack(track);
  }

  // ----------------------------------------------------------------------------------------- opening

  private async start(): Promise<StartAnswer> {
    const response = await fetch(new URL("start", this.base), {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ transport: "webrtc", body: {} }),
      signal: AbortSignal.any([this.hangUp.signal, AbortSignal.timeout(START_TIMEOUT_MS)]),
    }).catch(() => {
      throw new ProblemError(unreachable(this.base.origin, FIRST_RETRY_SECONDS));
    });
    if (response.ok) return (await response.json()) as StartAnswer;
    const detail = await readDetail(response);
    throw new ProblemError(refused(response.status, response.headers.get("retry-after"), detail));
  }

  private async connect(answer: StartAnswer): Promise<void> {
    const endpoint = new URL(`sessions/${answer.sessionId}/api/offer`, this.base).toString();
    const iceServers = answer.iceConfig?.iceServers ?? [];
    const ready = this.client.connect({ webrtcRequestParams: { endpoint }, iceConfig: { iceServers } });
    const limit = AbortSignal.any([this.hangUp.signal, AbortSignal.timeout(CONNECT_TIMEOUT_MS)]);
    try {
      await Promise.race([ready, aborted(limit)]);
    } catch (error) {
      const status = (error as { status?: unknown }).status;
      throw typeof status === "number" ? new ProblemError(refused(status, null, "")) : error;
    }
  }

  // --------------------------------------------------------------------------------------- listening

  private read(message: RTVIMessage): void {
    if (this.hangUp.signal.aborted) return;
    const event = readMessage(message.type, message.data);
    if (!event) return;
    if (event.kind === "error" && event.fatal) void this.finish(failed(event.message));
    else this.handlers.onEvent(event);
  }

  // -------------------------------------------------------------------------------- noticing the end

  private watch(): void {
    const peer = this.peerConnection();
    if (!peer) return;
    peer.addEventListener("connectionstatechange", () => {
      if (peer.connectionState === "failed") void this.lost();
      if (peer.connectionState === "disconnected") setTimeout(() => this.stillGone(peer), DISCONNECTED_GRACE_MS);
    });
    const pulse = setInterval(() => void this.checkPulse(peer), PULSE_MS);
    this.hangUp.signal.addEventListener("abort", () => clearInterval(pulse));
  }

  private stillGone(peer: RTCPeerConnection): void {
    if (peer.connectionState === "disconnected") void this.lost();
  }

  /** The bot sends audio all the time, silence included; when none comes, ask whether anyone is there. */
  private async checkPulse(peer: RTCPeerConnection): Promise<void> {
    const packets = await receivedPackets(peer);
    const stopped = packets === this.packets;
    this.packets = packets;
    if (stopped && !(await this.answers())) await this.lost();
  }

  private async lost(): Promise<void> {
    if (this.hangUp.signal.aborted || !this.established) return;
    await this.finish(await this.diagnose(ended()));
  }

  private async finish(problem: Problem): Promise<void> {
    if (this.hangUp.signal.aborted) return;
    await this.close();
    this.handlers.onLost(problem);
  }

  private async diagnose(whenAlive: Problem): Promise<Problem> {
    return (await this.answers()) ? whenAlive : unreachable(this.base.origin, FIRST_RETRY_SECONDS);
  }

  private answers(): Promise<boolean> {
    return probe(this.base);
  }

  /** The SDK keeps its peer connection to itself; a change of microphone and a lost call need it. */
  private peerConnection(): RTCPeerConnection | null {
    return (this.transport as unknown as { pc: RTCPeerConnection | null }).pc;
  }
}

/** Tell whether the bot server at `base` answers. */
export async function probe(base: URL): Promise<boolean> {
  try {
    const response = await fetch(new URL("status", base), { signal: AbortSignal.timeout(PROBE_TIMEOUT_MS) });
    return response.status < 500;
  } catch {
    return false;
  }
}

async function receivedPackets(peer: RTCPeerConnection): Promise<number> {
  let packets = 0;
  for (const report of (await peer.getStats()).values()) {
    if (report.type === "inbound-rtp") packets += report.packetsReceived ?? 0;
  }
  return packets;
}

async function readDetail(response: Response): Promise<string> {
  try {
    const body = (await response.json()) as { detail?: unknown; info?: unknown };
    const detail = body.detail ?? body.info;
    return typeof detail === "string" ? detail : "";
  } catch {
    return "";
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error)));
}
