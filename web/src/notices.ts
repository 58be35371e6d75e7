/** The banners on show: at most one per service, and the bot's latest error. */

import type { BotEvent, Level } from "./events";
import type { Deafness } from "./phase";

export interface Banner {
  readonly key: string;
  readonly level: Level;
  readonly message: string;
  readonly hint: string;
  /** Goes by itself after a few seconds. */
  readonly passing: boolean;
}

const ERROR_KEY = "bot-error";
const RECOGNISER = "asr";

const SERVICE_NAMES: Readonly<Record<string, string>> = {
  asr: "speech recogniser",
  llm: "language model",
  tts: "voice",
};

/** Return the banners after `event`; the same array when none changed. */
export function applyNotice(banners: readonly Banner[], event: BotEvent): readonly Banner[] {
  switch (event.kind) {
    case "notice": {
      const { service, level, message, hint } = event.notice;
      return put(banners, { key: service || message, level, message, hint, passing: level === "info" });
    }
    case "notice-cleared":
      return clear(banners, event.service);
    case "error":
      return event.fatal ? banners : put(banners, errorBanner(event.message));
    case "speech-started":
      return dismiss(banners, ERROR_KEY);
    default:
      return banners;
  }
}

/** Return why the bot cannot hear, after `event`: it has no free place for the caller, or no recogniser. */
export function hearing(before: Deafness, event: BotEvent): Deafness {
  if (event.kind === "notice" && event.notice.service === RECOGNISER) {
    return event.notice.level === "warning" ? "busy" : "lost";
  }
  return event.kind === "notice-cleared" && event.service === RECOGNISER ? null : before;
}

/** Take a banner away. */
export function dismiss(banners: readonly Banner[], key: string): readonly Banner[] {
  return banners.some((banner) => banner.key === key) ? banners.filter((banner) => banner.key !== key) : banners;
}

function clear(banners: readonly Banner[], service: string): readonly Banner[] {
  if (!banners.some((banner) => banner.key === service)) return banners;
  const name = SERVICE_NAMES[service] ?? service;
  return put(dismiss(banners, ERROR_KEY), {
    key: service,
    level: "info",
    message: `The ${name} is back.`,
    hint: "",
    passing: true,
  });
}

function errorBanner(message: string): Banner {
  return { key: ERROR_KEY, level: "warning", message, hint: "", passing: false };
}

function put(banners: readonly Banner[], banner: Banner): readonly Banner[] {
  return [...banners.filter((old) => old.key !== banner.key), banner];
}
