"""A Kokoro model of a dozen ONNX nodes: every symbol is a stretch of waveform, coloured by the voice."""

from __future__ import annotations

from pathlib import Path

import numpy as np

HOP, WIDTH, SYMBOLS, STYLE = 1200, 16, 178, 256
"""A symbol is HOP samples long at speed 1: 50 ms."""
VOICES = ("af_heart", "am_adam", "bf_emma", "ef_dora", "jf_alpha")


def save_kokoro(
    folder: Path, *, tokens: str = "tokens", whole_speeds: bool = False, timed: bool = False
) -> tuple[Path, Path]:
    """Write a model and its voices; return their paths. `timed`: it tells how long each symbol is."""
    import onnx
    from onnx import TensorProto, checker, helper, numpy_helper

    random, node = np.random.default_rng(0), helper.make_node
    values = {
        "table": random.normal(0, 1, (SYMBOLS, WIDTH)).astype(np.float32),
        "colour": random.normal(0, 1, (STYLE, WIDTH)).astype(np.float32),
        "waves": random.normal(0, 0.05, (WIDTH, 1, HOP)).astype(np.float32),
        "one": np.array([1.0], np.float32),
        "ones": np.array([1.0, 1.0], np.float32),
        "axis2": np.array([2], np.int64),
        "flat": np.array([-1], np.int64),
        "none": np.array([0.0], np.float32),
        "two": np.array([2.0], np.float32),
    }
    nodes = [
        node("Gather", ["table", tokens], ["embedded"]),
        node("Transpose", ["embedded"], ["frames"], perm=[0, 2, 1]),
        node("MatMul", ["style", "colour"], ["voice"]),
        node("Unsqueeze", ["voice", "axis2"], ["voice3"]),
        node("Add", ["frames", "voice3"], ["voiced"]),
        node("Cast", ["speed"], ["pace"], to=TensorProto.FLOAT),
        node("Div", ["one", "pace"], ["length"]),
        node("Concat", ["ones", "length"], ["sizes"], axis=0),
        node(
            "Resize",
            ["voiced", "", "sizes"],
            ["stretched"],
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        ),
        node("ConvTranspose", ["stretched", "waves"], ["wave"], strides=[HOP]),
        node("Tanh", ["wave"], ["bounded"]),
        node("Reshape", ["bounded", "flat"], ["audio"]),
    ]
    if timed:
        nodes += [
            node("Cast", [tokens], ["numbers"], to=TensorProto.FLOAT),
            node("Mul", ["numbers", "none"], ["nothing"]),
            node("Div", ["two", "pace"], ["each"]),
            node("Add", ["nothing", "each"], ["pred_dur"]),
        ]
    pace = TensorProto.INT32 if whole_speeds else TensorProto.FLOAT
    inputs = [
        helper.make_tensor_value_info(tokens, TensorProto.INT64, [1, "t"]),
        helper.make_tensor_value_info("style", TensorProto.FLOAT, [1, STYLE]),
        helper.make_tensor_value_info("speed", pace, [1]),
    ]
    outputs = [helper.make_tensor_value_info("audio", TensorProto.FLOAT, ["n"])]
    if timed:
        outputs.append(helper.make_tensor_value_info("pred_dur", TensorProto.FLOAT, [1, "t"]))
    constants = [numpy_helper.from_array(value, name) for name, value in values.items()]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(model)
    path, voices = folder / "kokoro.onnx", folder / "voices.bin"
    onnx.save(model, str(path))
    tables = {name: random.normal(0, 0.05, (510, 1, STYLE)).astype(np.float32) for name in VOICES}
    with voices.open("wb") as file:
        np.savez(file, **tables)
    return path, voices
