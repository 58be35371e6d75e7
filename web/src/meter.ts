/** How loud an audio stream is, and its spectrum, for the eye. */

/** Below this level a meter shows nothing. */
const FLOOR_DB = -55;
const FALL_PER_READ = 0.06;
/** What the spectrum shows of a voice. */
const LOWEST_HZ = 90;
const HIGHEST_HZ = 5_000;

let context: AudioContext | null = null;

export class Meter {
  private analyser: AnalyserNode | null = null;
  private source: MediaStreamAudioSourceNode | null = null;
  private samples = new Float32Array(0);
  private bins = new Uint8Array(0);
  /** The level at the last `read`. */
  level = 0;

  /** Listen to this stream from now on; null for none. */
  attach(stream: MediaStream | null): void {
    this.source?.disconnect();
    this.source = null;
    this.level = 0;
    if (!stream?.getAudioTracks().length) return;
    context ??= new AudioContext();
    void context.resume();
    this.analyser ??= this.makeAnalyser(context);
    this.source = context.createMediaStreamSource(stream);
    this.source.connect(this.analyser);
  }

  /** The level, 0 to 1 on a decibel scale; rises at once and falls gently. */
  read(): number {
    if (!this.source || !this.analyser) return 0;
    this.analyser.getFloatTimeDomainData(this.samples);
    const power = this.samples.reduce((sum, sample) => sum + sample * sample, 0) / this.samples.length;
    const decibels = 10 * Math.log10(power + 1e-10);
    const now = Math.min(1, Math.max(0, 1 - decibels / FLOOR_DB));
    this.level = Math.max(now, this.level - FALL_PER_READ);
    return this.level;
  }

  /** Fill `into` with the spectrum of a voice on a logarithmic scale, low to high, each value 0 to 1. */
  spectrum(into: Float32Array): void {
    if (!this.source || !this.analyser) {
      into.fill(0);
      return;
    }
    this.analyser.getByteFrequencyData(this.bins);
    const width = this.analyser.context.sampleRate / this.analyser.fftSize;
    for (let i = 0; i < into.length; i++) {
      const hertz = LOWEST_HZ * (HIGHEST_HZ / LOWEST_HZ) ** (i / into.length);
      into[i] = (this.bins[Math.round(hertz / width)] ?? 0) / 255;
    }
  }

  private makeAnalyser(audio: AudioContext): AnalyserNode {
    const analyser = audio.createAnalyser();
    analyser.fftSize = 2048;
    analyser.smoothingTimeConstant = 0.7;
    this.samples = new Float32Array(analyser.fftSize);
    this.bins = new Uint8Array(analyser.frequencyBinCount);
    return analyser;
  }
}
