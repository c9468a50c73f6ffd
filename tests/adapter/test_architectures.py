"""The table of architectures agrees with the models that transformers builds, and names mean the layers that PEFT means by them."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from lorasent.adapter.architectures import ARCHITECTURES, QUERY_NAMES, Architecture, HeadLayer, is_embedding, resolve_targets
from lorasent.adapter.classifier import linear_layers, positions
from tests.support.architectures import ARCHITECTURES as CONFIGURATIONS
from tests.support.bases import linear
from tests.support.imports import HEAVY, imported

COMPLETE = [name for name, row in ARCHITECTURES.items() if row.head]


def test_the_table_needs_neither_torch_nor_transformers():
    """The gate and the search read it before a model is needed."""
    assert imported("import lorasent.adapter.architectures") & (HEAVY | {"numpy", "pydantic"}) == set()


def built(name, device="meta", labels=3, **changes):
    """A small classifier as transformers builds it."""
    config = AutoConfig.for_model(
        **{"model_type": name, **CONFIGURATIONS[name][1], "vocab_size": 99, "num_labels": labels, **changes}
    )
    with torch.device(device), torch.random.fork_rng():
        torch.manual_seed(0)
        return AutoModelForSequenceClassification.from_config(config)


@pytest.mark.parametrize("name", COMPLETE)
def test_a_row_describes_the_classifier_that_transformers_builds(name):
    """Its prefix, the tensors around the backbone, the query projection and how weights are stored."""
    row, model = ARCHITECTURES[name], built(name)
    assert row.prefix == model.base_model_prefix
    width = next(value for key in ("hidden_size", "dim", "n_embd") if (value := model.config.to_dict().get(key)))
    shapes = {parameter: tuple(value.shape) for parameter, value in model.named_parameters()}
    around = {parameter: shape for parameter, shape in shapes.items() if not parameter.startswith(f"{row.prefix}.")}
    pooler = {parameter: shape for parameter, shape in shapes.items() if parameter.startswith(f"{row.prefix}.pooler")}
    assert row.around(3, width, model.config.to_dict()) == around | pooler
    layers = linear_layers(model)
    assert {layer.rpartition(".")[2] for layer in layers if layer.rpartition(".")[2] in QUERY_NAMES} == {row.query} - {""}
    assert row.transposed == any(not isinstance(layer, torch.nn.Linear) for layer in layers.values())


@pytest.mark.parametrize(("key", "tensor"), [("classifier_bias", "head.dense.bias"), ("norm_bias", "head.norm.bias")])
def test_modernberts_biases_are_those_of_its_configuration(key, tensor):
    """A bias is in the table's head if its key in config.json is true."""
    parameters = dict(built("modernbert", **{key: True}).named_parameters())
    around = ARCHITECTURES["modernbert"].around(3, 8, {key: True})
    biases = {"head.dense.bias", "head.norm.bias"}
    assert biases & parameters.keys() == biases & around.keys() == {tensor}


@pytest.mark.parametrize("name", [name for name in COMPLETE if ARCHITECTURES[name].reads != "configured"])
def test_a_head_reads_the_token_that_its_row_names(name):
    """No other token's last hidden state has a gradient."""
    model, states = built(name, "cpu").eval(), []

    def keep(_module, _inputs, output):
        output.last_hidden_state.retain_grad()
        states.append(output.last_hidden_state)

    getattr(model, ARCHITECTURES[name].prefix).register_forward_hook(keep)
    ids = torch.arange(5, 12)[None]
    model.config.pad_token_id = 4
    model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.sum().backward()
    read = states[0].grad[0].abs().sum(dim=1).nonzero().flatten().tolist()
    assert read == [0 if ARCHITECTURES[name].reads == "first" else 6]


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_modernbert_is_not_computed_without_padding(pooling):
    """Its configuration decides which tokens its head reads, so its row says "configured" and has no blocks."""
    assert built("modernbert", classifier_pooling=pooling).config.classifier_pooling == pooling
    assert (ARCHITECTURES["modernbert"].reads, ARCHITECTURES["modernbert"].blocks) == ("configured", "")


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name in CONFIGURATIONS])
def test_positions_begin_where_the_row_says(name):
    """If they begin after the pad token's id, a base has room for that many tokens less."""
    config = AutoConfig.for_model(name, max_position_embeddings=66, pad_token_id=1)
    held = 64 if ARCHITECTURES[name].after_pad_token else 66
    assert positions(config) == held


def test_a_head_layer_has_a_row_for_each_label_or_the_width_of_the_backbone():
    """A norm has one number for each unit of the width; a bias may be absent."""
    dense, norm = HeadLayer("a", bias="key"), HeadLayer("b", "norm", bias=False)
    around = Architecture(head=(dense, norm, HeadLayer("c", "labels"))).around
    labels = linear("c", 3, 8)
    assert around(3, 8, {"key": False}) == {"a.weight": (8, 8), "b.weight": (8,), **labels}
    assert around(3, 8, {"key": True}) == {**linear("a", 8, 8), "b.weight": (8,), **labels}


LAYERS = ("bert.0.query", "bert.1.query", "bert.0.my_query", "bert.0.key")


def test_a_target_is_a_whole_name_or_its_end():
    """The end begins after a dot. A name that means no layer has an empty list."""
    assert resolve_targets(LAYERS, ["query", "bert.0.key", "y"]) == {
        "query": ["bert.0.query", "bert.1.query"],
        "bert.0.key": ["bert.0.key"],
        "y": [],
    }


def test_a_recipe_may_say_query_or_all_linear():
    """The word query means the query projection, whatever its name; PEFT's own configuration knows neither word."""
    fused = ("h.0.c_attn", "h.0.c_proj")
    assert resolve_targets(fused, ["query", "all-linear"]) == {"query": ["h.0.c_attn"], "all-linear": list(fused)}
    assert resolve_targets(fused, ["query", "all-linear"], aliases=False) == {"query": [], "all-linear": []}
    assert resolve_targets(["h.query_of"], ["query"]) == {"query": []}
    assert resolve_targets(["h.query", "h.c_attn"], ["query"], aliases=False) == {"query": ["h.query"]}


def test_tables_of_embeddings_are_recognised_by_name():
    """By the end of the name, or by its last part."""
    assert is_embedding("bert.embeddings.word_embeddings")
    assert is_embedding("transformer.wte")
    assert not is_embedding("transformer.h.0.my_wte")
    assert not is_embedding("bert.0.query")
