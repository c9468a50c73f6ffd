"""Which tensors an adapter must hold, told by a checkpoint's header: names and shapes as transformers and PEFT give them."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from lorasent.adapter.base import find
from lorasent.adapter.classifier import build, count_parameters
from lorasent.adapter.encoding import Encoder
from lorasent.errors import AdapterError
from lorasent.gate.integrity import layout
from lorasent.gate.integrity.layout import Layout, is_inside
from lorasent.recipe.recipe import Base, Encoding, Lora
from tests.support.bases import LABELS, linear, quick

LAYERS = {"bert.0.query": (8, 4), "bert.1.query": (8, 8), "bert.0.my_query": (8, 8), "bert.0.key": (8, 8)}
BASE = Layout(LAYERS, {**linear("classifier", 3, 8), "pooler.bias": (8,), "norm.bias": (8,)}, frozenset(["norm.bias"]), True, False)


def test_new_tensors_must_be_saved():
    """By a module that they are in, or by PEFT's own habit."""
    base = Layout({}, {}, frozenset(["norm.bias", "classifier.bias", "score.weight", "head.bias"]), True, False)
    assert base.unsaved([]) == ["head.bias", "norm.bias"]
    assert base.unsaved(["norm"]) == ["head.bias"]


def test_what_is_saved_whole_is_new_or_named():
    """What PEFT always saves is."""
    classifier = linear("classifier", 3, 8)
    assert BASE.saved([]) == {**classifier, "norm.bias": (8,)}
    assert BASE.saved(["pooler"]) == {**classifier, "norm.bias": (8,), "pooler.bias": (8,)}


def test_lora_is_two_matrices_beside_each_layer():
    """A is (r, in), B is (out, r)."""
    assert BASE.lora(["bert.0.query", "bert.1.query"], 2, {}) == {
        "bert.0.query.lora_A.weight": (2, 8),
        "bert.0.query.lora_B.weight": (4, 2),
        "bert.1.query.lora_A.weight": (2, 8),
        "bert.1.query.lora_B.weight": (8, 2),
    }


def test_dora_adds_a_magnitude_for_each_output():
    """Beside the two matrices, of no rank."""
    assert BASE.lora(["bert.0.query"], 2, {"use_dora": True}) == {
        "bert.0.query.lora_A.weight": (2, 8),
        "bert.0.query.lora_B.weight": (4, 2),
        "bert.0.query.lora_magnitude_vector": (4,),
    }


def test_a_recipes_names_imply_layers():
    """All of them, the query whatever it is called, or those of a name."""
    assert BASE.implied(["all-linear"]) == set(LAYERS)
    assert BASE.implied(["query", "key"]) == {"bert.0.query", "bert.1.query", "bert.0.key"}
    fused = Layout({"h.0.c_attn": (8, 24), "h.0.c_proj": (8, 8)}, {}, frozenset(), True, True)
    assert fused.implied(["query"]) == {"h.0.c_attn"}
    assert fused.implied(["c_proj"]) == {"h.0.c_proj"}
    nameless = Layout({"h.query_of": (8, 8)}, {}, frozenset(), True, True)
    assert nameless.implied(["query"]) == set()


def test_a_tensor_is_inside_a_module_by_the_end_of_the_modules_name():
    """Its own name is no module's."""
    assert is_inside("a.pooler.dense.weight", ["pooler"])
    assert is_inside("a.my_pooler.weight", ["pooler"])
    assert not is_inside("a.pooler.dense.weight", ["weight", "poole"])
    assert not is_inside("pooler", ["pooler"])
    assert is_inside("a.pooler.dense.weight", ["other", "a.pooler"])


def write(folder, config, tensors, name="model.safetensors"):
    """A checkpoint of zeros."""
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    save_file({name: np.zeros(shape, dtype=np.float32) for name, shape in tensors.items()}, folder / name)


BACKBONE = {
    "0.query.weight": (4, 8),
    "0.query.bias": (4,),
    "0.norm.weight": (8,),
    "embeddings.word_embeddings.weight": (9, 8),
    "0.relative_attention_bias.weight": (9, 8),
}


def test_a_backbone_alone_stands_under_the_architectures_prefix(tmp_path):
    """Its matrices are linear layers, but for embeddings; what it lacks around is new."""
    write(tmp_path, {"model_type": "distilbert", "dim": 8}, BACKBONE)
    found = layout.layout(tmp_path, 2, {})
    around = linear("pre_classifier", 8, 8) | linear("classifier", 2, 8)
    assert found == Layout({"distilbert.0.query": (8, 4)}, around, frozenset(around), known=True, transposed=False, backbone=188)


