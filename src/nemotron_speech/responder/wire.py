"""Answers in the shapes of llama.cpp's HTTP protocol: plain data, ready to be made JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nemotron_speech.errors import Full, SpeechError
from nemotron_speech.responder.generation import Generation
from nemotron_speech.responder.requests import ContextOverflow
from nemotron_speech.responder.slots import Slot

Json = dict[str, Any]

FINISH_REASONS = {"eos": "stop", "word": "stop", "limit": "length"}


def timings(generation: Generation) -> Json:
    """Return the tokens that were cached, evaluated and generated, and the milliseconds they took."""
    prompt_ms, predicted_ms = generation.prompt_s * 1000, generation.predicted_s * 1000
    return {
        "cache_n": generation.cached,
        "prompt_n": generation.evaluated,
        "prompt_ms": round(prompt_ms, 3),
        "prompt_per_token_ms": round(prompt_ms / max(generation.evaluated, 1), 3),
        "prompt_per_second": _per_second(generation.evaluated, generation.prompt_s),
        "predicted_n": generation.predicted,
        "predicted_ms": round(predicted_ms, 3),
        "predicted_per_token_ms": round(predicted_ms / max(generation.predicted, 1), 3),
        "predicted_per_second": _per_second(generation.predicted, generation.predicted_s),
    }


def _per_second(tokens: int, seconds: float) -> float:
    return round(tokens / max(seconds, 1e-6), 3)


def usage(generation: Generation) -> Json:
    """OpenAI's token counts."""
    prompt = len(generation.job.tokens)
    return {
        "completion_tokens": generation.predicted,
        "prompt_tokens": prompt,
        "total_tokens": prompt + generation.predicted,
        "prompt_tokens_details": {"cached_tokens": generation.cached},
    }


def progress(generation: Generation, processed: int) -> Json:
    """Return the progress of the prompt's evaluation, in tokens."""
    return {
        "total": len(generation.job.tokens),
        "cache": generation.cached,
        "processed": processed,
        "time_ms": round(generation.prompt_s * 1000),
    }


@dataclass(frozen=True, slots=True)
class ChatShape:
    """The chunks and the whole of one chat completion."""

    id: str
    model: str
    created: int

    def _with_head(self, kind: str, choices: list[Json]) -> Json:
        head = {"created": self.created, "id": self.id, "model": self.model, "object": kind}
        return {"choices": choices, **head, "system_fingerprint": "nemotron-responder"}

    def _chunk(self, delta: Json, finish: str | None = None) -> Json:
        choice = {"finish_reason": finish, "index": 0, "delta": delta}
        return self._with_head("chat.completion.chunk", [choice])

    def opening(self, generation: Generation) -> list[Json]:
        """Return the chunks before any text: the role, and on request the prompt's progress."""
        empty: Json = {"role": "assistant", "content": None}
        chunks = [self._chunk(empty)]
        if generation.job.return_progress:
            done = progress(generation, len(generation.job.tokens))
            chunks.append({**self._chunk(empty), "prompt_progress": done})
        return chunks

    def delta(self, text: str, generation: Generation) -> Json:
        """Return the chunk for one piece of text."""
        chunk = self._chunk({"content": text})
        return {**chunk, "timings": timings(generation)} if generation.job.timings_per_token else chunk

    def closing(self, generation: Generation) -> list[Json]:
        """Return the chunks after the text is complete."""
        last = self._chunk({}, FINISH_REASONS[generation.stop_type])
        if not generation.job.include_usage:
            return [{**last, "timings": timings(generation)}]
        counts = self._with_head("chat.completion.chunk", [])
        return [last, {**counts, "usage": usage(generation), "timings": timings(generation)}]

    def whole(self, generation: Generation) -> Json:
        """Return the answer in one piece; like llama.cpp it repeats the beginning it was given."""
        message = {"role": "assistant", "content": generation.job.begun + generation.text}
        finish = FINISH_REASONS[generation.stop_type]
        answer = self._with_head(
            "chat.completion", [{"finish_reason": finish, "index": 0, "message": message}]
        )
        return {**answer, "usage": usage(generation), "timings": timings(generation)}


