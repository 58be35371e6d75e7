/** The list of what was said. Only entries that changed are drawn again. */

import { describe, formatMs } from "../latency";
import { type BotEntry, type Entry, textOf, type Transcript } from "../transcript";
import { makeBar } from "./bar";
import { make } from "./dom";

const NAMES = { user: "You", bot: "Bot", page: "" } as const;
/** Within this distance of the end the list follows the conversation. */
const FOLLOW_PX = 80;

export class TranscriptView {
  private readonly drawn = new Map<number, { entry: Entry; item: HTMLLIElement }>();

  private following = true;

  constructor(
    private readonly list: HTMLElement,
    private readonly scroll: HTMLElement,
  ) {
    scroll.addEventListener("scroll", () => {
      this.following = this.atEnd();
    });
    new ResizeObserver(() => this.follow()).observe(scroll);
  }

  render(transcript: Transcript): void {
    const gone = new Set(this.drawn.keys());
    for (const entry of transcript.entries) {
      gone.delete(entry.id);
      this.draw(entry);
    }
    for (const id of gone) this.remove(id);
    this.follow();
  }

  private follow(): void {
    if (this.following && this.drawn.size > 0) this.scroll.scrollTop = this.scroll.scrollHeight;
  }

  private draw(entry: Entry): void {
    const known = this.drawn.get(entry.id);
    if (known?.entry === entry) return;
    const item = known?.item ?? this.list.appendChild(make("li"));
    fill(item, entry);
    this.drawn.set(entry.id, { entry, item });
  }

  private remove(id: number): void {
    this.drawn.get(id)?.item.remove();
    this.drawn.delete(id);
  }

  private atEnd(): boolean {
    const { scrollHeight, scrollTop, clientHeight } = this.scroll;
    return scrollHeight - scrollTop - clientHeight < FOLLOW_PX;
  }
}

function fill(item: HTMLLIElement, entry: Entry): void {
  const { settled, open } = textOf(entry);
  item.className = `entry ${entry.who}`;
  const said = make("p", "said");
  if (settled) said.append(make("span", "settled", settled));
  if (settled && open) said.append(" ");
  if (open) said.append(make("span", "open", open));
  item.replaceChildren(said, ...remarks(entry));
  if (entry.who !== "page") item.prepend(make("span", "who", NAMES[entry.who]));
}

function remarks(entry: Entry): HTMLElement[] {
  if (entry.who === "bot") return botRemarks(entry);
  if (entry.who === "page" || entry.source === "transcription") return [];
  const row = make("p", "remarks");
  row.append(make("span", "tag", entry.source === "chat" ? (entry.pending ? "sending" : "typed") : "aside"));
  return [row];
}

function botRemarks(entry: BotEntry): HTMLElement[] {
  if (!entry.interrupted && !entry.metrics) return [];
  const row = make("p", "remarks");
  if (entry.interrupted) row.append(make("span", "tag stopped", "interrupted"));
  if (entry.metrics) {
    const time = make("span", "time", formatMs(entry.metrics.voiceToVoiceMs));
    time.title = describe(entry.metrics);
    row.append(time, makeBar(entry.metrics));
  }
  return [row];
}
