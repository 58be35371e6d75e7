"""A Moonshine of some thirty ONNX nodes: a random word for every quarter of a second, from the audio.

The graphs have the inputs and outputs of the released ones, the branch for the cache included. What a token
is depends on the audio at its place and on all tokens before it: a cache that is wrong says something else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

HOP, HEADS, WIDTH, FRAMES_PER_TOKEN = 1280, 2, 4, 3
"""Samples of a frame, heads and their width, frames of a token."""
_SIZE = HEADS * WIDTH
SPECIALS = ["<unk>", "<s>", "</s>", "<<ST_0>>"]
WORDS = [f"▁{a}{b}" for a in ("ba", "do", "ki", "lu", "me", "ro", "sa", "ti") for b in ("n", "r", "s", "t")]
ENDINGS = ["ing", "ed", "ly", "."]
PIECES = [*SPECIALS, *WORDS, *ENDINGS]
_END = 2


def save_moonshine(folder: Path, seed: int = 0) -> Path:
    """Write `encoder_model.ort`, `decoder_model_merged.ort` and `tokenizer.bin`; return `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    _save(_encoder(random), folder / "encoder_model.ort")
    _save(_decoder(random), folder / "decoder_model_merged.ort")
    (folder / "tokenizer.bin").write_bytes(vocabulary([piece.encode() for piece in PIECES]))
    return folder


def vocabulary(pieces: list[bytes]) -> bytes:
    """Return the bytes of a `tokenizer.bin`."""
    return b"".join(_length(len(piece)) + piece for piece in pieces)


def _length(size: int) -> bytes:
    return bytes([size]) if size < 128 else bytes([size % 128 + 128, size // 128])


def _save(model: Any, path: Path) -> None:
    """Write a graph in ONNX Runtime's own format, which the released files are in."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(path)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _encoder(random: np.random.Generator) -> Any:
    from onnx import helper

    node = helper.make_node
    nodes = [
        node("Unsqueeze", ["input_values", "axis1"], ["channel"]),
        node("Conv", ["channel", "waves"], ["convolved"], strides=[HOP], kernel_shape=[HOP]),
        node("Tanh", ["convolved"], ["bounded"]),
        node("Transpose", ["bounded"], ["last_hidden_state"], perm=[0, 2, 1]),
    ]
    waves = random.normal(0, 0.15, (_SIZE, 1, HOP)).astype(np.float32)
    return _graph(
        nodes,
        {"waves": waves, "axis1": np.array([1], np.int64)},
        {"input_values": ("float", ["batch", "samples"]), "attention_mask": ("int64", ["batch", "samples"])},
        {"last_hidden_state": ("float", ["batch", "frames", _SIZE])},
    )


def _decoder(random: np.random.Generator) -> Any:
    from onnx import helper

    node = helper.make_node
    nodes = [
        # The encoded audio: made anew, or as the cache has it.
        node("Reshape", ["encoder_hidden_states", "by_head"], ["split"]),
        node("Transpose", ["split"], ["fresh"], perm=[0, 2, 1, 3]),
        *(
            _branch(f"past_key_values.0.encoder.{part}", f"present.0.encoder.{part}")
            for part in ("key", "value")
        ),
        # What was said: the embeddings of all tokens, summed up to each.
        node("Gather", ["embeddings", "input_ids"], ["embedded"]),
        node("Reshape", ["embedded", "by_head"], ["embedded_split"]),
        node("Transpose", ["embedded_split"], ["own"], perm=[0, 2, 1, 3]),
        node("Concat", ["past_key_values.0.decoder.key", "own"], ["present.0.decoder.key"], axis=2),
        node("Concat", ["past_key_values.0.decoder.value", "own"], ["present.0.decoder.value"], axis=2),
        node("CumSum", ["present.0.decoder.key", "two"], ["summed"]),
        node("Shape", ["past_key_values.0.decoder.key"], ["past_shape"]),
        node("Gather", ["past_shape", "two"], ["past"]),
        node("Shape", ["present.0.decoder.key"], ["present_shape"]),
        node("Gather", ["present_shape", "two"], ["now"]),
        node("Range", ["past", "now", "one"], ["places"]),
        node("Gather", ["summed", "places"], ["history"], axis=2),
        # The audio at the place of each token; behind the last frame is the end.
        node("Shape", ["present.0.encoder.key"], ["audio_shape"]),
        node("Gather", ["audio_shape", "two"], ["frames"]),
        node("Mul", ["places", "frames_per_token"], ["wanted"]),
        node("Sub", ["frames", "one"], ["last"]),
        node("Min", ["wanted", "last"], ["frame"]),
        node("Gather", ["present.0.encoder.value", "frame"], ["heard"], axis=2),
        node("Add", ["heard", "history"], ["both"]),
        node("Transpose", ["both"], ["by_token"], perm=[0, 2, 1, 3]),
        node("Reshape", ["by_token", "joined"], ["states"]),
        node("MatMul", ["states", "table"], ["said"]),
        node("GreaterOrEqual", ["wanted", "frames"], ["over"]),
        node("Cast", ["over"], ["over_number"], to=1),
        node("Unsqueeze", ["over_number", "one_axis"], ["over_column"]),
        node("Mul", ["over_column", "end_bias"], ["ending"]),
        node("Add", ["said", "speakable"], ["possible"]),
        node("Add", ["possible", "ending"], ["logits"]),
    ]
    end_bias = np.zeros((1, len(PIECES)), np.float32)
    end_bias[0, _END] = 1e4
    speakable = np.zeros(len(PIECES), np.float32)
    speakable[: len(SPECIALS)] = -1e3
    speakable[len(SPECIALS) + len(WORDS) :] = -3
    cache = {
        f"{kind}.0.{side}.{part}": ("float", ["batch", HEADS, f"{kind}_{side}", WIDTH])
        for kind in ("past_key_values", "present")
        for side in ("decoder", "encoder")
        for part in ("key", "value")
    }
    return _graph(
        nodes,
        {
            "embeddings": random.normal(0, 0.4, (len(PIECES), _SIZE)).astype(np.float32),
            "table": random.normal(0, 6, (_SIZE, len(PIECES))).astype(np.float32),
            "by_head": np.array([0, 0, HEADS, WIDTH], np.int64),
            "joined": np.array([0, 0, _SIZE], np.int64),
            "one": np.array(1, np.int64),
            "two": np.array(2, np.int64),
            "one_axis": np.array([1], np.int64),
            "frames_per_token": np.array(FRAMES_PER_TOKEN, np.int64),
            "end_bias": end_bias,
            "speakable": speakable,
        },
        {
            "encoder_attention_mask": ("int64", ["batch", "samples"]),
            "input_ids": ("int64", ["batch", "tokens"]),
            "encoder_hidden_states": ("float", ["batch", "frames", _SIZE]),
            **{name: kind for name, kind in cache.items() if name.startswith("past")},
            "use_cache_branch": ("bool", [1]),
        },
        {
            "logits": ("float", ["batch", "tokens", len(PIECES)]),
            **{name: kind for name, kind in cache.items() if name.startswith("present")},
        },
    )


def _branch(cached: str, output: str) -> Any:
    """Return the choice between the cache and what is fresh."""
    from onnx import TensorProto, helper

    shape = ["batch", HEADS, "frames", WIDTH]

    def way(source: str, name: str) -> Any:
        made = helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        return helper.make_graph([helper.make_node("Identity", [source], [name])], name, [], [made])

    return helper.make_node(
        "If",
        ["use_cache_branch"],
        [output],
        then_branch=way(cached, f"{output}.then"),
        else_branch=way("fresh", f"{output}.else"),
    )


def _graph(
    nodes: list[Any], constants: dict[str, Any], inputs: dict[str, Any], outputs: dict[str, Any]
) -> Any:
    from onnx import TensorProto, checker, helper, numpy_helper

    kinds = {"float": TensorProto.FLOAT, "int64": TensorProto.INT64, "bool": TensorProto.BOOL}

    def values(named: dict[str, Any]) -> list[Any]:
        return [
            helper.make_tensor_value_info(name, kinds[kind], shape) for name, (kind, shape) in named.items()
        ]

    held = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "moonshine", values(inputs), values(outputs), held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(model)
    return model
