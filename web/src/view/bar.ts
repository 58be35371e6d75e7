/** The stacked bar of one turn. */

import type { TurnMetrics } from "../events";
import { formatMs, parts, stageLabel } from "../latency";
import { make } from "./dom";

export function makeBar(turn: TurnMetrics): HTMLElement {
  const bar = make("span", "bar");
  bar.setAttribute("aria-hidden", "true");
  for (const part of parts(turn)) {
    const piece = make("i", `stage-${part.colour}`);
    piece.style.flexGrow = String(part.share);
    piece.title = `${stageLabel(part.name)} ${formatMs(part.ms)}`;
    bar.append(piece);
  }
  return bar;
}
