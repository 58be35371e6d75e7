import { describe, expect, test } from "vitest";

import type { BotEvent } from "../src/events";
import { addTyped, apply, type BotEntry, EMPTY, endSession, textOf, type Transcript, wasCutOff } from "../src/transcript";

const interim = (text: string): BotEvent => ({ kind: "user-text", text, final: false, source: "transcription" });
const final = (text: string): BotEvent => ({ kind: "user-text", text, final: true, source: "transcription" });
const chat = (text: string): BotEvent => ({ kind: "user-text", text, final: true, source: "chat" });
const bot = (segment: number | null, spoken: string, remaining = ""): BotEvent => ({
  kind: "bot-text",
  segment,
  spoken,
  remaining,
});
const metrics = (turn: number, interrupted = false): BotEvent => ({
  kind: "turn-metrics",
  metrics: { turn, voiceToVoiceMs: 500 + turn, interrupted, stages: [] },
});
const on = (kind: "user-started" | "speech-started" | "speech-stopped" | "interrupted" | "reply-started" | "reply-ended"): BotEvent => ({
  kind,
});

function play(events: BotEvent[], from: Transcript = EMPTY): Transcript {
  return events.reduce(apply, from);
}

function lines(transcript: Transcript): string[] {
  return transcript.entries.map((entry) => {
    const { settled, open } = textOf(entry);
    const cut = entry.who === "bot" && entry.interrupted ? " --" : "";
    return `${entry.who}: ${settled}${open ? ` (${open})` : ""}${cut}`;
  });
}

function lastReply(transcript: Transcript): BotEntry {
  const reply = transcript.entries.findLast((entry) => entry.who === "bot");
  if (reply?.who !== "bot") throw new Error("no reply");
  return reply;
}

describe("the user's side", () => {
  test("interim words are replaced until they are final", () => {
    const transcript = play([on("user-started"), interim("what"), interim("what is"), final("What is it?")]);
    expect(lines(transcript)).toEqual(["user: What is it?"]);
  });

  test("a turn with a pause keeps both finals in one entry", () => {
    const transcript = play([on("user-started"), final("Tell me"), interim("a"), final("a story.")]);
    expect(lines(transcript)).toEqual(["user: Tell me a story."]);
  });

  test("interim words beside finals stay apart from them", () => {
    const transcript = play([on("user-started"), final("Tell me"), interim("a st")]);
    expect(lines(transcript)).toEqual(["user: Tell me (a st)"]);
  });

  test("a new turn opens a new entry and drops words that were never confirmed", () => {
    const transcript = play([on("user-started"), interim("uh"), on("user-started"), final("Hello.")]);
    expect(lines(transcript)).toEqual(["user: Hello."]);
  });

  test("an empty final takes the interim words back", () => {
    const transcript = play([on("user-started"), interim("uh"), final("")]);
    expect(lines(transcript)).toEqual([]);
    expect(lines(play([interim("hi"), final("Hi.")], transcript))).toEqual(["user: Hi."]);
  });

  test("typed text shows at once and is confirmed, not repeated, by the bot", () => {
    const typed = addTyped(EMPTY, "What time is it?");
    expect(typed.entries[0]).toMatchObject({ who: "user", source: "chat", pending: true });
    const confirmed = play([chat("What time is it?")], typed);
    expect(confirmed.entries).toHaveLength(1);
    expect(confirmed.entries[0]).toMatchObject({ pending: false });
  });

  test("text typed elsewhere in the session is shown too", () => {
    expect(lines(play([chat("from another window")]))).toEqual(["user: from another window"]);
  });
});

