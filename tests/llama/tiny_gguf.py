"""Build llama.cpp models of a few megabytes in under a second, without a download or training.

Two kinds of weights:

* scripted: a conversational model. The chat template puts a marker token behind the prompt, chosen by a
  keyword in the last user message, and the output layer holds a chain of transitions from each marker
  through its reply. Decoding at temperature 0 recites the reply through the real tokenizer, graph, cache
  and sampler.
* random: noise over printable ASCII. What it says depends on the whole context, so a damaged cache shows.

Two architectures: `llama` (attention) and `nemotron_h_moe` (Mamba-2, attention and experts, the
architecture of Nemotron 3 Nano).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import gguf
import numpy as np
from numpy.typing import NDArray

Architecture = Literal["llama", "nemotron_h_moe"]
Kind = Literal["scripted", "random"]
Array = NDArray[np.floating]

GREETING = (
    "Hello there, friend! How can I help you today? I know about the weather, my name, and one short story."
)
THOUGHT = "The caller greets me. A short greeting suffices."
STORY = (
    "Once upon an evening a small boat left its harbour. Nobody saw it go, because everyone slept. "
    "Far out, where even gulls turn back, it met another boat, and both rocked gently until morning came."
)
WEATHER_CALL = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>'
SCRIPTS: tuple[tuple[str, str], ...] = (
    ("name", "They call me Nemo. Pleased to meet you!"),
    ("weather", WEATHER_CALL),
    ("sunny", "Great, it is bright outside."),
    ("story", STORY),
    ("coffee", "Hot,☕ ready!"),
)
"""(keyword of the last user or tool message, reply); no keyword: `GREETING`."""

CONTROL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
MARKUP_TOKENS = ("<think>", "</think>", "<tool_call>", "</tool_call>")


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a model; the defaults give 2 MB (llama) and 4 MB (nemotron_h_moe)."""

    dim: int = 256
    ff: int = 256
    layers: int = 2
    heads: int = 4
    kv_heads: int = 2
    ctx: int = 8192

    @property
    def head_dim(self) -> int:
        return self.dim // self.heads


def build(
    path: Path,
    architecture: Architecture = "llama",
    kind: Kind = "scripted",
    scripts: Sequence[tuple[str, str]] = SCRIPTS,
    greeting: str = GREETING,
    shape: Shape | None = None,
    seed: int = 1,
) -> Path:
    """Write the model to `path` and return it. The same arguments give the same file."""
    shape = shape or Shape(layers=4 if architecture == "nemotron_h_moe" else 2)
    rng = np.random.default_rng(seed)
    scripted = kind == "scripted"
    vocabulary = Vocabulary(scripts, greeting)
    writer = gguf.GGUFWriter(str(path), architecture)
    write_metadata(writer, vocabulary, shape, chat_template([keyword for keyword, _ in scripts]))
    model = _Tensors(writer, rng, silent_layers=scripted)
    embedding = rng.standard_normal((len(vocabulary.texts), shape.dim)) / np.sqrt(shape.dim)
    output = scripted_output(vocabulary, embedding) if scripted else random_output(vocabulary, shape, rng)
    model.add("token_embd.weight", embedding * np.sqrt(shape.dim))
    model.add("output_norm.weight", np.ones(shape.dim))
    model.add("output.weight", output)
    if architecture == "llama":
        add_llama_layers(model, shape)
    else:
        add_nemotron_layers(model, shape)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


# -------------------------------------------------------------------------------- what it says


