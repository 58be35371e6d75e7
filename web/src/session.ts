/** The whole of what the page shows, and everything the user can do. Views read it; nothing here draws. */

import { Call, probe } from "./connection";
import type { BotEvent, TurnMetrics } from "./events";
import { record } from "./latency";
import { Microphone } from "./microphone";
import { applyNotice, type Banner, dismiss, hearing } from "./notices";
import { advance, type Deafness, isLive, isWaiting, type Phase, type Signal } from "./phase";
import { type Problem, ProblemError } from "./problems";
import { addTyped, apply, EMPTY, endSession, type Transcript, wasCutOff } from "./transcript";

/** A reply that brings nothing for this long is waited for no more. */
const NOTHING_CAME_MS = 8_000;
const LONGEST_RETRY_SECONDS = 10;
const MAX_TEXT = 2_000;

export interface State {
  readonly phase: Phase;
  readonly transcript: Transcript;
  readonly turns: readonly TurnMetrics[];
  readonly banners: readonly Banner[];
  readonly problem: Problem | null;
  /** Seconds until the next attempt to connect; null when none is planned. */
  readonly retryIn: number | null;
  readonly muted: boolean;
  readonly hasMicrophone: boolean;
  /** Why the bot cannot hear the user, muted or not. */
  readonly deafness: Deafness;
}

const INITIAL: State = {
  phase: "offline",
  transcript: EMPTY,
  turns: [],
  banners: [],
  problem: null,
  retryIn: null,
  muted: false,
  hasMicrophone: false,
  deafness: null,
};

export interface SessionHandlers {
  onState(state: State): void;
  onEvent(event: BotEvent): void;
  onMicrophone(stream: MediaStream | null): void;
  onBotAudio(track: MediaStreamTrack | null): void;
}

export class Session {
  private current: State = INITIAL;
  private call: Call | null = null;
  private wantsMicrophone = true;
  private retryTimer: number | undefined;
  private waitTimer: number | undefined;
  private readonly microphone: Microphone;

  constructor(private readonly handlers: SessionHandlers) {
    this.microphone = new Microphone((stream) => {
      this.update({ hasMicrophone: stream !== null });
      handlers.onMicrophone(stream);
    });
  }

  get state(): State {
    return this.current;
  }

  /** Start a conversation, by voice or by typing alone. Does nothing while one is open. */
  async connect(withMicrophone = true): Promise<void> {
    if (this.current.phase === "connecting" || isLive(this.current.phase)) return;
    this.wantsMicrophone = withMicrophone;
    this.stopRetrying();
    this.update({ problem: null, banners: [] });
    this.signal("connecting");
    await this.dial();
  }

  /** End the conversation, or give up waiting for the bot. */
  async disconnect(): Promise<void> {
    this.stopRetrying();
    this.update({ problem: null, banners: [] });
    this.endCall("Conversation ended");
    this.signal("closed");
    const call = this.call;
    this.call = null;
    await call?.close();
  }

  toggleMute(): void {
    const muted = !this.current.muted;
    this.call?.enableMicrophone(!muted);
    this.update({ muted });
  }

  /** Send text as the user's turn; tells whether it went out. */
  async sendText(text: string): Promise<boolean> {
    const content = text.trim().slice(0, MAX_TEXT);
    if (!content || !this.call || !isLive(this.current.phase)) return false;
    this.update({ transcript: addTyped(this.current.transcript, content) });
    try {
      await this.call.sendText(content);
      return true;
    } catch (error) {
      this.report({ kind: "error", message: `The text could not be sent: ${String(error)}`, fatal: false });
      return false;
    }
  }

  async chooseMicrophone(deviceId: string): Promise<void> {
    try {
      const track = await this.microphone.choose(deviceId);
      if (track) await this.call?.useTrack(track);
    } catch (error) {
      const message = error instanceof ProblemError ? `${error.problem.title} ${error.problem.advice}` : String(error);
      this.report({ kind: "error", message, fatal: false });
    }
  }

  dismissBanner(key: string): void {
    this.update({ banners: dismiss(this.current.banners, key) });
  }

  // ----------------------------------------------------------------------------------------- calling

  private async dial(): Promise<void> {
    const call = new Call(this.microphone, {
      onEvent: (event) => this.report(event),
      onBotAudio: (track) => this.handlers.onBotAudio(track),
      onLost: (problem) => this.lost(problem),
    });
    this.call = call;
    try {
      if (this.wantsMicrophone) await this.microphone.open();
      await call.open();
      if (this.call !== call) return await call.close();
    } catch (error) {
      await call.close();
      if (this.call === call) this.failed(error);
      return;
    }
    this.update({ turns: [], problem: null });
    call.enableMicrophone(!this.current.muted);
    this.signal("ready");
  }

  private failed(error: unknown): void {
    if (!(error instanceof ProblemError)) throw error;
    this.call = null;
    this.show(error.problem);
  }

  private lost(problem: Problem): void {
    this.call = null;
    this.endCall("Connection lost");
    this.show(problem);
  }

  private endCall(remark: string): void {
    clearTimeout(this.waitTimer);
    this.handlers.onBotAudio(null);
    this.update({ transcript: endSession(this.current.transcript, remark), banners: [], deafness: null });
  }

  // ---------------------------------------------------------------------------------------- retrying

  private show(problem: Problem): void {
    this.update({ problem });
    if (problem.retryAfter === null) {
      this.signal("closed");
      return;
    }
    this.signal("lost");
    this.countDown(problem.retryAfter, problem.retryAfter);
  }

  private countDown(secondsLeft: number, interval: number): void {
    this.update({ retryIn: secondsLeft });
    this.retryTimer = window.setTimeout(() => {
      if (secondsLeft > 1) this.countDown(secondsLeft - 1, interval);
      else void this.retry(interval);
    }, 1_000);
  }

  private async retry(interval: number): Promise<void> {
    this.update({ retryIn: 0 });
    const back = await probe(new URL("../", location.href));
    if (this.current.phase !== "reconnecting" || this.current.retryIn !== 0) return;
    if (back) await this.connect(this.wantsMicrophone);
    else {
      const longer = Math.min(LONGEST_RETRY_SECONDS, Math.ceil(interval * 1.5));
      this.countDown(longer, longer);
    }
  }

  private stopRetrying(): void {
    clearTimeout(this.retryTimer);
    this.update({ retryIn: null });
  }

  // ------------------------------------------------------------------------------------------- state

  private report(event: BotEvent): void {
    const { transcript: before, banners, turns, deafness } = this.current;
    const transcript = apply(before, event);
    this.update({
      transcript,
      banners: applyNotice(banners, event),
      deafness: hearing(deafness, event),
      turns: event.kind === "turn-metrics" ? record(turns, event.metrics) : turns,
    });
    this.signal(wasCutOff(before, transcript) ? "cut-off" : event.kind);
    this.handlers.onEvent(event);
  }

  private signal(signal: Signal): void {
    const phase = advance(this.current.phase, signal);
    this.update({ phase });
    clearTimeout(this.waitTimer);
    if (isWaiting(phase)) this.waitTimer = window.setTimeout(() => this.signal("nothing-came"), NOTHING_CAME_MS);
  }

  private update(change: Partial<State>): void {
    this.current = { ...this.current, ...change };
    this.handlers.onState(this.current);
  }
}
