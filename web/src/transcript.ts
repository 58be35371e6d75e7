/** The conversation as text: who said what, how much of it is final or spoken, and what was cut off. */

import type { BotEvent, InputSource, TurnMetrics } from "./events";

export interface UserEntry {
  readonly who: "user";
  readonly id: number;
  readonly source: InputSource;
  readonly finals: readonly string[];
  readonly interim: string;
  /** Typed here, not yet confirmed by the bot. */
  readonly pending: boolean;
}

export interface Segment {
  /** The bot's id of the segment; null where it gives none. */
  readonly id: number | null;
  readonly spoken: string;
  readonly remaining: string;
}

export interface BotEntry {
  readonly who: "bot";
  readonly id: number;
  readonly segments: readonly Segment[];
  readonly interrupted: boolean;
  /** How long the user waited for this reply; null until it is known. */
  readonly metrics: TurnMetrics | null;
}

/** A remark of the page itself. It ends a session: the bot's ids start again after it. */
export interface NoteEntry {
  readonly who: "page";
  readonly id: number;
  readonly text: string;
}

export type Entry = UserEntry | BotEntry | NoteEntry;

export interface Transcript {
  readonly entries: readonly Entry[];
  readonly nextId: number;
  readonly speaking: boolean;
  /** The model is still writing the reply, though nothing of it may be heard at the moment. */
  readonly replying: boolean;
  /** The next speech of the user opens an entry of its own. */
  readonly newUserTurn: boolean;
  /** The next text of the bot opens an entry of its own. */
  readonly newReply: boolean;
  /** Metrics that arrived before the reply they belong to. */
  readonly waiting: TurnMetrics | null;
}

export const EMPTY: Transcript = {
  entries: [],
  nextId: 1,
  speaking: false,
  replying: false,
  newUserTurn: true,
  newReply: true,
  waiting: null,
};

/** Return the transcript after `event`; the same object when nothing in it changed. */
export function apply(transcript: Transcript, event: BotEvent): Transcript {
  switch (event.kind) {
    case "user-started":
      return { ...transcript, newUserTurn: true };
    case "user-text":
      return event.source === "transcription" ? hear(transcript, event) : confirmTyped(transcript, event);
    case "reply-started":
      return { ...transcript, replying: true, newReply: true };
    case "reply-ended":
      return { ...transcript, replying: false };
    case "speech-started":
      return { ...transcript, speaking: true };
    case "speech-stopped":
      return { ...transcript, speaking: false };
    case "interrupted":
      return interrupt(transcript);
    case "bot-text":
      return say(transcript, event);
    case "turn-metrics":
      return measured(transcript, event.metrics);
    default:
      return transcript;
  }
}

/** Add what the user typed, before the bot confirms that it has read it. */
export function addTyped(transcript: Transcript, text: string): Transcript {
  return append(transcript, typed(transcript.nextId, text, "chat", true));
}

/** End the session's part of the transcript with a remark; a reply in progress is cut off. */
export function endSession(transcript: Transcript, remark: string): Transcript {
  const cut = dropUnheard(interrupt(transcript));
  const last = cut.entries.at(-1);
  if (!last || last.who === "page") return { ...EMPTY, entries: cut.entries, nextId: cut.nextId };
  const ended = append(cut, { who: "page", id: cut.nextId, text: remark });
  return { ...EMPTY, entries: ended.entries, nextId: ended.nextId };
}

/** The words of one segment, spoken and not, with the spaces that belong between segments. */
export function textOf(entry: Entry): { settled: string; open: string } {
  if (entry.who === "page") return { settled: entry.text, open: "" };
  if (entry.who === "user") return { settled: entry.finals.join(" "), open: entry.interim };
  const spoken = entry.segments.map((segment) => segment.spoken.trim());
  const remaining = entry.segments.map((segment) => segment.remaining.trim());
  return { settled: joinWords(spoken), open: entry.interrupted ? "" : joinWords(remaining) };
}

// ------------------------------------------------------------------------------------- the user

function hear(transcript: Transcript, event: { text: string; final: boolean }): Transcript {
  const text = event.text.trim();
  const last = transcript.entries.at(-1);
  const open = !transcript.newUserTurn && last?.who === "user" && last.source === "transcription" ? last : null;
  if (!text && !open) return transcript;
  const base: UserEntry = open ?? {
    who: "user",
    id: transcript.nextId,
    source: "transcription",
    finals: [],
    interim: "",
    pending: false,
  };
  const finals = event.final && text ? [...base.finals, text] : base.finals;
  const entry: UserEntry = { ...base, finals, interim: event.final ? "" : text };
  if (open && finals.length === 0 && !entry.interim) return { ...dropUnheard(transcript), newUserTurn: true };
  if (open) return replace(transcript, entry);
  return { ...append(dropUnheard(transcript), entry), newUserTurn: false };
}