class Vocabulary:
    """Token texts and types, and each script as token ids.

    Script pieces are USER_DEFINED tokens: llama.cpp matches those in raw text, longest first, so a reply
    that a client sends back as text becomes the very same tokens.
    """

    def __init__(self, scripts: Sequence[tuple[str, str]], greeting: str) -> None:
        self.texts: list[str] = []
        self.types: list[gguf.TokenType] = []
        self._ids: dict[str, int] = {}
        for text in CONTROL_TOKENS:
            self._add(text, gguf.TokenType.CONTROL)
        for text in MARKUP_TOKENS:
            self._add(text, gguf.TokenType.USER_DEFINED)
        alphabet = byte_alphabet()
        self.byte_ids = [self._add(alphabet[byte], gguf.TokenType.NORMAL) for byte in range(256)]
        self.markers = [self._add(marker(i), gguf.TokenType.USER_DEFINED) for i in range(len(scripts))]
        taken: set[str] = set()
        self.greeting = self._script(greeting, taken)
        self.thought = self._script(THOUGHT, taken)
        self.replies = [self._script(reply, taken) for _, reply in scripts]

    def id(self, text: str) -> int:
        return self._ids[text]

    def _add(self, text: str, kind: gguf.TokenType) -> int:
        if text not in self._ids:
            self._ids[text] = len(self.texts)
            self.texts.append(text)
            self.types.append(kind)
        return self._ids[text]

    def _script(self, text: str, taken: set[str]) -> list[int]:
        ids: list[int] = []
        for piece in unique_pieces(text, taken):
            if piece.isascii():
                ids.append(self._add(piece, gguf.TokenType.USER_DEFINED))
            else:
                ids += [self.byte_ids[byte] for byte in piece.encode()]
        return ids


def unique_pieces(text: str, taken: set[str]) -> Iterable[str]:
    """Cut text into words, each joined to the next until it occurs once in all scripts.

    Characters outside ASCII stand alone: they become byte tokens. No piece is only white space: as a
    token it would take the place of the byte tokens in every prompt.
    """
    piece = ""
    for word in re.findall(r"[^\x00-\x7f]|\s*[^\s\x80-\U0010ffff]+|\s+", text):
        piece += word
        if piece.strip() and piece not in taken:
            taken.add(piece)
            yield piece
            piece = ""
    if piece:
        raise ValueError(f"{text!r} repeats itself at its end: {piece!r} occurred before")


def scripted_output(vocabulary: Vocabulary, embedding: Array) -> Array:
    """An output layer in which each token of a script asks for the next one."""
    output = np.zeros_like(embedding)
    end = vocabulary.id("<|im_end|>")

    def chain(start: int, script: Sequence[int], stop: int) -> None:
        for token, following in zip([start, *script], [*script, stop], strict=True):
            direction = embedding[token] / np.linalg.norm(embedding[token])
            output[following] += 30.0 / np.sqrt(embedding.shape[1]) * direction

    chain(vocabulary.id("</think>"), vocabulary.greeting, end)
    chain(vocabulary.byte_ids[ord("\n")], vocabulary.thought, vocabulary.id("</think>"))
    for start, reply in zip(vocabulary.markers, vocabulary.replies, strict=True):
        chain(start, reply, end)
    return output


def random_output(vocabulary: Vocabulary, shape: Shape, rng: np.random.Generator) -> Array:
    """An output layer that can only produce printable ASCII, so text and tokens map one to one."""
    output = np.zeros((len(vocabulary.texts), shape.dim))
    printable = [vocabulary.byte_ids[code] for code in range(33, 127)]
    output[printable] = rng.standard_normal((len(printable), shape.dim)) * 0.3
    return output


def marker(index: int) -> str:
    """The text of the token that selects script `index`: a run of newlines, at least two."""
    return "\n" * (index + 2)


