"""The peers in scoring that compile the merged model first: torch.compile, ONNX Runtime, OpenVINO."""

import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tests.benchmarks.peers import Answer, Sorted, Subject, merged, tokenizer_of, torch_forward
from tests.benchmarks.rate import BEST, DTYPE

INPUTS = ("input_ids", "attention_mask")


def compiled(subject: Subject) -> Answer:
    """The merged model in the best precision here through inductor.

    Any number of reviews of any length go through one graph, a review alone through another. Weights are frozen into the graph and
    laid out for oneDNN: without that it is slower. Inductor reads the setting when it compiles, and a second compiled copy of the
    model in one process would be given the first one's graph.
    """
    import torch._inductor.config as inductor

    forward = torch_forward(torch.compile(merged(subject, DTYPE), dynamic=True))

    def frozen(ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        with inductor.patch(freezing=True):
            return forward(ids, mask)

    answer = Sorted(tokenizer_of(subject), frozen)
    answer(["some words " * 100] * 3)
    answer(["some words " * 100])
    return answer


@cache
def exported(subject_merged: Path) -> Path:
    """The merged model as ONNX in fp32, batch and length dynamic."""
    from transformers import AutoModelForSequenceClassification

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = AutoModelForSequenceClassification.from_pretrained(subject_merged).eval()

        def forward(self, input_ids, attention_mask):
            return self.model(input_ids=input_ids, attention_mask=attention_mask).logits

    path = subject_merged / "model.onnx"
    example = torch.full((2, 37), 7), torch.ones(2, 37, dtype=torch.int64)  # one tensor twice would be one input
    shape = {0: torch.export.Dim("reviews"), 1: torch.export.Dim("tokens")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own deprecations and of packages it does not need
        torch.onnx.export(
            Logits(),
            example,
            path,
            input_names=INPUTS,
            output_names=["logits"],
            dynamic_shapes=dict.fromkeys(INPUTS, shape),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    return path


def onnx_runtime(*, int8: bool = False) -> Callable[[Subject], Answer]:
    """ONNX Runtime on the CPU: fp32, or its dynamic quantization to int8. Its CPU kernels have no bf16 on x86."""

    def prepare(subject: Subject) -> Answer:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        path = quantized(exported(subject.merged)) if int8 else exported(subject.merged)
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        return Sorted(tokenizer_of(subject), lambda ids, mask: session.run(None, dict(zip(INPUTS, (ids, mask), strict=True)))[0])

    return prepare


def quantized(path: Path) -> Path:
    """The exported model with weights of linear layers in int8; activations are quantized as they come."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    target = path.with_name("model.int8.onnx")
    quantize_dynamic(path, target, op_types_to_quantize=["MatMul", "Gemm"], per_channel=True, weight_type=QuantType.QInt8)
    return target


def openvino(subject: Subject) -> Answer:
    """OpenVINO in the best precision here, dynamic shapes, all threads on one batch."""
    from openvino import Core

    settings = {
        "INFERENCE_PRECISION_HINT": {"bf16": "bf16", "fp32": "f32"}[BEST],
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    request = Core().compile_model(exported(subject.merged), "CPU", settings).create_infer_request()
    return Sorted(tokenizer_of(subject), lambda ids, mask: request.infer(dict(zip(INPUTS, (ids, mask), strict=True)))[0])
