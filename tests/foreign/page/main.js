// Pipecat's own JavaScript client on its WebSocket transport, as its documentation sets it up.
import { PipecatClient } from "@pipecat-ai/client-js";
import { WavMediaManager, WebSocketTransport } from "@pipecat-ai/websocket-transport";

const events = [];
const note = (type) => (data) => events.push({ type, data: JSON.parse(JSON.stringify(data ?? null)) });

const client = new PipecatClient({
  transport: new WebSocketTransport({ mediaManager: new WavMediaManager() }),
  enableMic: true,
  callbacks: {
    onBotReady: note("bot-ready"),
    onBotStartedSpeaking: note("bot-started"),
    onBotStoppedSpeaking: note("bot-stopped"),
    onBotTtsText: note("bot-text"),
    onUserTranscript: note("transcript"),
    onError: note("error"),
  },
});

Object.assign(window, {
  testEvents: events,
  testConnect: (wsUrl) => client.connect({ wsUrl }).then(() => client.state),
  testWrite: (text) => client.sendText(text, { run_immediately: true, audio_response: true }),
  testRequest: (type) => client.sendClientRequest(type, {}, 5000).catch((error) => String(error?.data?.error ?? error)),
  testDisconnect: () => client.disconnect().then(() => client.state),
});
