import { describe, expect, test } from "vitest";

import { readMessage } from "../src/events";

describe("readMessage", () => {
  test("reads what the user said, interim and final", () => {
    const data = { text: "what time", input_type: "transcription", timestamp: "t", final: false, user_id: "" };
    expect(readMessage("user-input", data)).toEqual({
      kind: "user-text",
      text: "what time",
      final: false,
      source: "transcription",
    });
  });

  test("leaves the deprecated twin of a message unread, so that nothing shows twice", () => {
    expect(readMessage("user-transcription", { text: "what time", final: true })).toBeNull();
    expect(readMessage("bot-tts-text", { text: "It" })).toBeNull();
    expect(readMessage("bot-transcription", { text: "It is." })).toBeNull();
  });

  test("splits the bot's words into spoken and not yet spoken", () => {
    const data = {
      text: "It is noon.",
      segment_id: 7,
      spoken_status: "in-progress",
      spoken_progress: { accumulated_text: "It is", remaining_text: " noon." },
    };
    expect(readMessage("bot-output", data)).toEqual({
      kind: "bot-text",
      segment: 7,
      spoken: "It is",
      remaining: " noon.",
    });
  });

  test("takes words that will not be spoken as said", () => {
    const data = { text: "```code```", segment_id: 8, will_be_spoken: false, spoken_status: "new" };
    expect(readMessage("bot-output", data)).toEqual({
      kind: "bot-text",
      segment: 8,
      spoken: "```code```",
      remaining: "",
    });
  });

  test("reads the metrics of a turn and drops stages that are no figures", () => {
    const data = {
      type: "turn-metrics",
      turn: 3,
      voice_to_voice_ms: 512,
      interrupted: true,
      stages: [{ name: "llm", ms: 180 }, { name: "tts", ms: null }, "nonsense", { name: "asr", ms: -1 }],
    };
    expect(readMessage("server-message", data)).toEqual({
      kind: "turn-metrics",
      metrics: { turn: 3, voiceToVoiceMs: 512, interrupted: true, stages: [{ name: "llm", ms: 180 }] },
    });
  });

  test.each([
    ["no turn", { type: "turn-metrics", voice_to_voice_ms: 5 }],
    ["no duration", { type: "turn-metrics", turn: 1 }],
    ["an unknown type", { type: "weather", sky: "blue" }],
    ["a notice without words", { type: "notice", level: "error", service: "asr" }],
  ])("ignores a server message with %s", (_, data) => {
    expect(readMessage("server-message", data)).toBeNull();
  });

  test("reads notices and takes an unknown level for an error", () => {
    const data = { type: "notice", level: "catastrophe", service: "tts", message: "Gone.", hint: "start it" };
    expect(readMessage("server-message", data)).toEqual({
      kind: "notice",
      notice: { level: "error", service: "tts", message: "Gone.", hint: "start it" },
    });
  });

  test.each([undefined, null, "text", 4, []])("survives data that is %j", (data) => {
    expect(readMessage("bot-output", data)).toBeNull();
    expect(readMessage("bot-interrupted", data)).toEqual({ kind: "interrupted" });
  });
});
