/** Put the page together: the session on one side, the views on the other. */

import "./style.css";

import { announceEvent, announcePhase } from "./announce";
import { Meter } from "./meter";
import { isLive, label, type Phase } from "./phase";
import { Session, type State } from "./session";
import { AlertsView } from "./view/alerts";
import { DevicesView } from "./view/devices";
import { byId } from "./view/dom";
import { Ring } from "./view/ring";
import { setUpTheme } from "./view/theme";
import { TimingView } from "./view/timing";
import { TranscriptView } from "./view/transcript";

const connect = byId("connect", HTMLButtonElement);
const mute = byId("mute", HTMLButtonElement);
const hangUp = byId("hang-up", HTMLButtonElement);
const message = byId("message", HTMLInputElement);
const send = byId("send", HTMLButtonElement);
const live = byId("live", HTMLParagraphElement);
const voice = byId("voice", HTMLAudioElement);
const phaseLabel = byId("phase", HTMLParagraphElement);
const hint = byId("hint", HTMLParagraphElement);
const welcome = byId("welcome", HTMLDivElement);

const microphoneMeter = new Meter();
const botMeter = new Meter();
const ring = new Ring(byId("ring", HTMLCanvasElement), microphoneMeter, botMeter);
const transcriptView = new TranscriptView(byId("transcript", HTMLOListElement), byId("scroll", HTMLDivElement));
const timingView = new TimingView(byId("timing", HTMLDivElement));

let phase: Phase = "offline";

const session = new Session({
  onState: render,
  onEvent: (event) => announce(announceEvent(event)),
  onMicrophone: (stream) => {
    microphoneMeter.attach(stream);
    void devices.refresh();
  },
  onBotAudio: (track) => {
    const stream = track ? new MediaStream([track]) : null;
    voice.srcObject = stream;
    botMeter.attach(stream);
  },
});
const devices = new DevicesView((deviceId) => void session.chooseMicrophone(deviceId), voice);
const alertsView = new AlertsView(byId("alerts", HTMLDivElement), {
  connect: () => void session.connect(),
  typeOnly: () => void session.connect(false),
  stopWaiting: () => void session.disconnect(),
  dismiss: (key) => session.dismissBanner(key),
});

// ----------------------------------------------------------------------------------------- what is shown

function render(state: State): void {
  if (state.phase !== phase) announce(announcePhase(phase, state.phase));
  phase = state.phase;
  document.documentElement.dataset["phase"] = phase;
  ring.show(phase);
  renderControls(state);
  transcriptView.render(state.transcript);
  timingView.render(state.turns);
  alertsView.render(state);
  welcome.hidden = state.transcript.entries.length > 0;
}

function renderControls(state: State): void {
  const open = isLive(state.phase);
  const idle = state.phase === "offline";
  connect.hidden = !idle;
  phaseLabel.hidden = idle;
  phaseLabel.textContent = label(state.phase, state.deafness ?? (state.muted ? "muted" : null));
  hangUp.hidden = idle;
  hangUp.lastElementChild!.textContent = open ? "Disconnect" : "Cancel";
  mute.hidden = !open || !state.hasMicrophone;
  mute.setAttribute("aria-pressed", String(state.muted));
  mute.lastElementChild!.textContent = state.muted ? "Unmute" : "Mute";
  message.disabled = send.disabled = !open;
  message.placeholder = open ? "Type a message; the answer is spoken" : "Connect to talk or type";
  hint.textContent = hintFor(state, open);
}

function hintFor(state: State, open: boolean): string {
  if (state.phase === "offline") return "Space or Enter to connect";
  if (!open) return "";
  if (!state.hasMicrophone) return "No microphone: type below";
  if (state.muted) return "Your microphone is muted";
  return state.phase === "speaking" ? "Speak to interrupt" : "";
}

function announce(text: string): void {
  if (text) live.textContent = text;
}

function drawLevels(now: number): void {
  ring.frame(now);
  byId("mic-level", HTMLElement).style.setProperty("--level", microphoneMeter.read().toFixed(3));
  byId("bot-level", HTMLElement).style.setProperty("--level", botMeter.read().toFixed(3));
  requestAnimationFrame(drawLevels);
}

// ------------------------------------------------------------------------------------ what the user does

connect.addEventListener("click", () => void session.connect());
hangUp.addEventListener("click", () => {
  void session.disconnect();
  connect.focus();
});
mute.addEventListener("click", () => session.toggleMute());

byId("composer", HTMLFormElement).addEventListener("submit", (event) => {
  event.preventDefault();
  const text = message.value;
  message.value = "";
  void session.sendText(text);
});

document.addEventListener("keydown", (event) => {
  if (event.altKey && event.code === "KeyM" && !mute.hidden) {
    event.preventDefault();
    session.toggleMute();
  }
  const elsewhere = document.activeElement === document.body || document.activeElement === null;
  if (elsewhere && !connect.hidden && (event.key === " " || event.key === "Enter") && !event.repeat) {
    event.preventDefault();
    void session.connect();
  }
});

addEventListener("pagehide", () => void session.disconnect());

setUpTheme(byId("theme", HTMLButtonElement));
render(session.state);
requestAnimationFrame(drawLevels);
