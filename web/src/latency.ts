/** Where the milliseconds of a turn went, as parts of one bar, and what is typical of the session. */

import type { Stage, TurnMetrics } from "./events";

export interface Part {
  readonly name: string;
  readonly ms: number;
  /** Share of the bar, 0 to 1. */
  readonly share: number;
  /** Index of the colour; stages of the same name always share one. */
  readonly colour: number;
}

const KNOWN_STAGES = ["endpointing", "transcription", "turn detection", "llm", "tts", "output"];
export const COLOURS = KNOWN_STAGES.length + 1;
const REMAINDER = "other";
/** Less than this is rounding. */
const LEAST_REMAINDER_MS = 5;

/**
 * Split a turn into the parts of its bar, in the order they happened.
 *
 * Time no stage accounts for becomes a part of its own. Stages that overlap, so that their sum exceeds
 * the turn, fill the bar together.
 */
export function parts(turn: TurnMetrics): Part[] {
  const stages = turn.stages.filter((stage) => stage.ms > 0);
  const sum = total(stages);
  const rest = Math.round(turn.voiceToVoiceMs - sum);
  const all: Stage[] = rest >= LEAST_REMAINDER_MS ? [...stages, { name: REMAINDER, ms: rest }] : stages;
  const whole = total(all);
  return all.map((stage) => ({ ...stage, share: whole > 0 ? stage.ms / whole : 0, colour: colourOf(stage.name) }));
}

/** The value below which `quantile` (0 to 1) of the turns lie, by nearest rank; null without turns. */
export function quantile(turns: readonly TurnMetrics[], quantile: number): number | null {
  if (turns.length === 0) return null;
  const sorted = turns.map((turn) => turn.voiceToVoiceMs).toSorted((a, b) => a - b);
  const rank = Math.max(1, Math.ceil(quantile * sorted.length));
  return sorted[rank - 1] ?? null;
}

/** Add a turn, or bring the one of the same number up to date; the oldest go beyond `limit`. */
export function record(turns: readonly TurnMetrics[], turn: TurnMetrics, limit = 200): TurnMetrics[] {
  const others = turns.filter((old) => old.turn !== turn.turn);
  return [...others, turn].toSorted((a, b) => a.turn - b.turn).slice(-limit);
}

/** How a turn's time is written: whole milliseconds, thousands grouped. */
export function formatMs(ms: number): string {
  return `${Math.round(ms).toLocaleString("en")} ms`;
}

/** A turn in words, for those who cannot see the bar. */
export function describe(turn: TurnMetrics): string {
  const split = parts(turn)
    .map((part) => `${stageLabel(part.name)} ${formatMs(part.ms)}`)
    .join(", ");
  const stopped = turn.interrupted ? " (interrupted)" : "";
  return `Turn ${turn.turn}: ${formatMs(turn.voiceToVoiceMs)}${stopped}${split ? `: ${split}` : ""}`;
}

const LABELS: Readonly<Record<string, string>> = { llm: "LLM", tts: "TTS", asr: "ASR" };

/** A stage's name as people read it. */
export function stageLabel(name: string): string {
  return LABELS[name] ?? name.charAt(0).toUpperCase() + name.slice(1);
}

function colourOf(name: string): number {
  const index = KNOWN_STAGES.indexOf(name);
  return index >= 0 ? index : COLOURS - 1;
}

function total(stages: readonly Stage[]): number {
  return stages.reduce((sum, stage) => sum + stage.ms, 0);
}