@dataclass(frozen=True, slots=True)
class CompletionShape:
    """The chunks and the whole of one native completion."""

    model: str

    def _chunk(self, text: str, generation: Generation) -> Json:
        return {
            "index": 0,
            "content": text,
            "tokens": [],
            "stop": False,
            "id_slot": -1,
            "tokens_predicted": generation.predicted,
            "tokens_evaluated": len(generation.job.tokens),
        }

    def opening(self, generation: Generation) -> list[Json]:
        if not generation.job.return_progress:
            return []
        done = progress(generation, len(generation.job.tokens))
        return [{**self._chunk("", generation), "prompt_progress": done}]

    def delta(self, text: str, generation: Generation) -> Json:
        chunk = self._chunk(text, generation)
        return {**chunk, "timings": timings(generation)} if generation.job.timings_per_token else chunk

    def closing(self, generation: Generation) -> list[Json]:
        return [self._final("", generation)]

    def whole(self, generation: Generation) -> Json:
        return self._final(generation.text, generation)

    def _final(self, text: str, generation: Generation) -> Json:
        evaluated = max(0, generation.predicted - 1)
        return {
            **self._chunk(text, generation),
            "stop": True,
            "id_slot": generation.slot,
            "model": self.model,
            "prompt": generation.job.prompt,
            "truncated": generation.truncated,
            "stop_type": generation.stop_type,
            "stopping_word": generation.stopping_word,
            "tokens_cached": len(generation.job.tokens) + evaluated,
            "timings": timings(generation),
        }


def error_body(error: SpeechError) -> Json:
    """Return an error as llama.cpp says it."""
    if isinstance(error, ContextOverflow):
        details = {"n_prompt_tokens": error.prompt_tokens, "n_ctx": error.n_ctx}
        return _error(error.http_status, "exceed_context_size_error", str(error)) | details
    if isinstance(error, Full):
        return _error(error.http_status, "unavailable_error", str(error))
    kind = "invalid_request_error" if error.http_status < 500 else "server_error"
    return _error(error.http_status, kind, str(error))


def _error(code: int, kind: str, message: str) -> Json:
    return {"code": code, "message": message, "type": kind}


def http_error_body(status: int, reason: str) -> Json:
    """Return an error of HTTP itself: an unknown path, a wrong method, a body too large."""
    if status == 404:
        return _error(404, "not_found_error", "File Not Found")
    return _error(status, "invalid_request_error" if status < 500 else "server_error", reason)


def props(model: str, slots: int, n_ctx: int) -> Json:
    """Return the properties of the server, as llama.cpp reports them."""
    return {
        "default_generation_settings": {"params": {}, "n_ctx": n_ctx},
        "total_slots": slots,
        "model_alias": model,
        "model_path": "",
        "modalities": {"vision": False, "video": False, "audio": False},
        "endpoint_slots": True,
        "endpoint_props": False,
        "endpoint_metrics": True,
        "chat_template": "",
        "build_info": "nemotron-responder",
    }


def models(model: str, n_ctx: int, created: int) -> Json:
    """OpenAI's list of models."""
    entry = {"id": model, "object": "model", "created": created, "owned_by": "nemotron-speech"}
    return {"object": "list", "data": [{**entry, "meta": {"n_ctx": n_ctx}}]}


def slot_states(slots: Sequence[Slot], n_ctx: int) -> list[Json]:
    """Return the state of each slot, as llama.cpp reports it."""
    return [
        {
            "id": slot.id,
            "n_ctx": n_ctx,
            "speculative": False,
            "is_processing": slot.busy,
            "id_task": slot.task,
            "n_prompt_tokens": slot.prompt_tokens,
            "n_prompt_tokens_processed": slot.prompt_tokens - slot.cached_tokens,
            "n_prompt_tokens_cache": slot.cached_tokens,
            "next_token": [{"has_next_token": slot.busy, "n_decoded": slot.decoded_tokens}],
        }
        for slot in slots
    ]