def test_a_checkpoint_with_a_head_keeps_its_names(tmp_path):
    """A head's layers that the classifier has not are none of its; what it has of the right shape is not new."""
    tensors = {f"distilbert.{name}": shape for name, shape in BACKBONE.items()}
    tensors |= {"vocab_transform.weight": (8, 8)} | linear("pre_classifier", 8, 8) | linear("classifier", 3, 8)
    write(tmp_path, {"model_type": "distilbert", "hidden_size": 8}, tensors)
    found = layout.layout(tmp_path, 2, {})
    assert found.linear == {"distilbert.0.query": (8, 4)}  # pre_classifier ends with classifier: PEFT saves it whole
    assert found.new == {"classifier.weight", "classifier.bias"}
    (tmp_path / "model.safetensors").unlink()
    write(tmp_path, {"model_type": "distilbert", "hidden_size": 8}, tensors)
    assert layout.layout(tmp_path, 3, {}).linear == found.linear  # the head itself is never a layer
    assert layout.layout(tmp_path, 3, {}).new == frozenset()


def test_a_backbone_alone_may_have_a_head_beside_it(tmp_path):
    """Under the classifier's own name, which is not new then."""
    write(tmp_path, {"model_type": "distilbert", "dim": 8}, BACKBONE | linear("classifier", 2, 8))
    assert layout.layout(tmp_path, 2, {}).new == {"pre_classifier.weight", "pre_classifier.bias"}


def test_the_configuration_decides_what_stands_around(tmp_path):
    """ModernBERT's tells of its biases."""
    write(tmp_path, {"model_type": "modernbert", "hidden_size": 8, "norm_bias": True}, BACKBONE)
    assert layout.layout(tmp_path, 2, {}).around["head.norm.bias"] == (8,)


def test_one_lora_matrix_tells_the_prefix(tmp_path):
    """A faulty adapter may have no more."""
    write(tmp_path, {}, BACKBONE)
    assert layout.layout(tmp_path, 2, {"base_model.model.my.0.query.lora_A.weight": (2, 8)}).linear == {"my.0.query": (8, 4)}


def test_a_pooler_that_the_classifier_has_not_is_no_layer(tmp_path):
    """BERT's is one where the checkpoint has it; RoBERTa's classifier has none."""
    tensors = {**BACKBONE, "pooler.dense.weight": (8, 8), "pooler.dense.bias": (8,)}
    write(tmp_path, {"model_type": "roberta", "hidden_size": 8}, tensors)
    assert layout.layout(tmp_path, 2, {}).linear == {"roberta.0.query": (8, 4)}
    write(tmp_path, {"model_type": "bert", "hidden_size": 8}, tensors)
    found = layout.layout(tmp_path, 2, {})
    assert found.linear == {"bert.0.query": (8, 4), "bert.pooler.dense": (8, 8)}
    assert found.new == {"classifier.weight", "classifier.bias"}


def test_a_checkpoint_of_several_files_is_read_whole(tmp_path):
    """And other files beside it are not."""
    config = {"model_type": "gpt2", "n_embd": 8}
    write(tmp_path, config, {"h.0.c_attn.weight": (8, 24)}, "model-1.safetensors")
    write(tmp_path, config, {"h.0.c_proj.weight": (8, 4), "wte.weight": (9, 8)}, "model-2.safetensors")
    write(tmp_path, config, {"h.0.other.weight": (8, 8)}, "other.safetensors")
    found = layout.layout(tmp_path, 2, {})
    layers = {"transformer.h.0.c_attn": (8, 24), "transformer.h.0.c_proj": (8, 4)}
    assert found == Layout(layers, {"score.weight": (2, 8)}, frozenset(["score.weight"]), known=True, transposed=True, backbone=296)


@pytest.mark.parametrize("kind", [None, "unheard-of"])
def test_of_an_unknown_architecture_the_adapter_tells(tmp_path, kind):
    """The prefix of its LoRA, and the tensors that it saved; a pooler may be a layer of it."""
    write(tmp_path, {"model_type": kind} if kind else {}, {**BACKBONE, "pooler.weight": (8, 8)})
    adapter = {
        "base_model.model.classifier.weight": (2, 8),
        "base_model.model.my.0.query.lora_A.weight": (2, 8),
        "base_model.model.my.0.query.lora_B.weight": (4, 2),
    }
    found = layout.layout(tmp_path, 2, adapter)
    around = {"classifier.weight": (2, 8)}
    layers = {"my.0.query": (8, 4), "my.pooler": (8, 8)}
    assert found == Layout(layers, around, frozenset(around), known=False, transposed=False, backbone=252)
    found = layout.layout(tmp_path, 2, {"base_model.model.classifier.weight": (2, 8)})
    assert (found.around, found.known) == (around, False)


