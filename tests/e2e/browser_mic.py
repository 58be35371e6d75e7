"""A headless Chromium whose microphone the test speaks into, and whose page it watches."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

if TYPE_CHECKING:
    from playwright.async_api import ConsoleMessage, Page

REQUIRED = "REQUIRE_BROWSER"
"""With this variable set, a missing browser or voice fails the test instead of skipping it."""

# Audio starts to flow when the test says so: the browser's own fake device begins to play its file when
# the page opens the microphone, so that a slow connection would swallow the first words.
MICROPHONE = """
(() => {
  let context, microphone;
  const open = () => {
    if (microphone) return;
    context = new AudioContext({ sampleRate: 48000 });
    microphone = context.createMediaStreamDestination();
    const silence = context.createConstantSource();
    silence.offset.value = 0;
    silence.connect(microphone);
    silence.start();
  };
  navigator.mediaDevices.getUserMedia = async () => {
    open();
    await context.resume();
    return microphone.stream.clone();
  };
  window.testSay = async (wav) => {
    open();
    const bytes = Uint8Array.from(atob(wav), (c) => c.charCodeAt(0));
    const source = context.createBufferSource();
    source.buffer = await context.decodeAudioData(bytes.buffer);
    source.connect(microphone);
    await new Promise((done) => { source.onended = done; source.start(); });
  };
})();
"""

WATCH_PEERS = """
(() => {
  window.testPeers = [];
  window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(...given) { super(...given); window.testPeers.push(this); }
  };
  window.testEnergy = async () => {
    let energy = 0;
    for (const peer of window.testPeers)
      for (const report of (await peer.getStats()).values())
        if (report.type === "inbound-rtp") energy += report.totalAudioEnergy ?? 0;
    return energy;
  };
})();
"""

# Some phases last no longer than a busy machine takes between two looks at the page.
NOTE_PHASES = """
(() => {
  const noted = [];
  window.testPhases = { noted, seen: 0 };
  const note = () => {
    const phase = document.documentElement?.dataset.phase;
    if (phase && noted.at(-1) !== phase) noted.push(phase);
  };
  new MutationObserver(note).observe(document, { attributeFilter: ["data-phase"], subtree: true });
  window.testReached = (names) => {
    const seen = window.testPhases.seen;
    const at = noted.findIndex((phase, i) => i > seen && names.includes(phase));
    if (at < 0) return names.includes(noted.at(-1));
    window.testPhases.seen = at;
    return true;
  };
})();
"""

FLAGS = [
    "--no-sandbox",
    "--use-fake-device-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
    # Host candidates by name make the server wait seconds for a resolver that is not there.
    "--disable-features=WebRtcHideLocalIpsWithMdns",
]

Microphone = Literal["spoken-into", "device", "forbidden"]
"""What the page gets: the test's voice, one of the browser's own beeping devices, or a refusal."""


@dataclass
class Visit:
    """A page in use, with all it asked for and complained about."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def note(self, message: ConsoleMessage) -> None:
        """Take down what the page writes to the console as an error."""
        if message.type == "error":
            self.complaints.append(message.text)

    async def say(self, wav: bytes) -> None:
        """Speak into the microphone; return when the last sample is out."""
        await self.page.evaluate("wav => window.testSay(wav)", base64.b64encode(wav).decode())

    async def phase(self, *names: str, timeout_s: float = 30.0) -> None:
        """Wait until the page shows one of these phases, or has shown it since the one last waited for."""
        from playwright.async_api import TimeoutError as TooLate

        reached = "names => window.testReached(names)"
        try:
            await self.page.wait_for_function(reached, arg=list(names), timeout=timeout_s * 1000)
        except TooLate:
            noted = await self.page.evaluate("window.testPhases")
            pytest.fail(
                f"The page was never {' or '.join(names)} after phase {noted['seen']} of {noted['noted']}. "
                f"Heard: {await self.said('user')}. Said: {await self.said('bot')}."
            )

    async def bot_audio_energy(self) -> float:
        """The energy of everything heard from the bot so far."""
        return await self.page.evaluate("window.testEnergy()")

    async def said(self, who: Literal["user", "bot"]) -> list[str]:
        """What the transcript shows of one side, entry by entry."""
        return await self.page.locator(f".entry.{who} .said").all_inner_texts()

    async def microphone_in_use(self) -> str:
        """The name of the device whose audio goes to the bot."""
        return await self.page.evaluate("window.testPeers.at(-1).getSenders()[0].track.label")

    async def ice_servers(self) -> list[Any]:
        return await self.page.evaluate("window.testPeers.flatMap(p => p.getConfiguration().iceServers)")


@asynccontextmanager
async def visit(
    url: str, *, microphone: Microphone = "spoken-into", width: int = 1200, height: int = 800
) -> AsyncIterator[Visit]:
    """Open the page in a browser of its own."""
    chromium = _need_program("chromium", "chromium-browser", "google-chrome")
    async_playwright = _need_playwright()
    async with async_playwright() as playwright:
        allow = ["--use-fake-ui-for-media-stream"] if microphone == "device" else []
        browser = await playwright.chromium.launch(executable_path=chromium, args=[*FLAGS, *allow])
        context = await browser.new_context(viewport={"width": width, "height": height}, color_scheme="light")
        page = await context.new_page()
        visited = Visit(page)
        page.on("request", lambda request: visited.requests.append(request.url))
        page.on("websocket", lambda socket: visited.requests.append(socket.url))
        page.on("pageerror", lambda error: visited.complaints.append(str(error)))
        page.on(
            "console", lambda said: visited.complaints.append(said.text) if said.type == "error" else None
        )
        await page.add_init_script(WATCH_PEERS)
        await page.add_init_script(NOTE_PHASES)
        if microphone == "spoken-into":
            await page.add_init_script(MICROPHONE)
        await page.goto(url)
        try:
            yield visited
        finally:
            await browser.close()


def speech(text: str, voice: str = "rms") -> bytes:
    """Synthesise a question as a WAV, with a voice other than the bot's."""
    flite = _need_program("flite")
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "speech.wav"
        subprocess.run([flite, "-voice", voice, "-t", text, "-o", str(wav)], check=True, timeout=30)
        return wav.read_bytes()


def _need_program(*names: str) -> str:
    for name in names:
        if found := shutil.which(name):
            return found
    _missing(f"{names[0]} is not installed (Debian: apt-get install {names[0]})")
    raise AssertionError


def _need_playwright() -> Any:
    try:
        from playwright.async_api import async_playwright
    except ImportError:
        _missing("playwright is not installed (uv sync --group browser)")
        raise
    return async_playwright


def _missing(reason: str) -> None:
    if os.environ.get(REQUIRED):
        pytest.fail(reason)
    pytest.skip(reason)