describe("the bot's side", () => {
  test("words move from unspoken to spoken", () => {
    const transcript = play([on("reply-started"), bot(1, "", "It is noon."), bot(1, "It", "is noon.")]);
    expect(lines(transcript)).toEqual(["bot: It (is noon.)"]);
  });

  test("sentences of one reply share an entry, replies do not", () => {
    const transcript = play([
      on("reply-started"),
      bot(1, "One."),
      bot(2, "Two."),
      on("reply-started"),
      bot(3, "Three."),
    ]);
    expect(lines(transcript)).toEqual(["bot: One. Two.", "bot: Three."]);
  });

  test("an announcement that arrives after the first words does not take them back", () => {
    const transcript = play([on("reply-started"), bot(1, "Hello.", ""), bot(1, "", "Hello.")]);
    expect(lines(transcript)).toEqual(["bot: Hello."]);
  });

  test("an interruption keeps what was heard and forgets the rest", () => {
    const transcript = play([
      on("reply-started"),
      on("speech-started"),
      bot(1, "Once there", "was a lighthouse."),
      bot(2, "", "It was afraid."),
      on("interrupted"),
    ]);
    expect(lines(transcript)).toEqual(["bot: Once there --"]);
  });

  test("nothing of an interrupted reply comes back", () => {
    const cut = play([on("reply-started"), on("speech-started"), bot(1, "Once", "there was"), on("interrupted")]);
    expect(lines(play([bot(1, "Once there", "was")], cut))).toEqual(["bot: Once --"]);
  });

  test("a reply that was over is not marked by the next turn", () => {
    const transcript = play([
      on("reply-started"),
      on("speech-started"),
      bot(1, "Hello."),
      on("reply-ended"),
      on("speech-stopped"),
      on("user-started"),
      on("interrupted"),
      final("Hi."),
    ]);
    expect(lines(transcript)).toEqual(["bot: Hello.", "user: Hi."]);
  });

  test("a reply is cut off between two of its sentences, and only once", () => {
    const pause = play([
      on("reply-started"),
      on("speech-started"),
      bot(1, "Once."),
      on("speech-stopped"),
      on("user-started"),
    ]);
    const cut = play([on("interrupted")], pause);
    expect(lines(cut)).toEqual(["bot: Once. --"]);
    expect(wasCutOff(pause, cut)).toBe(true);
    expect(wasCutOff(cut, play([on("interrupted")], cut))).toBe(false);
  });

  test("the reply before is not marked when the next one is taken back", () => {
    const transcript = play([
      on("reply-started"),
      bot(1, "Hello."),
      on("reply-ended"),
      on("reply-started"),
      on("interrupted"),
    ]);
    expect(lines(transcript)).toEqual(["bot: Hello."]);
  });

  test("a bot without word times is marked when it is cut off while it speaks", () => {
    const transcript = play([on("reply-started"), on("speech-started"), bot(null, "A sentence."), on("interrupted")]);
    expect(lines(transcript)).toEqual(["bot: A sentence. --"]);
  });
});

describe("latency in the transcript", () => {
  test("metrics that come before the words wait for their reply", () => {
    const transcript = play([final("Hi."), metrics(1), on("reply-started"), bot(1, "Hello.")]);
    expect(lastReply(transcript).metrics?.turn).toBe(1);
  });

  test("metrics that come after the words find their reply", () => {
    expect(lastReply(play([final("Hi."), bot(1, "Hello."), metrics(1)])).metrics?.voiceToVoiceMs).toBe(501);
  });

  test("a second report of a turn updates the first", () => {
    const transcript = play([bot(1, "Hello."), metrics(1), final("Stop."), metrics(1, true)]);
    expect(lastReply(transcript).metrics).toMatchObject({ turn: 1, interrupted: true });
  });
});

describe("the end of a session", () => {
  test("cuts off the reply in progress and says what happened", () => {
    const transcript = play([on("reply-started"), on("speech-started"), bot(1, "Once", "there was")]);
    expect(lines(endSession(transcript, "Connection lost"))).toEqual(["bot: Once --", "page: Connection lost"]);
  });

  test("is said once, and not at all when nothing was said", () => {
    const ended = endSession(play([bot(1, "Hello.")]), "Connection lost");
    expect(endSession(ended, "Conversation ended").entries).toHaveLength(2);
    expect(endSession(EMPTY, "Conversation ended").entries).toEqual([]);
  });

  test("segment and turn numbers that begin again do not touch what was said before", () => {
    const before = endSession(play([bot(1, "Old."), metrics(1)]), "Connection lost");
    const transcript = play([on("reply-started"), bot(1, "New."), metrics(1)], before);
    expect(lines(transcript)).toEqual(["bot: Old.", "page: Connection lost", "bot: New."]);
    expect(lastReply(transcript).metrics?.turn).toBe(1);
  });
});
