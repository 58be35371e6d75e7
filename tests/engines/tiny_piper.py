"""A Piper voice of a dozen ONNX nodes: every phoneme is a stretch of waveform of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

HOP, FRAMES, WIDTH, SYMBOLS = 256, 4, 16, 256
PUNCTUATION = "_^$ !'(),-.:;?"
IPA = (
    "abcdefghijklmnopqrstuvwxyz0123456789æçðøħŋœɐɑɒɓɔɕɖ"
    "ɗɘəɚɛɜɞɟɠɡɢɣɤɥɦɧɨɪɫɬɭɮɯɰɱɲɳɴɵɶɸɹɺɻɽɾʀʁʂʃʄʈʉʊʋʌʍʎʏʐʑʒʔʕʘʙʛʜʝʟʡʢˈˌːˑθβχᵻ"
)


def save_voice(path: Path, *, speakers: int = 1, sample_rate: int = 22050, language: str = "en-us") -> Path:
    """Write `path` and its .json beside it. Samples per phoneme: HOP * FRAMES * length scale."""
    import onnx

    onnx.save(_model(speakers), str(path))
    config = {
        "audio": {"sample_rate": sample_rate, "quality": "tiny"},
        "espeak": {"voice": language},
        "inference": {"noise_scale": 0.0, "length_scale": 1.0, "noise_w": 0.0},
        "phoneme_type": "espeak",
        "phoneme_id_map": {symbol: [i] for i, symbol in enumerate(PUNCTUATION + IPA)},
        "num_symbols": SYMBOLS,
        "num_speakers": speakers,
        "speaker_id_map": {f"s{i}": i for i in range(speakers)} if speakers > 1 else {},
        "hop_length": HOP,
    }
    path.with_name(f"{path.name}.json").write_text(json.dumps(config))
    return path


def _model(speakers: int) -> Any:
    from onnx import TensorProto, checker, helper, numpy_helper

    random = np.random.default_rng(0)
    node = helper.make_node

    def constant(name: str, value: np.ndarray) -> Any:
        return numpy_helper.from_array(value, name)

    constants = [
        constant("table", random.normal(0, 1, (SYMBOLS, WIDTH)).astype(np.float32)),
        constant("waves", random.normal(0, 0.1, (WIDTH, 1, HOP * FRAMES)).astype(np.float32)),
        constant("one", np.array(1, np.int64)),
        constant("axis0", np.array([0], np.int64)),
        constant("axis1", np.array([1], np.int64)),
        constant("axis2", np.array([2], np.int64)),
        constant("silence", np.array(0.0, np.float32)),
        constant("frames_each", np.array(FRAMES, np.float32)),
        constant("ones", np.array([1.0, 1.0], np.float32)),
        constant("voices", random.normal(0, 1, (speakers, WIDTH)).astype(np.float32)),
    ]
    nodes = [
        node("Gather", ["table", "input"], ["embedded"]),
        node("Transpose", ["embedded"], ["frames"], perm=[0, 2, 1]),
        node("Gather", ["scales", "one"], ["length"]),
        node("Unsqueeze", ["length", "axis0"], ["length1"]),
        node("Concat", ["ones", "length1"], ["sizes"], axis=0),
    ]
    inputs = [
        helper.make_tensor_value_info("input", TensorProto.INT64, ["n", "t"]),
        helper.make_tensor_value_info("input_lengths", TensorProto.INT64, ["n"]),
        helper.make_tensor_value_info("scales", TensorProto.FLOAT, [3]),
    ]
    voiced = "frames"
    if speakers > 1:
        inputs.append(helper.make_tensor_value_info("sid", TensorProto.INT64, ["n"]))
        nodes += [
            node("Gather", ["voices", "sid"], ["voice"]),
            node("Unsqueeze", ["voice", "axis2"], ["voice3"]),
            node("Add", ["frames", "voice3"], ["voiced"]),
        ]
        voiced = "voiced"
    nodes += [
        node(
            "Resize",
            [voiced, "", "sizes"],
            ["stretched"],
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        ),
        node("ConvTranspose", ["stretched", "waves"], ["wave"], strides=[HOP * FRAMES]),
        node("Tanh", ["wave"], ["bounded"]),
        node("Unsqueeze", ["bounded", "axis1"], ["output"]),
        # How many frames each phoneme lasts: a genuine voice computes it with its only Ceil.
        node("Cast", ["input"], ["numbers"], to=TensorProto.FLOAT),
        node("Mul", ["numbers", "silence"], ["nothing"]),
        node("Mul", ["length", "frames_each"], ["frames_of_one"]),
        node("Add", ["nothing", "frames_of_one"], ["frames_of_each"]),
        node("Ceil", ["frames_of_each"], ["w_ceil"]),
    ]
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, ["n", 1, 1, "samples"])
    graph = helper.make_graph(nodes, "tiny", inputs, [output], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(model)
    return model
