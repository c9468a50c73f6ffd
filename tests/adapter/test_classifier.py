"""The classifier in memory: what it counts, what it trains, and that nothing new stays random."""

import shutil
from typing import NamedTuple

import pytest
import torch
from transformers import (
    AlbertConfig,
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    BertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    PreTrainedConfig,
    RobertaConfig,
)

from lorasent.adapter.base import find
from lorasent.adapter.classifier import ParameterCount, _new_modules, adapt, answer, build, count_parameters, positions
from lorasent.adapter.encoding import Encoder
from lorasent.errors import BaseModelError, RecipeError
from lorasent.recipe.recipe import Base, Encoding, Lora, Recipe, shipped
from tests.support.bases import CONFIGS, DEBERTA_V3, LABELS

LORA = Lora(r=2, alpha=4, target_modules=("query",))
NEW = {
    "bert": {"classifier"},
    "distilbert": {"pre_classifier", "classifier"},
    "roberta": {"classifier"},
    "electra": {"classifier"},
    "albert": {"classifier"},
    "deberta-v2": {"pooler", "classifier"},
    "modernbert": {"head", "classifier"},
    "gpt2": {"score"},
}
OF_A_LANGUAGE_MODEL = {
    "bert": {"bert.pooler", "classifier"},
    "albert": {"albert.pooler", "classifier"},
    "modernbert": {"classifier"},
}
"""What is new where the checkpoint is a masked language model's, and that differs: it has no pooler, or ModernBERT's head."""

QUERY = {
    "bert": "query",
    "distilbert": "q_lin",
    "roberta": "query",
    "electra": "query",
    "albert": "query",
    "deberta-v2": "query_proj",
    "modernbert": "Wqkv",
    "gpt2": "c_attn",
}
"""What each library calls its query projection; the last two hold keys and values, too."""


def small(bases, architecture, lora=LORA, seed=0, labels=LABELS):
    torch.manual_seed(seed)
    base = find(str(bases(architecture)))
    encoder = Encoder(base.path, Encoding(max_length=64))
    return build(base, Base(model=base.name, labels=labels), lora, encoder), encoder


def batch_of(encoder, texts):
    return {name: torch.from_numpy(array) for name, array in encoder.pad(encoder.encode(texts)).items()}


def linear(inputs, outputs):
    return inputs * outputs + outputs


def norm(width):
    return 2 * width


def embeddings(words, positions, types, width):
    return (words + positions + types) * width + norm(width)


def layer(width, inner):
    """Query, key, value and output; two feed-forwards; a norm after each half."""
    return 4 * linear(width, width) + linear(width, inner) + linear(inner, width) + 2 * norm(width)


def lora(r, inputs, outputs):
    return r * inputs + outputs * r


def modern_layer(width, inner):
    """No biases: query, key and value in one, output; a gated feed-forward; a norm before each half."""
    return width * 3 * width + width * width + width * 2 * inner + inner * width + 2 * width


def counted(encoder, new, matrices):
    """The count of an encoder's, new modules' and LoRA's parameters; PEFT keeps a frozen copy of what is new."""
    return ParameterCount(total=encoder + 2 * new + matrices, trainable=new + matrices, in_use=encoder + new + matrices)


DENSE, HEAD = linear(768, 768), linear(768, 2)


class Shape(NamedTuple):
    """An architecture at full size: what its encoder and its new modules count, and how many query projections (in, out) it has."""

    config: PreTrainedConfig
    encoder: int
    new: int
    queries: int
    inputs: int = 768
    outputs: int = 768

    def counted(self, r):
        """With LoRA on the query projections."""
        return counted(self.encoder, self.new, self.queries * lora(r, self.inputs, self.outputs))


def deberta(layers):
    """DeBERTa-v3 of so many layers: no positions but 2 * 256 relative ones, normed."""
    config = DebertaV2Config(
        vocab_size=128100,
        hidden_size=768,
        num_hidden_layers=layers,
        num_attention_heads=12,
        intermediate_size=3072,
        position_buckets=256,
        **DEBERTA_V3,
    )
    encoder = embeddings(128100, 0, 0, 768) + 2 * 256 * 768 + norm(768) + layers * layer(768, 3072)
    return Shape(config, encoder, DENSE + HEAD, layers)


