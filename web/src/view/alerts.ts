/** What stands in the way (one problem) and what is out of order (a banner each). */

import type { Banner } from "../notices";
import type { Problem } from "../problems";
import type { State } from "../session";
import { make } from "./dom";

const PASSING_MS = 5_000;

export interface AlertActions {
  connect(): void;
  typeOnly(): void;
  stopWaiting(): void;
  dismiss(key: string): void;
}

export class AlertsView {
  private banners: readonly Banner[] | null = null;
  private problem: Problem | null | undefined;
  private countdown: HTMLElement | null = null;

  constructor(
    private readonly root: HTMLElement,
    private readonly actions: AlertActions,
  ) {}

  render(state: State): void {
    if (state.banners !== this.banners || state.problem !== this.problem) this.draw(state);
    if (this.countdown) this.countdown.textContent = waitText(state.retryIn);
  }

  private draw(state: State): void {
    this.banners = state.banners;
    this.problem = state.problem;
    this.countdown = null;
    const alerts = state.banners.map((banner) => this.banner(banner));
    if (state.problem) alerts.unshift(this.problemAlert(state.problem));
    this.root.replaceChildren(...alerts);
  }

  private problemAlert(problem: Problem): HTMLElement {
    const box = alertBox("error", problem.title, problem.advice, problem.command);
    const row = make("p", "alert-actions");
    if (problem.remedies.includes("connect")) {
      const label = problem.retryAfter === null ? "Connect again" : "Try now";
      row.append(button(label, "primary", () => this.actions.connect()));
    }
    if (problem.remedies.includes("text-only")) {
      row.append(button("Go on by typing", "", () => this.actions.typeOnly()));
    }
    if (problem.remedies.includes("wait")) {
      row.append(button("Stop trying", "", () => this.actions.stopWaiting()));
      this.countdown = make("span", "quiet");
      row.append(this.countdown);
    }
    box.append(row);
    return box;
  }

  private banner(banner: Banner): HTMLElement {
    // What mends an error is a command; what is said of a warning is a sentence.
    const [advice, command] = banner.level === "error" ? ["", banner.hint] : [banner.hint, ""];
    const box = alertBox(banner.level, banner.message, advice, command);
    const close = button("×", "close", () => this.actions.dismiss(banner.key));
    close.setAttribute("aria-label", "Dismiss");
    box.append(close);
    if (banner.passing) setTimeout(() => this.fade(banner), PASSING_MS);
    return box;
  }

  private fade(banner: Banner): void {
    if (this.banners?.includes(banner)) this.actions.dismiss(banner.key);
  }
}

function alertBox(level: Banner["level"], title: string, advice: string, command: string): HTMLElement {
  const box = make("div", `alert ${level}`);
  box.setAttribute("role", level === "info" ? "status" : "alert");
  const words = make("div", "alert-words");
  words.append(make("p", "alert-title", title));
  if (advice) words.append(make("p", "", advice));
  if (command) words.append(make("code", "", command));
  box.append(words);
  return box;
}

function button(label: string, className: string, onClick: () => void): HTMLButtonElement {
  const element = make("button", className, label);
  element.type = "button";
  element.addEventListener("click", onClick);
  return element;
}

function waitText(seconds: number | null): string {
  if (seconds === null) return "";
  return seconds > 0 ? `Trying again in ${seconds} s` : "Trying …";
}
