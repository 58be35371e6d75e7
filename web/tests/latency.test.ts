import { describe as group, expect, test } from "vitest";

import type { Stage, TurnMetrics } from "../src/events";
import { COLOURS, describe, parts, quantile, record } from "../src/latency";

function turn(number: number, voiceToVoiceMs: number, stages: Stage[] = [], interrupted = false): TurnMetrics {
  return { turn: number, voiceToVoiceMs, interrupted, stages };
}

const STAGES = [
  { name: "endpointing", ms: 200 },
  { name: "transcription", ms: 25 },
  { name: "turn detection", ms: 40 },
  { name: "llm", ms: 180 },
  { name: "tts", ms: 60 },
  { name: "output", ms: 7 },
];

group("the bar of a turn", () => {
  test("shares add up to the whole and follow the stages", () => {
    const bar = parts(turn(1, 512, STAGES));
    expect(bar.map((part) => part.name)).toEqual(STAGES.map((stage) => stage.name));
    expect(bar.reduce((sum, part) => sum + part.share, 0)).toBeCloseTo(1);
    expect(bar[3]?.share).toBeCloseTo(180 / 512);
  });

  test("time that no stage accounts for is a part of its own", () => {
    const bar = parts(turn(1, 600, STAGES));
    expect(bar.at(-1)).toMatchObject({ name: "other", ms: 88 });
  });

  test("a millisecond of rounding is not worth a part", () => {
    expect(parts(turn(1, 514, STAGES)).map((part) => part.name)).not.toContain("other");
  });

  test("overlapping stages still fill exactly one bar", () => {
    const bar = parts(turn(1, 300, STAGES));
    expect(bar.every((part) => part.name !== "other")).toBe(true);
    expect(bar.reduce((sum, part) => sum + part.share, 0)).toBeCloseTo(1);
  });

  test("stages that took no time are left out", () => {
    expect(parts(turn(1, 10, [{ name: "llm", ms: 10 }, { name: "tts", ms: 0 }]))).toHaveLength(1);
  });

  test("known stages have colours of their own, whatever their order", () => {
    const colours = parts(turn(1, 512, STAGES.toReversed())).map((part) => part.colour);
    expect(new Set(colours).size).toBe(STAGES.length);
    expect(Math.max(...colours)).toBeLessThan(COLOURS - 1);
  });
});

group("the session", () => {
  test("quantiles are by nearest rank", () => {
    const turns = [700, 500, 600, 900, 800].map((ms, index) => turn(index + 1, ms));
    expect(quantile(turns, 0.5)).toBe(700);
    expect(quantile(turns, 0.9)).toBe(900);
    expect(quantile(turns.slice(0, 1), 0.5)).toBe(700);
    expect(quantile([], 0.5)).toBeNull();
  });

  test("a turn reported twice counts once, and old turns go", () => {
    const turns = [1, 2, 3, 2].reduce<TurnMetrics[]>((all, number) => record(all, turn(number, number * 100), 2), []);
    expect(turns.map((each) => each.turn)).toEqual([2, 3]);
  });

  test("a turn can be read aloud", () => {
    const text = describe(turn(4, 240, [{ name: "llm", ms: 180 }, { name: "tts", ms: 60 }], true));
    expect(text).toBe("Turn 4: 240 ms (interrupted): LLM 180 ms, TTS 60 ms");
  });
});
