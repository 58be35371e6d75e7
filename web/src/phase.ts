/** Where the conversation stands: one named phase, moved by what the bot and the connection report. */

import type { BotEvent } from "./events";

export type Phase =
  | "offline"
  | "connecting"
  | "reconnecting"
  | "listening"
  | "hearing"
  | "thinking"
  | "speaking"
  | "overlapping"
  | "interrupted";

export type Signal = BotEvent["kind"] | "cut-off" | "connecting" | "ready" | "lost" | "closed" | "nothing-came";

type Moves = Partial<Record<Signal, Phase>>;

const LINK: Moves = { connecting: "connecting", lost: "reconnecting", closed: "offline" };

/**
 * A pair that is not listed leaves the phase as it is.
 *
 * The bot reports an interruption whenever the user's turn begins, also when it had nothing to say: only one that
 * cuts off speech is shown as such, or a reply that was not at its end (`cut-off`), though the bot drew breath just then.
 * `overlapping` is the moment between the two reports.
 *
 * Only a reply that was begun is waited for: a cough, or a word that silences the bot, is followed by none.
 */
const MOVES: Readonly<Record<Phase, Moves>> = {
  offline: { connecting: "connecting", lost: "reconnecting" },
  connecting: { ready: "listening", lost: "reconnecting", closed: "offline" },
  reconnecting: { connecting: "connecting", ready: "listening", closed: "offline" },
  listening: {
    ...LINK,
    "cut-off": "interrupted",
    "user-started": "hearing",
    "reply-started": "thinking",
    "speech-started": "speaking",
  },
  hearing: {
    ...LINK,
    "cut-off": "interrupted",
    "user-stopped": "listening",
    "reply-started": "thinking",
    "speech-started": "overlapping",
  },
  thinking: {
    ...LINK,
    "cut-off": "interrupted",
    "user-started": "hearing",
    "speech-started": "speaking",
    "nothing-came": "listening",
  },
  speaking: {
    ...LINK,
    "cut-off": "interrupted",
    "user-started": "overlapping",
    "speech-stopped": "listening",
    interrupted: "interrupted",
  },
  overlapping: {
    ...LINK,
    "cut-off": "interrupted",
    interrupted: "interrupted",
    "user-stopped": "speaking",
    "speech-stopped": "hearing",
  },
  interrupted: {
    ...LINK,
    "user-stopped": "listening",
    "reply-started": "thinking",
    "speech-started": "speaking",
    "nothing-came": "listening",
  },
};

/** Return the phase that follows. */
export function advance(phase: Phase, signal: Signal): Phase {
  return MOVES[phase][signal] ?? phase;
}

/** Tell whether a session with the bot is open. */
export function isLive(phase: Phase): boolean {
  return phase !== "offline" && phase !== "connecting" && phase !== "reconnecting";
}

/** Tell whether the page waits for the bot to say something, which may never come. */
export function isWaiting(phase: Phase): boolean {
  return phase === "thinking" || phase === "interrupted";
}

export const PHASE_LABELS: Readonly<Record<Phase, string>> = {
  offline: "Not connected",
  connecting: "Connecting",
  reconnecting: "Reconnecting",
  listening: "Listening",
  hearing: "Hearing you",
  thinking: "Thinking",
  speaking: "Speaking",
  overlapping: "Hearing you",
  interrupted: "Interrupted",
};

/** Why the bot does not hear the user, though the conversation is open. */
export type Deafness = "busy" | "lost" | "muted" | null;

const DEAF_LABELS = { busy: "All lines are busy", lost: "Cannot hear you", muted: "Muted" } as const;

/** Return what the page says of itself: it listens only where somebody does. */
export function label(phase: Phase, deafness: Deafness): string {
  return phase === "listening" && deafness ? DEAF_LABELS[deafness] : PHASE_LABELS[phase];
}