FULL_SIZE = {
    "distilbert": Shape(DistilBertConfig(), embeddings(30522, 512, 0, 768) + 6 * layer(768, 3072), DENSE + HEAD, 6),
    "bert": Shape(BertConfig(), embeddings(30522, 512, 2, 768) + 12 * layer(768, 3072) + DENSE, HEAD, 12),
    "roberta": Shape(
        RobertaConfig(vocab_size=50265, max_position_embeddings=514, type_vocab_size=1),
        embeddings(50265, 514, 1, 768) + 12 * layer(768, 3072),
        DENSE + HEAD,
        12,
    ),
    "electra": Shape(
        ElectraConfig(embedding_size=768, hidden_size=768, num_attention_heads=12, intermediate_size=3072),
        embeddings(30522, 512, 2, 768) + 12 * layer(768, 3072),
        DENSE + HEAD,
        12,
    ),
    "albert": Shape(  # one layer, twelve times
        AlbertConfig(hidden_size=768, num_attention_heads=12, intermediate_size=3072),
        embeddings(30000, 512, 2, 128) + linear(128, 768) + layer(768, 3072) + DENSE,
        HEAD,
        1,
    ),
    "deberta-v2": deberta(12),
    "deberta-v3-small": deberta(6),
    "modernbert": Shape(  # norms without bias: one after the words and one at the end, none before the first attention
        ModernBertConfig(),
        50368 * 768 + 22 * modern_layer(768, 1152) + (1 + 1 - 1) * 768,
        768 * 768 + 768 + HEAD,
        22,
        outputs=3 * 768,
    ),
}
"""With a checkpoint that holds the encoder alone."""

RELEASED = FULL_SIZE["modernbert"]._replace(encoder=FULL_SIZE["modernbert"].encoder + 768 * 768 + 768, new=HEAD)
"""ModernBERT as it was released: its checkpoint is a masked language model's, whose head the classifier takes over."""

MINILM = counted(
    embeddings(30522, 512, 2, 384) + 6 * layer(384, 1536) + linear(384, 384),
    linear(384, 2),
    6 * (4 * lora(8, 384, 384) + lora(8, 384, 1536) + lora(8, 1536, 384)) + lora(8, 384, 384),
)
SHIPPED = {
    "embedded": ("embedded", MINILM, "338,690 of 23,052,676 (1.4692%)"),
    "imdb-minilm": ("embedded", MINILM, "338,690 of 23,052,676 (1.4692%)"),
    "imdb-distilbert": ("distilbert", FULL_SIZE["distilbert"].counted(4), "628,994 of 67,584,004 (0.9307%)"),
    "imdb-bert": ("bert", FULL_SIZE["bert"].counted(8), "148,994 of 109,632,772 (0.1359%)"),
    "imdb-roberta": ("roberta", FULL_SIZE["roberta"].counted(8), "739,586 of 125,386,756 (0.5898%)"),
    "imdb-deberta": ("deberta-v3-small", FULL_SIZE["deberta-v3-small"].counted(8), "665,858 of 142,562,308 (0.4671%)"),
    "imdb-electra": ("electra", FULL_SIZE["electra"].counted(8), "739,586 of 110,223,364 (0.6710%)"),
    "imdb-albert": ("albert", FULL_SIZE["albert"].counted(8), "13,826 of 11,698,948 (0.1182%)"),
    "imdb-modernbert": ("modernbert", RELEASED.counted(8), "542,210 of 150,148,612 (0.3611%)"),
}
"""Which architecture a recipe's base is, its count, and the share as it is printed."""


def on_meta(config, settings, released=None):
    """A configuration's adapted classifier, without memory for weights; the checkpoint is a bare encoder's, or a `released` one."""
    with torch.device("meta"):
        model, bare = AutoModelForSequenceClassification.from_config(config), AutoModel.from_config(config)
        brought = {f"{model.base_model_prefix}.{name}" for name, _ in bare.named_parameters()}
        if released is not None:
            brought |= {name for name, _ in released.from_config(config).named_parameters()}
        return adapt(model, settings, _new_modules(model, {name for name, _ in model.named_parameters()} - brought))


@pytest.mark.slow
@pytest.mark.parametrize("architecture", FULL_SIZE)
def test_a_full_size_architecture_counts_as_its_shapes_say(architecture):
    """The trainable, total and in-use parameters equal the product of its widths, layers and vocabulary."""
    shape = FULL_SIZE[architecture]
    assert count_parameters(on_meta(shape.config, Lora(r=4, alpha=8, target_modules=("query",)))) == shape.counted(4)