def chat_template(keywords: Sequence[str]) -> str:
    """ChatML with thoughts and Hermes tool calls; the marker of a reply stays in the history.

    An assistant turn in the history is rendered as it was generated (empty thoughts, marker, text), so a
    conversation's next prompt continues the cached one exactly.
    """
    newline = "\\n"
    branches = [
        f"{{%- elif {keyword!r} in state.user -%}}{{{{- '{newline * (i + 2)}' -}}}}"
        for i, keyword in enumerate(keywords)
    ]
    pick = "{%- if false -%}" + "".join(branches) + "{%- endif -%}"
    return (
        "{%- set state = namespace(user='') -%}"
        "{%- if tools is defined and tools -%}"
        "{{- '<|im_start|>system\\n# Tools\\n<tools>\\n' -}}"
        "{%- for tool in tools -%}{{- tool|tojson + '\\n' -}}{%- endfor -%}"
        '{{- \'</tools>\\nTo call one write <tool_call>\\n{"name": <name>, "arguments": <object>}\\n'
        "</tool_call><|im_end|>\\n' -}}"
        "{%- endif -%}"
        "{%- for message in messages -%}"
        "{%- if message.role in ('user', 'tool') -%}"
        "{%- set state.user = message.content or '' -%}"
        "{%- endif -%}"
        "{{- '<|im_start|>' + message.role + '\\n' -}}"
        "{%- if message.role == 'assistant' and '</think>' not in (message.content or '') -%}"
        "{{- '<think></think>' -}}" + pick + "{%- endif -%}"
        "{{- (message.content or '')|trim -}}"
        "{%- if message.tool_calls is defined and message.tool_calls -%}"
        "{%- for call in message.tool_calls -%}"
        '{{- \'<tool_call>\\n{"name": "\' + call.function.name + \'", "arguments": \' -}}'
        "{%- set arguments = call.function.arguments -%}"
        "{{- arguments if arguments is string else arguments|tojson -}}"
        "{{- '}\\n</tool_call>' -}}"
        "{%- endfor -%}"
        "{%- endif -%}"
        "{{- '<|im_end|>\\n' -}}"
        "{%- endfor -%}"
        "{%- if add_generation_prompt -%}"
        "{{- '<|im_start|>assistant\\n' -}}"
        "{%- if enable_thinking is defined and not enable_thinking -%}"
        "{{- '<think></think>' -}}" + pick + "{%- else -%}{{- '<think>\\n' -}}{%- endif -%}"
        "{%- endif -%}"
    )


# ------------------------------------------------------------------------------ how it is stored


def write_metadata(writer: gguf.GGUFWriter, vocabulary: Vocabulary, shape: Shape, template: str) -> None:
    writer.add_name("tiny")
    writer.add_context_length(shape.ctx)
    writer.add_embedding_length(shape.dim)
    writer.add_block_count(shape.layers)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(vocabulary.texts))
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(vocabulary.texts)
    writer.add_token_types(vocabulary.types)
    writer.add_token_merges(["q q"])  # the loader wants at least one
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(vocabulary.id("<|im_end|>"))
    writer.add_pad_token_id(0)
    writer.add_add_bos_token(False)
    writer.add_chat_template(template)


class _Tensors:
    """Adds tensors to a model; `silent_layers` makes every projection back to the residual stream zero."""

    def __init__(self, writer: gguf.GGUFWriter, rng: np.random.Generator, silent_layers: bool) -> None:
        self.writer = writer
        self.rng = rng
        self._silent = silent_layers

    def add(self, name: str, values: Array, full_precision: bool = False) -> None:
        single = full_precision or values.ndim == 1
        self.writer.add_tensor(name, np.ascontiguousarray(values, dtype=np.float32 if single else np.float16))

    def add_random(self, name: str, *size: int, full_precision: bool = False) -> None:
        self.add(name, self.rng.standard_normal(size) / np.sqrt(size[-1]), full_precision)

    def add_projection(self, name: str, *size: int) -> None:
        if self._silent:
            self.add(name, np.zeros(size))
        else:
            self.add_random(name, *size)

    def add_attention(self, block: str, shape: Shape) -> None:
        self.add_random(f"{block}.attn_q.weight", shape.dim, shape.dim)
        self.add_random(f"{block}.attn_k.weight", shape.head_dim * shape.kv_heads, shape.dim)
        self.add_random(f"{block}.attn_v.weight", shape.head_dim * shape.kv_heads, shape.dim)
        self.add_projection(f"{block}.attn_output.weight", shape.dim, shape.dim)


def add_llama_layers(model: _Tensors, shape: Shape) -> None:
    model.writer.add_feed_forward_length(shape.ff)
    model.writer.add_head_count(shape.heads)
    model.writer.add_head_count_kv(shape.kv_heads)
    model.writer.add_rope_dimension_count(shape.head_dim)
    model.writer.add_rope_freq_base(10000.0)
    for layer in range(shape.layers):
        block = f"blk.{layer}"
        model.add(f"{block}.attn_norm.weight", np.ones(shape.dim))
        model.add_attention(block, shape)
        model.add(f"{block}.ffn_norm.weight", np.ones(shape.dim))
        model.add_random(f"{block}.ffn_gate.weight", shape.ff, shape.dim)
        model.add_random(f"{block}.ffn_up.weight", shape.ff, shape.dim)
        model.add_projection(f"{block}.ffn_down.weight", shape.dim, shape.ff)


