/** How fast the bot answers: the last turn in detail, and the turns before it. */

import type { TurnMetrics } from "../events";
import { describe, formatMs, parts, quantile, stageLabel } from "../latency";
import { makeBar } from "./bar";
import { make } from "./dom";

const HISTORY = 24;

export class TimingView {
  private shown: readonly TurnMetrics[] | null = null;

  constructor(private readonly root: HTMLElement) {}

  render(turns: readonly TurnMetrics[]): void {
    if (turns === this.shown) return;
    this.shown = turns;
    const last = turns.at(-1);
    this.root.replaceChildren(...(last ? drawn(turns, last) : [nothingYet()]));
  }
}

const DEFINITION =
  "From the last sound of your voice to the first sound of the answer as it leaves the bot; " +
  "the network and your browser's buffer come on top.";

function nothingYet(): HTMLElement {
  return make("p", "quiet", `${DEFINITION} Measured on every turn.`);
}

function drawn(turns: readonly TurnMetrics[], last: TurnMetrics): HTMLElement[] {
  const figure = make("p", "figure");
  figure.append(make("b", "", Math.round(last.voiceToVoiceMs).toLocaleString("en")), " ms");
  const name = make("span", "quiet", "voice to voice");
  name.title = DEFINITION;
  figure.append(name);
  const heard = make("span", "hidden", describe(last));
  return [figure, makeBar(last), heard, legend(last), history(turns), summary(turns)];
}

function legend(turn: TurnMetrics): HTMLElement {
  const list = make("ul", "legend");
  list.setAttribute("aria-hidden", "true");
  for (const part of parts(turn)) {
    const item = make("li");
    item.append(make("i", `stage-${part.colour}`), make("span", "", stageLabel(part.name)));
    item.append(make("b", "", Math.round(part.ms).toLocaleString("en")));
    list.append(item);
  }
  return list;
}

/** One column per turn, its height in proportion to the slowest on show. */
function history(turns: readonly TurnMetrics[]): HTMLElement {
  const recent = turns.slice(-HISTORY);
  const slowest = Math.max(...recent.map((turn) => turn.voiceToVoiceMs), 1);
  const row = make("div", "history");
  row.setAttribute("aria-hidden", "true");
  for (const turn of recent) {
    const column = makeBar(turn);
    column.style.height = `${Math.max(6, (turn.voiceToVoiceMs / slowest) * 100)}%`;
    column.title = describe(turn);
    row.append(column);
  }
  return row;
}

function summary(turns: readonly TurnMetrics[]): HTMLElement {
  const median = quantile(turns, 0.5);
  const slow = quantile(turns, 0.9);
  const count = turns.length === 1 ? "1 turn" : `${turns.length} turns`;
  return make("p", "quiet", `${count} · median ${formatMs(median ?? 0)} · p90 ${formatMs(slow ?? 0)}`);
}
