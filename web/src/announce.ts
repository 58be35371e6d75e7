/** What a screen reader is told: changes of state that matter, and finished sentences of both sides. */

import type { BotEvent } from "./events";
import { PHASE_LABELS, type Phase } from "./phase";

const SPOKEN_PHASES: readonly Phase[] = ["offline", "connecting", "reconnecting", "interrupted"];

/** Return the sentence for an event, or an empty string for one that is better kept silent. */
export function announceEvent(event: BotEvent): string {
  if (event.kind === "user-text" && event.final) return `You: ${event.text}`;
  if (event.kind === "bot-text" && !event.remaining.trim()) return `Bot: ${event.spoken}`;
  return "";
}

/** Return the sentence for a change of phase; listening, thinking and speaking are heard anyway. */
export function announcePhase(before: Phase, after: Phase): string {
  if (before === after) return "";
  if (before === "connecting" && after === "listening") return "Connected. Listening.";
  return SPOKEN_PHASES.includes(after) ? `${PHASE_LABELS[after]}.` : "";
}
