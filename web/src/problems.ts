/** What went wrong, in plain words, and what to do about it. */

export type Remedy = "connect" | "text-only" | "wait";

export interface Problem {
  readonly title: string;
  readonly advice: string;
  /** A command to type, or empty. */
  readonly command: string;
  /** What the page offers to do. */
  readonly remedies: readonly Remedy[];
  /** Seconds until the page tries again by itself; null when only the user can help. */
  readonly retryAfter: number | null;
}

export class ProblemError extends Error {
  constructor(readonly problem: Problem) {
    super(problem.title);
  }
}

/** Name the reason why there is no microphone, from the name of the browser's exception. */
export function microphoneProblem(errorName: string): Problem {
  switch (errorName) {
    case "NotAllowedError":
    case "SecurityError":
      return byUser(
        "The browser does not let this page use the microphone.",
        "Allow the microphone for this page (the icon beside the address), then connect again. " +
          "You can also go on by typing.",
      );
    case "NotFoundError":
    case "OverconstrainedError":
      return byUser(
        "No microphone was found.",
        "Plug one in or switch it on, then connect again. You can also go on by typing.",
      );
    case "NotReadableError":
    case "AbortError":
      return byUser(
        "The microphone is there, but could not be opened.",
        "Another program may be holding it: close that one, then connect again. You can also go on by typing.",
      );
    default:
      return byUser(
        `The microphone could not be opened (${errorName}).`,
        "Check the sound settings of this computer, then connect again. You can also go on by typing.",
      );
  }
}

/** Explain that browsers hand out the microphone over https or on this computer only. */
export function insecureOrigin(origin: string, port: string): Problem {
  return byUser(
    `The browser gives no microphone to ${origin}, because the connection is not secure.`,
    `Open the page over https, or on the computer the bot runs on as http://localhost:${port}/client/. ` +
      "You can also go on by typing.",
  );
}

/** Explain a refusal of the bot server, from its HTTP status, Retry-After (seconds) and message. */
export function refused(status: number, retryAfter: string | null, detail: string): Problem {
  if (status === 503 || status === 429) {
    const seconds = Number(retryAfter);
    return {
      title: "All places are taken.",
      advice: detail || "The bot is holding as many conversations as it can. A place may soon be free.",
      command: "",
      remedies: ["connect", "wait"],
      retryAfter: Number.isFinite(seconds) && seconds >= 1 ? seconds : 5,
    };
  }
  if (status === 401 || status === 403) {
    return byServer("The bot server does not admit this page.", detail || "Ask whoever runs it for access.");
  }
  return byServer(
    `The bot server could not start a conversation (HTTP ${status}).`,
    detail || "Its log says why. Connect again when that is mended.",
  );
}

/** Explain that nobody answers at the bot's address; `retryAfter` in seconds. */
export function unreachable(origin: string, retryAfter: number): Problem {
  return {
    title: `The bot server at ${origin} is not answering.`,
    advice: "It may have been stopped. This page goes on by itself when it is back.",
    command: "uv run nemotron demo",
    remedies: ["connect", "wait"],
    retryAfter,
  };
}

/** Explain that the server answers but no audio connection comes about. */
export function blocked(): Problem {
  return byServer(
    "The bot server answers, but no audio connection came about.",
    "A firewall or VPN may be blocking UDP between this browser and the bot. Allow it, then connect again.",
  );
}

/** Explain that the bot hung up by itself. */
export function ended(): Problem {
  return byServer("The bot has ended the conversation.", "Connect again to start a new one.");
}

/** Show a fatal error of the bot in its own words. */
export function failed(message: string): Problem {
  return byServer("The bot had to stop.", message);
}

function byUser(title: string, advice: string): Problem {
  return { title, advice, command: "", remedies: ["connect", "text-only"], retryAfter: null };
}

function byServer(title: string, advice: string): Problem {
  return { title, advice, command: "", remedies: ["connect"], retryAfter: null };
}
