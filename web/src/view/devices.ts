/** The choice of microphone and speaker. */

import { byId, make } from "./dom";

export class DevicesView {
  private readonly microphones = byId("microphone", HTMLSelectElement);
  private readonly speakers = byId("speaker", HTMLSelectElement);

  constructor(
    onMicrophone: (deviceId: string) => void,
    private readonly voice: HTMLAudioElement,
  ) {
    this.microphones.addEventListener("change", () => onMicrophone(this.microphones.value));
    this.speakers.addEventListener("change", () => void this.useSpeaker());
    byId("speaker-label", HTMLLabelElement).hidden = !("setSinkId" in HTMLMediaElement.prototype);
    navigator.mediaDevices?.addEventListener("devicechange", () => void this.refresh());
    void this.refresh();
  }

  /** List the devices anew; their names are known once the microphone has been allowed. */
  async refresh(): Promise<void> {
    const devices = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
    fill(this.microphones, "microphone", devices.filter((device) => device.kind === "audioinput"));
    fill(this.speakers, "speaker", devices.filter((device) => device.kind === "audiooutput"));
  }

  private async useSpeaker(): Promise<void> {
    await this.voice.setSinkId(this.speakers.value).catch(() => {
      this.speakers.value = "";
    });
  }
}

function fill(select: HTMLSelectElement, noun: string, devices: readonly MediaDeviceInfo[]): void {
  const chosen = select.value;
  const named = devices.filter((device) => device.deviceId && device.deviceId !== "default");
  const options = named.map((device, index) => option(device.deviceId, device.label || `${noun} ${index + 1}`));
  select.replaceChildren(option("", `System default`), ...options);
  select.value = named.some((device) => device.deviceId === chosen) ? chosen : "";
}

function option(value: string, label: string): HTMLOptionElement {
  const element = make("option", "", label);
  element.value = value;
  return element;
}