@pytest.mark.slow
@pytest.mark.parametrize("name", shipped())
def test_a_shipped_recipe_trains_the_share_that_it_says(name):
    """Its parameters equal the product of its shapes, and print as the reference notebook prints them."""
    recipe = Recipe.read(name)
    architecture, expected, printed = SHIPPED[name]
    if architecture == "embedded":
        base = find("embedded")
        counts = count_parameters(build(base, recipe.base, recipe.lora, Encoder(base.path, recipe.encoding)))
    else:
        released = AutoModelForMaskedLM if architecture == "modernbert" else None
        counts = count_parameters(on_meta(FULL_SIZE[architecture].config, recipe.lora, released))
    assert counts == expected
    assert f"{counts.trainable:,} of {counts.total:,} ({counts.trainable / counts.total:.4%})" == printed


def test_the_reference_recipe_counts_as_the_notebook_counts():
    """66,955,010 are frozen; 66,991,874 are in use, since PEFT keeps a frozen copy of the head."""
    counts = count_parameters(on_meta(DistilBertConfig(), Recipe.read("imdb-distilbert").lora))
    assert (counts.total - counts.trainable, counts.in_use) == (66_955_010, 66_991_874)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", NEW)
def test_only_lora_and_new_modules_are_trained(bases, architecture):
    """Every parameter of a new module has a gradient, and LoRA is on the query projections only."""
    model, encoder = small(bases, architecture)
    model(**batch_of(encoder, ["a film", "not a film at all"]), labels=torch.tensor([0, 1])).loss.backward()
    trained = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert trained == {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    # PEFT wraps what is trained whole; whatever stands before ".modules_to_save" is the module's name.
    whole = {name.removeprefix("base_model.model.").split(".modules_to_save")[0] for name in trained if ".modules_to_save" in name}
    assert whole == NEW[architecture]
    rest = {name for name in trained if ".modules_to_save" not in name}
    assert all("lora_" in name for name in rest)
    assert {name.split(".lora_")[0].rpartition(".")[2] for name in rest} == {QUERY[architecture]}
    assert len(rest) == (2 if architecture == "albert" else 4)  # A and B in each of two layers, which ALBERT shares


@pytest.mark.slow
@pytest.mark.parametrize("architecture", sorted(NEW.keys() - {"gpt2"}))
def test_what_a_language_models_checkpoint_brings_is_not_new(bases, tmp_path, architecture):
    """A classifier takes the layers that it shares with a masked language model, such as ModernBERT's head, and trains the rest."""
    shutil.copytree(bases(architecture), tmp_path, dirs_exist_ok=True)
    released = AutoModelForMaskedLM.from_config(AutoConfig.from_pretrained(tmp_path))
    released.save_pretrained(tmp_path)
    base = find(str(tmp_path))
    model = build(base, Base(model=base.name, labels=LABELS), LORA, Encoder(base.path, Encoding(max_length=64)))
    whole = {
        name.split(".modules_to_save")[0] for name, value in model.named_parameters() if value.requires_grad and "lora_" not in name
    }
    assert {name.removeprefix("base_model.model.") for name in whole} == OF_A_LANGUAGE_MODEL.get(architecture, NEW[architecture])


@pytest.mark.slow
@pytest.mark.parametrize("architecture", NEW)
def test_every_random_tensor_is_trained(bases, architecture):
    """A tensor that depends on the random state is trained, or is PEFT's unused copy of one that is."""
    one, other = (small(bases, architecture, seed=seed)[0] for seed in (0, 1))
    values = other.state_dict()
    differing = {name for name, value in one.state_dict().items() if not torch.equal(value, values[name])}
    trained = {name for name, parameter in one.named_parameters() if parameter.requires_grad}
    assert differing
    assert {name for name in differing if ".original_module." not in name} <= trained


@pytest.mark.slow
@pytest.mark.parametrize("architecture", NEW)
def test_training_leaves_the_base_unchanged(bases, architecture):
    """Optimiser steps change each LoRA matrix and each new tensor, and no bit of any other."""
    model, encoder = small(bases, architecture)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1, weight_decay=0.0)
    for _ in range(2):  # B starts at zero, and A has no gradient before B has moved
        optimizer.zero_grad()
        model(**batch_of(encoder, ["a film", "not a film at all"]), labels=torch.tensor([1, 0])).loss.backward()
        optimizer.step()
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {name for name in before if "lora_" in name or ".modules_to_save." in name}


