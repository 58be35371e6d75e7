import { describe, expect, test } from "vitest";

import { announceEvent, announcePhase } from "../src/announce";
import type { BotEvent, Level } from "../src/events";
import { applyNotice, type Banner, dismiss, hearing } from "../src/notices";
import { insecureOrigin, microphoneProblem, refused, unreachable } from "../src/problems";

const notice = (service: string, message: string, level: Level = "error"): BotEvent => ({
  kind: "notice",
  notice: { level, service, message, hint: "" },
});

function play(...events: BotEvent[]): readonly Banner[] {
  return events.reduce<readonly Banner[]>(applyNotice, []);
}

describe("banners", () => {
  test("a service has one banner, with its latest words", () => {
    expect(play(notice("asr", "first"), notice("asr", "second")).map((banner) => banner.message)).toEqual(["second"]);
  });

  test("a service that is back replaces its banner by a passing one", () => {
    const banners = play(notice("asr", "gone"), notice("tts", "gone"), { kind: "notice-cleared", service: "asr" });
    expect(banners.map((banner) => [banner.key, banner.level, banner.passing])).toEqual([
      ["tts", "error", false],
      ["asr", "info", true],
    ]);
    expect(banners.at(-1)?.message).toBe("The speech recogniser is back.");
  });

  test("a service that was never gone is not announced as back", () => {
    expect(play({ kind: "notice-cleared", service: "llm" })).toEqual([]);
  });

  test("without a recogniser, or a free place of it, the bot does not hear; another service takes nothing away", () => {
    expect(hearing(null, notice("asr", "no free place", "warning"))).toBe("busy");
    expect(hearing("busy", notice("asr", "not answering"))).toBe("lost");
    expect(hearing(null, notice("tts", "not answering"))).toBe(null);
    expect(hearing("busy", { kind: "notice-cleared", service: "tts" })).toBe("busy");
    expect(hearing("busy", { kind: "notice-cleared", service: "asr" })).toBe(null);
  });

  test("an error of the bot stands until it speaks again", () => {
    const broken = play({ kind: "error", message: "LLM error: refused", fatal: false });
    expect(broken.map((banner) => banner.message)).toEqual(["LLM error: refused"]);
    expect(applyNotice(broken, { kind: "speech-started" })).toEqual([]);
  });

  test("events that concern no banner leave the very same list", () => {
    const banners = play(notice("asr", "gone"));
    expect(applyNotice(banners, { kind: "user-started" })).toBe(banners);
    expect(dismiss(banners, "tts")).toBe(banners);
    expect(dismiss(banners, "asr")).toEqual([]);
  });
});

describe("problems", () => {
  test.each(["NotAllowedError", "NotFoundError", "NotReadableError", "Weird"])(
    "%s says what to do and offers to go on by typing",
    (name) => {
      const problem = microphoneProblem(name);
      expect(problem.advice).toMatch(/connect again/);
      expect(problem.remedies).toEqual(["connect", "text-only"]);
      expect(problem.retryAfter).toBeNull();
    },
  );

  test("the reasons for a missing microphone are told apart", () => {
    const names = ["NotAllowedError", "NotFoundError", "NotReadableError", "Weird"];
    expect(new Set(names.map((name) => microphoneProblem(name).title)).size).toBe(names.length);
  });

  test("an insecure origin names an address that works", () => {
    expect(insecureOrigin("http://10.0.0.5:7860", "7860").advice).toContain("http://localhost:7860/client/");
  });

  test("a full server is tried again when it says so, and after five seconds otherwise", () => {
    expect(refused(503, "12", "").retryAfter).toBe(12);
    expect(refused(429, null, "").retryAfter).toBe(5);
    expect(refused(503, "Sun, 22 Nov 2026 10:00:00 GMT", "").retryAfter).toBe(5);
  });

  test("other refusals wait for the user and quote the server", () => {
    const problem = refused(400, null, "Transport 'webrtc' is not allowed.");
    expect(problem).toMatchObject({ advice: "Transport 'webrtc' is not allowed.", retryAfter: null });
    expect(problem.title).toContain("400");
  });

  test("a server that is gone names its address and the command that starts it", () => {
    const problem = unreachable("http://localhost:7860", 3);
    expect(problem.title).toContain("http://localhost:7860");
    expect(problem).toMatchObject({ command: "uv run nemotron demo", retryAfter: 3 });
  });
});

describe("what a screen reader is told", () => {
  test("finished sentences of both sides, no interim words", () => {
    expect(announceEvent({ kind: "user-text", text: "Hi", final: false, source: "transcription" })).toBe("");
    expect(announceEvent({ kind: "user-text", text: "Hi.", final: true, source: "transcription" })).toBe("You: Hi.");
    expect(announceEvent({ kind: "bot-text", segment: 1, spoken: "It", remaining: "is." })).toBe("");
    expect(announceEvent({ kind: "bot-text", segment: 1, spoken: "It is.", remaining: "" })).toBe("Bot: It is.");
  });

  test("changes of state that cannot be heard", () => {
    expect(announcePhase("connecting", "listening")).toBe("Connected. Listening.");
    expect(announcePhase("speaking", "listening")).toBe("");
    expect(announcePhase("speaking", "interrupted")).toBe("Interrupted.");
    expect(announcePhase("listening", "reconnecting")).toBe("Reconnecting.");
  });
});