/** Forget interim words that never became final: the recogniser took them back. */
function dropUnheard(transcript: Transcript): Transcript {
  const last = transcript.entries.at(-1);
  if (last?.who !== "user" || last.finals.length > 0) return transcript;
  return { ...transcript, entries: transcript.entries.slice(0, -1) };
}

function confirmTyped(transcript: Transcript, event: { text: string; source: InputSource }): Transcript {
  const waiting = ofSession(transcript).find(
    (entry): entry is UserEntry => entry.who === "user" && entry.pending && entry.finals[0] === event.text,
  );
  if (waiting) return replace(transcript, { ...waiting, pending: false });
  return append(transcript, typed(transcript.nextId, event.text, event.source, false));
}

function typed(id: number, text: string, source: InputSource, pending: boolean): UserEntry {
  return { who: "user", id, source, finals: [text], interim: "", pending };
}

// -------------------------------------------------------------------------------------- the bot

function say(transcript: Transcript, event: { segment: number | null; spoken: string; remaining: string }): Transcript {
  const segment: Segment = { id: event.segment, spoken: event.spoken, remaining: event.remaining };
  const known = findSegment(transcript, segment.id);
  if (known) return known.interrupted ? transcript : replace(transcript, withSegment(known, segment));
  const last = transcript.entries.at(-1);
  if (last?.who === "bot" && !transcript.newReply && !last.interrupted) {
    return replace(transcript, { ...last, segments: [...last.segments, segment] });
  }
  const entry: BotEntry = {
    who: "bot",
    id: transcript.nextId,
    segments: [segment],
    interrupted: false,
    metrics: transcript.waiting,
  };
  return { ...append(transcript, entry), newReply: false, waiting: null };
}

function findSegment(transcript: Transcript, id: number | null): BotEntry | undefined {
  if (id === null) return undefined;
  return ofSession(transcript).findLast(
    (entry): entry is BotEntry => entry.who === "bot" && entry.segments.some((segment) => segment.id === id),
  );
}

/** A reply's first words may be reported before the announcement of their segment: progress never goes back. */
function withSegment(entry: BotEntry, segment: Segment): BotEntry {
  const segments = entry.segments.map((old) =>
    old.id === segment.id && segment.spoken.length >= old.spoken.length ? segment : old,
  );
  return { ...entry, segments };
}

/** Tell whether the bot's last reply was cut off between two states. */
export function wasCutOff(before: Transcript, after: Transcript): boolean {
  const reply = lastReply(after);
  return reply?.interrupted === true && lastReply(before)?.interrupted === false;
}

/** Cut the reply off at what was heard. An interruption of silence after a whole reply changes nothing. */
function interrupt(transcript: Transcript): Transcript {
  const reply = lastReply(transcript);
  const unsaid = reply?.segments.some((segment) => segment.remaining.trim() !== "") ?? false;
  const unfinished = transcript.speaking || unsaid || (transcript.replying && !transcript.newReply);
  const silent = { ...transcript, speaking: false, replying: false, newReply: true };
  if (!reply || reply.interrupted || !unfinished) return silent;
  const heard = reply.segments.filter((segment) => segment.spoken.trim() !== "");
  return replace(silent, { ...reply, segments: heard, interrupted: true });
}

function measured(transcript: Transcript, metrics: TurnMetrics): Transcript {
  const replies = ofSession(transcript).filter((entry) => entry.who === "bot");
  const known = replies.find((entry) => entry.metrics?.turn === metrics.turn);
  const last = transcript.entries.at(-1);
  const reply = known ?? (last?.who === "bot" && last.metrics === null ? last : undefined);
  if (!reply) return { ...transcript, waiting: metrics };
  return replace(transcript, { ...reply, metrics });
}

// ---------------------------------------------------------------------------------------- lists

function lastReply(transcript: Transcript): BotEntry | undefined {
  return ofSession(transcript).findLast((entry): entry is BotEntry => entry.who === "bot");
}

function ofSession(transcript: Transcript): readonly Entry[] {
  return transcript.entries.slice(transcript.entries.findLastIndex((entry) => entry.who === "page") + 1);
}

function append(transcript: Transcript, entry: Entry): Transcript {
  return { ...transcript, entries: [...transcript.entries, entry], nextId: transcript.nextId + 1 };
}

function replace(transcript: Transcript, entry: Entry): Transcript {
  return { ...transcript, entries: transcript.entries.map((old) => (old.id === entry.id ? entry : old)) };
}

function joinWords(parts: readonly string[]): string {
  return parts.filter((part) => part !== "").join(" ");
}