VARIANTS = {"LoRA": {}, "rsLoRA": {"use_rslora": True}, "DoRA": {"use_dora": True}, "both": {"use_rslora": True, "use_dora": True}}


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("architecture", ["bert", "gpt2"])
def test_a_merged_weight_is_what_the_formula_says(bases, architecture, variant):
    """W0 + alpha / r B A, or alpha / sqrt(r); with DoRA each row has the length that its magnitude says."""
    options = VARIANTS[variant]
    model, _ = small(bases, architecture, Lora(r=4, alpha=6, target_modules=("query",), **options))
    layer = next(module for module in model.modules() if hasattr(module, "lora_A"))
    with torch.no_grad():
        for name, value in layer.named_parameters():
            if "lora_" in name:
                value.normal_()
    low, high = layer.lora_A["default"].weight.detach(), layer.lora_B["default"].weight.detach()
    frozen = layer.get_base_layer().weight.detach().clone()
    expected = (frozen.T if architecture == "gpt2" else frozen) + (3.0 if "use_rslora" in options else 1.5) * high @ low
    if "use_dora" in options:
        expected *= (layer.lora_magnitude_vector["default"].weight.detach() / expected.norm(dim=1))[:, None]
    layer.merge()
    found = layer.get_base_layer().weight.detach()
    torch.testing.assert_close(found.T if architecture == "gpt2" else found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["distilbert", "deberta-v2", "modernbert"])
def test_dora_adds_a_magnitude_for_each_output_and_rslora_nothing(architecture):
    """At full size, by the numbers of parameters."""
    shape = FULL_SIZE[architecture]
    plain, stable, dora = (
        count_parameters(on_meta(shape.config, Lora(r=4, alpha=8, target_modules=("query",), **VARIANTS[name])))
        for name in ("LoRA", "rsLoRA", "DoRA")
    )
    assert plain == stable == shape.counted(4)
    more = shape.queries * shape.outputs
    assert dora == ParameterCount(plain.total + more, plain.trainable + more, plain.in_use + more)


def test_all_linear_means_every_linear_layer_of_the_base(bases):
    """LoRA is on each linear layer of the encoder and on none of the head."""
    model, _ = small(bases, "distilbert", Lora(r=2, alpha=4, target_modules=("all-linear",)))
    adapted = {name for name, module in model.named_modules() if hasattr(module, "lora_A") and "distilbert" in name}
    assert len(adapted) == 2 * 6  # q, k, v, out, lin1, lin2 in each of two layers
    assert not any("classifier" in name for name, module in model.named_modules() if hasattr(module, "lora_A"))


def test_the_dropout_of_the_base_can_be_set(bases):
    """base.dropout sets every dropout that the configuration names."""
    base = find(str(bases("bert")))
    encoder = Encoder(base.path, Encoding(max_length=64))
    model = build(base, Base(model=base.name, labels=LABELS, dropout=0.0), LORA, encoder)
    assert {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)} == {0.0}


def test_more_than_two_labels_work(bases):
    """Only the shipped recipes fix the number of labels at two."""
    model, encoder = small(bases, "bert", labels=("Bad", "Fair", "Good"))
    assert answer(model, encoder, ["a film"]).shape == (1, 3)
    assert model.config.id2label == {0: "Bad", 1: "Fair", 2: "Good"}


@pytest.mark.parametrize("name", ["bert", "roberta"])
def test_a_base_has_a_number_of_positions(bases, name):
    """RoBERTa's begin after the pad token's id: 66 leave room for 64 tokens. A longer max_length is refused."""
    assert positions(CONFIGS[name]) == 64
    base = find(str(bases(name)))
    build(base, Base(model=base.name, labels=LABELS), LORA, Encoder(base.path, Encoding(max_length=64)))
    with pytest.raises(BaseModelError, match=r"^encoding.max_length = 65: .* holds 64 positions$"):
        build(base, Base(model=base.name, labels=LABELS), LORA, encoder_of(base.path, 65))


def encoder_of(path, length):
    """An encoder whose tokenizer names no limit."""
    encoder = Encoder(path, Encoding(max_length=64))
    encoder.tokenizer.model_max_length = encoder.max_length = length
    return encoder


def test_what_cannot_be_built_is_refused(bases, tmp_path):
    """The message names the layers for an unknown target, and says if there is no model."""
    with pytest.raises(RecipeError, match=r"no linear layer is called q_lin; this base has dense, key, query, value"):
        small(bases, "bert", Lora(r=2, alpha=4, target_modules=("q_lin",)))
    for file in bases("bert").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "config.json").write_text('{"model_type": "brought-along"}')
    base = find(str(tmp_path))
    with pytest.raises(BaseModelError, match=r"cannot be loaded as a classifier"):
        build(base, Base(model=base.name, labels=LABELS), LORA, Encoder(bases("bert"), Encoding(max_length=64)))
