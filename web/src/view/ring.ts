/** The ring of bars around the state: it moves with whoever is speaking. */

import type { Meter } from "../meter";
import type { Phase } from "../phase";

const BARS = 72;
const HALF = BARS / 2;

export class Ring {
  private readonly heights = new Float32Array(BARS);
  private readonly bands = new Float32Array(HALF + 1);
  private readonly draw: CanvasRenderingContext2D;
  private readonly still = matchMedia("(prefers-reduced-motion: reduce)");
  private phase: Phase = "offline";

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly microphone: Meter,
    private readonly bot: Meter,
  ) {
    const context = canvas.getContext("2d");
    if (!context) throw new Error("no 2d canvas");
    this.draw = context;
  }

  show(phase: Phase): void {
    this.phase = phase;
  }

  /** Draw one frame; `now` in milliseconds. */
  frame(now: number): void {
    const { width, height } = this.fit();
    const { draw } = this;
    draw.clearRect(0, 0, width, height);
    draw.fillStyle = getComputedStyle(this.canvas).color;
    const size = Math.min(width, height);
    const inner = size * 0.345;
    const reach = size * 0.135;
    const thickness = size * 0.0125;
    this.settle(now);
    for (let i = 0; i < BARS; i++) {
      const length = thickness + (this.heights[i] ?? 0) * reach;
      draw.save();
      draw.translate(width / 2, height / 2);
      draw.rotate((i / BARS) * 2 * Math.PI);
      draw.beginPath();
      draw.roundRect(-thickness / 2, -inner - length, thickness, length, thickness / 2);
      draw.fill();
      draw.restore();
    }
  }

  private fit(): { width: number; height: number } {
    const scale = devicePixelRatio || 1;
    const side = Math.round(this.canvas.clientWidth * scale);
    if (side && this.canvas.width !== side) this.canvas.width = this.canvas.height = side;
    return this.canvas;
  }

  private settle(now: number): void {
    const source = this.phase === "speaking" ? this.bot : this.microphone;
    source.spectrum(this.bands);
    const swell = 0.35 * source.level;
    for (let i = 0; i < BARS; i++) {
      const target = Math.max(0.8 * (this.bands[i <= HALF ? i : BARS - i] ?? 0) ** 1.5 + swell, this.idle(i, now));
      const old = this.heights[i] ?? 0;
      this.heights[i] = old + (target - old) * (target > old ? 0.55 : 0.18);
    }
  }

  /** What moves when nobody speaks: a turning light while the page waits, a slow breath otherwise. */
  private idle(bar: number, now: number): number {
    if (this.still.matches) return 0.08;
    const waiting = this.phase === "thinking" || this.phase === "connecting" || this.phase === "reconnecting";
    if (!waiting) return 0.06 + 0.04 * Math.sin(now / 1400 + bar * 0.35);
    const head = ((now / 1200) * BARS) % BARS;
    const behind = (head - bar + BARS) % BARS;
    return 0.05 + 0.6 * Math.max(0, 1 - behind / 20);
  }
}
