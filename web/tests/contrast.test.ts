import { describe, expect, test } from "vitest";

import CSS from "../src/style.css?raw";

const AA_TEXT = 4.5;

/** The colours of one theme, by the name of their custom property. */
function palette(selector: string): Record<string, string> {
  const block = CSS.slice(CSS.indexOf(`${selector} {`)).split("}")[0] ?? "";
  return Object.fromEntries([...block.matchAll(/--([\w-]+):\s*(#[0-9a-f]{6});/g)].map((match) => [match[1], match[2]]));
}

/** WCAG 2.2 relative luminance. */
function luminance(colour: string): number {
  const [r = 0, g = 0, b = 0] = [1, 3, 5].map((at) => {
    const value = parseInt(colour.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(a: string, b: string): number {
  const [light = 0, dark = 0] = [luminance(a), luminance(b)].toSorted((x, y) => y - x);
  return (light + 0.05) / (dark + 0.05);
}

const PAIRS: [string, string][] = [
  ["text", "card"],
  ["text", "you-soft"],
  ["text", "bot-soft"],
  ["text", "stop-soft"],
  ["text", "warn-soft"],
  ["text", "info-soft"],
  ["quiet", "card"],
  ["quiet", "ground"],
  ["faint", "you-soft"],
  ["faint", "bot-soft"],
  ["on-accent", "accent"],
  ["on-accent", "accent-strong"],
  ["stop", "card"],
  ["wait", "warn-soft"],
  ["quiet", "line"],
];

describe.each([":root", ':root[data-theme="dark"]'])("contrast in %s", (selector) => {
  const colours = palette(selector);

  test.each(PAIRS)("%s on %s can be read", (front, back) => {
    expect(contrast(colours[front] ?? "", colours[back] ?? "")).toBeGreaterThanOrEqual(AA_TEXT);
  });
});