def test_a_base_whose_width_is_not_told_has_none(tmp_path):
    """The first key that is there and not 0 counts."""
    write(tmp_path, {"model_type": "gpt2"}, BACKBONE)
    assert layout.layout(tmp_path, 2, {}).around == {"score.weight": (2, 0)}
    write(tmp_path, {"model_type": "gpt2", "hidden_size": 0, "dim": 16, "n_embd": 8}, BACKBONE)
    assert layout.layout(tmp_path, 2, {}).around == {"score.weight": (2, 16)}


def test_a_bases_configuration_is_utf_8_whatever_the_locale(tmp_path, monkeypatch):
    """Here one of ASCII."""
    write(tmp_path, {"model_type": "gpt2", "n_embd": 8}, BACKBONE)
    (tmp_path / "config.json").write_text('{"model_type": "gpt2", "n_embd": 8, "by": "Zoë"}', "utf-8")
    monkeypatch.setattr("io.text_encoding", lambda encoding, *_: encoding or "ascii")
    assert layout.layout(tmp_path, 2, {}).around == {"score.weight": (2, 8)}


@pytest.mark.parametrize("dora", [False, True], ids=["LoRA", "DoRA"])
@pytest.mark.parametrize("architecture", quick("bert", "gpt2", "albert"))
def test_all_parameters_are_counted_from_headers_as_in_memory(bases, architecture, dora):
    """The base's, the head twice, LoRA's, and the words that a tokenizer has beyond its base (GPT-2's pad token)."""
    found = find(str(bases(architecture)))
    encoder = Encoder(found.path, Encoding(max_length=64))
    settings = Lora(r=2, alpha=4, target_modules=("all-linear",), use_dora=dora or None)
    counts = count_parameters(build(found, Base(model=str(found.path), labels=LABELS), settings, encoder))
    assert layout.layout(found.path, 2, {}).total(counts.trainable, len(encoder.tokenizer)) == counts.total


def test_buffers_are_no_parameters(tmp_path):
    """Positions, masks and frequencies, which some checkpoints hold; half precision counts as full."""
    tensors = {"h.0.ln_1.weight": np.ones(8, np.float16), "h.0.attn.bias": np.ones((1, 1, 9, 9), np.float32)}
    tensors |= {"h.0.attn.masked_bias": np.float32(0), "rotary.inv_freq": np.ones(4, np.float32)}
    tensors |= {"position_ids": np.ones((1, 9), np.int64)}
    (tmp_path / "config.json").write_text('{"model_type": "gpt2", "n_embd": 8}')
    save_file({name: np.asarray(tensor) for name, tensor in tensors.items()}, tmp_path / "model.safetensors")
    assert layout.layout(tmp_path, 2, {}).backbone == 8


BROKEN = {
    "a list": ("[]", r"config\.json: expected a JSON object, found list of length 0$"),
    "no JSON": ("{", r"config\.json: not valid JSON"),
    "a width in words": ('{"model_type": "gpt2", "n_embd": "wide"}', r"config\.json: its width is wide, expected a number$"),
    "a width below zero": ('{"model_type": "gpt2", "n_embd": -8}', r"config\.json: its width is -8, expected a number$"),
    "nesting without end": ('{"a":' * 400 + "1" + "}" * 400, r"nested deeper than 100"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_configuration_that_is_none_is_one_sentence(tmp_path, fault):
    """Whatever stands in it; the gate makes INVALID of it, since a base is nobody's."""
    content, message = BROKEN[fault]
    write(tmp_path, {}, BACKBONE)
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(AdapterError, match=message):
        layout.layout(tmp_path, 2, {})


def test_numbers_without_a_shape_and_of_four_axes_are_no_parameters():
    """Of a checkpoint's tensors."""
    assert [layout._is_buffer("a", (1,) * axes, "F32") for axes in range(6)] == [True, False, False, False, True, True]


def test_a_tensor_is_inside_a_module_by_a_part_of_its_name():
    """Of a tensor without a module, there is none."""
    assert not layout.is_inside("a", [""])
    assert layout.is_inside("a.b", ["a"])