SSM_STATE, SSM_GROUPS, SSM_KERNEL, SSM_HEAD = 32, 2, 4, 64
EXPERTS, EXPERTS_USED = 4, 2


def add_nemotron_layers(model: _Tensors, shape: Shape) -> None:
    """Mamba-2, experts, attention, experts, and again."""
    pattern = ("mamba", "experts", "attention", "experts")
    kinds = [pattern[layer % len(pattern)] for layer in range(shape.layers)]
    inner = shape.dim * 2
    writer = model.writer
    writer.add_key_length(shape.head_dim)
    writer.add_value_length(shape.head_dim)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_layer_norm_eps(1e-5)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv([shape.kv_heads if kind == "attention" else 0 for kind in kinds])
    writer.add_feed_forward_length([shape.ff if kind == "experts" else 0 for kind in kinds])
    writer.add_ssm_conv_kernel(SSM_KERNEL)
    writer.add_ssm_inner_size(inner)
    writer.add_ssm_state_size(SSM_STATE)
    writer.add_ssm_time_step_rank(inner // SSM_HEAD)
    writer.add_ssm_group_count(SSM_GROUPS)
    writer.add_expert_count(EXPERTS)
    writer.add_expert_used_count(EXPERTS_USED)
    writer.add_expert_shared_count(1)
    writer.add_expert_feed_forward_length(shape.ff)
    writer.add_expert_shared_feed_forward_length(shape.ff)
    writer.add_expert_weights_norm(True)
    writer.add_expert_weights_scale(2.5)
    layer_of = {"mamba": _add_mamba, "experts": _add_experts, "attention": _Tensors.add_attention}
    for layer, kind in enumerate(kinds):
        model.add(f"blk.{layer}.attn_norm.weight", np.ones(shape.dim))
        layer_of[kind](model, f"blk.{layer}", shape)


def _add_mamba(model: _Tensors, block: str, shape: Shape) -> None:
    inner = shape.dim * 2
    heads = inner // SSM_HEAD
    mixed = inner + 2 * SSM_GROUPS * SSM_STATE
    model.add_random(f"{block}.ssm_in.weight", inner + mixed + heads, shape.dim)
    model.add_random(f"{block}.ssm_conv1d.weight", mixed, SSM_KERNEL, full_precision=True)
    model.add(f"{block}.ssm_conv1d.bias", np.zeros(mixed))
    model.add(f"{block}.ssm_dt.bias", np.full(heads, -1.0))
    model.add(f"{block}.ssm_a", -np.exp(model.rng.uniform(-4, 0, (heads, 1))), full_precision=True)
    model.add(f"{block}.ssm_d", np.ones((heads, 1)), full_precision=True)
    model.add(f"{block}.ssm_norm.weight", np.ones((SSM_GROUPS, inner // SSM_GROUPS)), full_precision=True)
    model.add_projection(f"{block}.ssm_out.weight", shape.dim, inner)


def _add_experts(model: _Tensors, block: str, shape: Shape) -> None:
    model.add_random(f"{block}.ffn_gate_inp.weight", EXPERTS, shape.dim, full_precision=True)
    model.add(f"{block}.exp_probs_b.bias", np.zeros(EXPERTS))
    model.add_random(f"{block}.ffn_up_exps.weight", EXPERTS, shape.ff, shape.dim)
    model.add_projection(f"{block}.ffn_down_exps.weight", EXPERTS, shape.dim, shape.ff)
    model.add_random(f"{block}.ffn_up_shexp.weight", shape.ff, shape.dim)
    model.add_projection(f"{block}.ffn_down_shexp.weight", shape.dim, shape.ff)


def byte_alphabet() -> dict[int, str]:
    """GPT-2's printable stand-in for each byte: itself where printable, else a code point from 256 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    alphabet = {byte: chr(byte) for byte in printable}
    hidden = [byte for byte in range(256) if byte not in alphabet]
    return alphabet | {byte: chr(256 + position) for position, byte in enumerate(hidden)}
