/**
 * What the bot tells the page, read from RTVI messages.
 *
 * The names follow RTVI 2.2. Messages that RTVI has deprecated (`user-transcription`, `bot-tts-text`
 * and their kin) are sent beside the current ones and are left unread, as is everything unknown.
 */

export type Level = "error" | "warning" | "info";
export type Service = "asr" | "llm" | "tts";
export type InputSource = "transcription" | "chat" | "backchannel";

export interface Stage {
  readonly name: string;
  readonly ms: number;
}

export interface TurnMetrics {
  readonly turn: number;
  readonly voiceToVoiceMs: number;
  readonly interrupted: boolean;
  readonly stages: readonly Stage[];
}

export interface Notice {
  readonly level: Level;
  readonly service: string;
  readonly message: string;
  readonly hint: string;
}

export type BotEvent =
  | { kind: "user-started" }
  | { kind: "user-stopped" }
  | { kind: "user-text"; text: string; final: boolean; source: InputSource }
  | { kind: "reply-started" }
  | { kind: "reply-ended" }
  | { kind: "speech-started" }
  | { kind: "speech-stopped" }
  | { kind: "interrupted" }
  | { kind: "bot-text"; segment: number | null; spoken: string; remaining: string }
  | { kind: "turn-metrics"; metrics: TurnMetrics }
  | { kind: "notice"; notice: Notice }
  | { kind: "notice-cleared"; service: string }
  | { kind: "error"; message: string; fatal: boolean };

type Fields = Record<string, unknown>;

const SIGNALS: Readonly<Record<string, BotEvent>> = {
  "user-started-speaking": { kind: "user-started" },
  "user-stopped-speaking": { kind: "user-stopped" },
  "bot-llm-started": { kind: "reply-started" },
  "bot-llm-stopped": { kind: "reply-ended" },
  "bot-started-speaking": { kind: "speech-started" },
  "bot-stopped-speaking": { kind: "speech-stopped" },
  "bot-interrupted": { kind: "interrupted" },
};

/** Read one RTVI message; null for one this page has no use for, or that is malformed. */
export function readMessage(type: string, data: unknown): BotEvent | null {
  const signal = SIGNALS[type];
  if (signal) return signal;
  const fields = asFields(data);
  if (!fields) return null;
  switch (type) {
    case "user-input":
      return readUserInput(fields);
    case "bot-output":
      return readBotOutput(fields);
    case "server-message":
      return readServerMessage(fields);
    case "error":
      return readError(fields);
    default:
      return null;
  }
}

function readUserInput(fields: Fields): BotEvent | null {
  const source = text(fields["input_type"]);
  if (source !== "transcription" && source !== "chat" && source !== "backchannel") return null;
  return { kind: "user-text", text: text(fields["text"]), final: fields["final"] === true, source };
}

/** Words the bot will not speak (`will_be_spoken` false) arrive complete and count as said. */
function readBotOutput(fields: Fields): BotEvent | null {
  const whole = text(fields["text"]);
  const segment = typeof fields["segment_id"] === "number" ? fields["segment_id"] : null;
  const progress = asFields(fields["spoken_progress"]);
  if (!progress) return { kind: "bot-text", segment, spoken: whole, remaining: "" };
  return {
    kind: "bot-text",
    segment,
    spoken: text(progress["accumulated_text"]),
    remaining: text(progress["remaining_text"]),
  };
}

function readServerMessage(fields: Fields): BotEvent | null {
  switch (fields["type"]) {
    case "turn-metrics":
      return readTurnMetrics(fields);
    case "notice":
      return readNotice(fields);
    case "notice-cleared":
      return { kind: "notice-cleared", service: text(fields["service"]) };
    default:
      return null;
  }
}

function readTurnMetrics(fields: Fields): BotEvent | null {
  const voiceToVoiceMs = milliseconds(fields["voice_to_voice_ms"]);
  if (voiceToVoiceMs === null || typeof fields["turn"] !== "number") return null;
  const listed = Array.isArray(fields["stages"]) ? fields["stages"] : [];
  const stages = listed.map(asFields).flatMap((stage) => {
    const ms = milliseconds(stage?.["ms"]);
    return stage && ms !== null ? [{ name: text(stage["name"]), ms }] : [];
  });
  const interrupted = fields["interrupted"] === true;
  return { kind: "turn-metrics", metrics: { turn: fields["turn"], voiceToVoiceMs, interrupted, stages } };
}

function readNotice(fields: Fields): BotEvent | null {
  const message = text(fields["message"]);
  if (!message) return null;
  const level = fields["level"] === "warning" || fields["level"] === "info" ? fields["level"] : "error";
  const notice = { level, service: text(fields["service"]), message, hint: text(fields["hint"]) } as const;
  return { kind: "notice", notice };
}

function readError(fields: Fields): BotEvent {
  const message = text(fields["error"]) || text(fields["message"]) || "The bot reported an error.";
  return { kind: "error", message, fatal: fields["fatal"] === true };
}

function asFields(value: unknown): Fields | null {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : null;
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function milliseconds(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) && value >= 0 ? value : null;
}
