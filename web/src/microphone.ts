/**
 * The user's microphone, in the shape the RTVI transport expects of a media manager.
 *
 * The SDK's own managers do not serve here: one fetches a script from the internet, the other keeps
 * every sample of the session in memory, cannot say why a microphone failed, and does not hand a newly
 * chosen one to a running call.
 */

import { insecureOrigin, microphoneProblem, ProblemError } from "./problems";

const PROCESSING = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };

export class Microphone {
  readonly supportsScreenShare = false;
  readonly isCamEnabled = false;
  readonly isSharingScreen = false;
  readonly selectedCam = {};
  readonly selectedSpeaker = {};

  private stream: MediaStream | null = null;
  private enabled = true;
  private deviceId = "";

  /** `onChange` is told of every new stream, and of null when the microphone is given back. */
  constructor(private readonly onChange: (stream: MediaStream | null) => void) {}

  /** Ask for the chosen microphone. Throws ProblemError with the reason when there is none to be had. */
  async open(): Promise<void> {
    this.close();
    if (!navigator.mediaDevices) throw new ProblemError(insecureOrigin(location.origin, location.port || "7860"));
    this.adopt(await this.request());
  }

  /** Take another microphone, also during a call, and return its track. Throws ProblemError. */
  async choose(deviceId: string): Promise<MediaStreamTrack | null> {
    this.deviceId = deviceId;
    if (!this.stream) return null;
    const old = this.stream;
    this.adopt(await this.request());
    stop(old);
    return this.track;
  }

  close(): void {
    if (!this.stream) return;
    stop(this.stream);
    this.stream = null;
    this.onChange(null);
  }

  get track(): MediaStreamTrack | null {
    return this.stream?.getAudioTracks()[0] ?? null;
  }

  // ------------------------------------------------------------- what the transport asks of a manager

  setClientOptions(): void {}

  async initialize(): Promise<void> {}

  async connect(): Promise<void> {}

  async disconnect(): Promise<void> {
    this.close();
  }

  tracks(): { local: { audio?: MediaStreamTrack } } {
    return { local: this.track ? { audio: this.track } : {} };
  }

  enableMic(enable: boolean): void {
    this.enabled = enable;
    if (this.track) this.track.enabled = enable;
  }

  get isMicEnabled(): boolean {
    return this.enabled && this.track !== null;
  }

  get selectedMic(): { deviceId: string } {
    return { deviceId: this.deviceId };
  }

  // ------------------------------------------------------------------------------------------ inside

  private async request(): Promise<MediaStream> {
    const device = this.deviceId ? { deviceId: { exact: this.deviceId } } : {};
    try {
      return await navigator.mediaDevices.getUserMedia({ audio: { ...PROCESSING, ...device } });
    } catch (error) {
      throw new ProblemError(microphoneProblem(error instanceof Error ? error.name : "unknown"));
    }
  }

  private adopt(stream: MediaStream): void {
    this.stream = stream;
    if (this.track) this.track.enabled = this.enabled;
    this.onChange(stream);
  }
}

function stop(stream: MediaStream): void {
  for (const track of stream.getTracks()) track.stop();
}
