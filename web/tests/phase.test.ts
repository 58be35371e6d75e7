import { describe, expect, test } from "vitest";

import { advance, isLive, isWaiting, label, type Phase, PHASE_LABELS, type Signal } from "../src/phase";

function walk(start: Phase, ...signals: Signal[]): Phase[] {
  return signals.map((signal) => (start = advance(start, signal)));
}

describe("phase", () => {
  test("a turn goes from listening through hearing and thinking to speaking and back", () => {
    const phases = walk(
      "offline",
      "connecting",
      "ready",
      "user-started",
      "user-stopped",
      "reply-started",
      "speech-started",
      "speech-stopped",
    );
    expect(phases).toEqual([
      "connecting",
      "listening",
      "hearing",
      "listening",
      "thinking",
      "speaking",
      "listening",
    ]);
  });

  test("speaking over the bot interrupts it, in either order of the two reports", () => {
    expect(walk("speaking", "user-started", "interrupted").at(-1)).toBe("interrupted");
    expect(walk("speaking", "interrupted", "user-started").at(-1)).toBe("interrupted");
  });

  test("an interruption outlasts the end of the bot's audio and ends with the user's turn", () => {
    const phases = walk("interrupted", "speech-stopped", "reply-ended", "user-stopped");
    expect(phases).toEqual(["interrupted", "interrupted", "listening"]);
  });

  test("the interruption every user turn begins with is not shown when the bot was silent", () => {
    expect(walk("listening", "user-started", "interrupted").at(-1)).toBe("hearing");
    expect(walk("listening", "interrupted", "user-started").at(-1)).toBe("hearing");
  });

  test("a reply that is cut off while the bot draws breath is shown as interrupted", () => {
    expect(walk("speaking", "speech-stopped", "user-started", "cut-off").at(-1)).toBe("interrupted");
    expect(walk("speaking", "speech-stopped", "cut-off", "user-started").at(-1)).toBe("interrupted");
  });

  test("a bot that may not be interrupted goes on speaking", () => {
    expect(walk("speaking", "user-started", "user-stopped")).toEqual(["overlapping", "speaking"]);
    expect(walk("speaking", "user-started", "speech-stopped")).toEqual(["overlapping", "hearing"]);
  });

  test("what brings no request is followed by no thinking, and what brings one is, whenever it begins", () => {
    expect(walk("listening", "user-started", "user-stopped")).toEqual(["hearing", "listening"]);
    expect(walk("speaking", "interrupted", "user-stopped").at(-1)).toBe("listening");
    expect(walk("listening", "user-started", "reply-started", "user-stopped").at(-1)).toBe("thinking");
  });

  test("it listens only where somebody does", () => {
    expect(label("listening", null)).toBe("Listening");
    expect(label("listening", "busy")).toBe("All lines are busy");
    expect(label("listening", "lost")).toBe("Cannot hear you");
    expect(label("listening", "muted")).toBe("Muted");
    expect(label("speaking", "busy")).toBe("Speaking");
  });

  test("typing over the bot's speech interrupts it and then waits for the answer", () => {
    expect(walk("speaking", "interrupted", "reply-started")).toEqual(["interrupted", "thinking"]);
  });

  test("a turn that brings nothing goes back to listening", () => {
    expect(advance("thinking", "nothing-came")).toBe("listening");
    expect(advance("interrupted", "nothing-came")).toBe("listening");
    expect(advance("speaking", "nothing-came")).toBe("speaking");
  });

  test("every phase can lose the connection or be closed, except one that is closed already", () => {
    for (const phase of Object.keys(PHASE_LABELS) as Phase[]) {
      if (phase === "offline") continue;
      expect(advance(phase, "closed")).toBe("offline");
      expect(["reconnecting"]).toContain(advance(phase, "lost"));
    }
    expect(advance("offline", "closed")).toBe("offline");
  });

  test("late reports of a session that is over change nothing", () => {
    const late: Signal[] = ["user-started", "speech-started", "interrupted", "reply-started", "nothing-came"];
    for (const signal of late) expect(advance("offline", signal)).toBe("offline");
  });

  test("only an open session is live, and only a pending answer is waited for", () => {
    const phases = Object.keys(PHASE_LABELS) as Phase[];
    expect(phases.filter((phase) => !isLive(phase))).toEqual(["offline", "connecting", "reconnecting"]);
    expect(phases.filter(isWaiting)).toEqual(["thinking", "interrupted"]);
  });
});
