"""Adapters that a plain PEFT script trained: lorasent computes what the trainer's own memory did, or refuses and says why."""

import re
import shutil
import warnings

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
)

from lorasent.adapter.classifier import quiet
from lorasent.adapter.directory import UnverifiedAdapterWarning
from lorasent.errors import AdapterError, LorasentError
from lorasent.scoring.scorer import load
from tests.support.architectures import ARCHITECTURES, make
from tests.support.bases import edit_json
from tests.support.plain import TEXTS, train

PADDING_MATTERS = ("convbert", "fnet", "xlnet", "yoso")
"""They answer otherwise with padding beside a text: the trainer's own answers hang on what it batched."""

EVERY = [name if place < 3 else pytest.param(name, marks=pytest.mark.slow) for place, name in enumerate(ARCHITECTURES)]


def slow(*names):
    """Parameters of the slow part."""
    return [pytest.param(name, marks=pytest.mark.slow) for name in names]


def answers(out, invariant=False):
    """The logits that lorasent gives, with its warning."""
    torch.manual_seed(2)
    with pytest.warns(UnverifiedAdapterWarning, match=r"cannot be verified; lorasent uses"):
        return load(out, invariant=invariant).logits(TEXTS)


def agree_or_refuse(architecture, out, expected, lost):
    """What is random is named, an answer that padding moves is refused, and anything else is equal to 1e-5."""
    if lost:
        with pytest.raises(AdapterError, match=re.escape(f"holds {', '.join(lost[:3])}")):
            load(out)
    elif architecture in PADDING_MATTERS:
        with pytest.raises(AdapterError, match=r"gives other answers in a padded batch"):
            load(out)
    else:
        assert np.ptp(expected, axis=0).max() > 1e-5  # answers that do not differ would prove nothing
        np.testing.assert_allclose(answers(out), expected, rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", EVERY)
def test_pefts_default_is_computed_or_refused(bases, tmp_path, architecture):
    """With task SEQ_CLS alone, cut on the right at 32 tokens, the logits are equal, or what would be random is named."""
    base = make(bases, tmp_path / "base", architecture)
    agree_or_refuse(architecture, tmp_path / "out", *train(base, tmp_path / "out", cut=32))


@pytest.mark.slow
@pytest.mark.parametrize("architecture", EVERY)
def test_an_adapter_that_saves_the_whole_head_is_computed(bases, tmp_path, architecture):
    """The logits are equal with a saved head, cut on the left at the tokenizer's length, and one token more than the base has."""
    base = make(bases, tmp_path / "base", architecture)
    expected, lost = train(base, tmp_path / "out", grow=True, whole=True, opened={"truncation_side": "left"})
    assert not lost
    agree_or_refuse(architecture, tmp_path / "out", expected, lost)


@pytest.mark.parametrize(
    "architecture",
    ["bert", "roberta", *(pytest.param(name, marks=pytest.mark.slow) for name in ("albert", "modernbert", "mobilebert", "bart"))],
)
def test_of_a_masked_language_model_what_is_missing_is_named(bases, tmp_path, architecture):
    """BERT's pooler is missing from it and is named; ModernBERT's head is in it and is loaded."""
    base = make(bases, tmp_path / "base", architecture, AutoModelForMaskedLM)
    expected, lost = train(base, tmp_path / "out")
    assert bool(lost) == (architecture not in ("roberta", "modernbert"))
    agree_or_refuse(architecture, tmp_path / "out", expected, lost)


TOKENIZERS = {
    "as its base's": {},
    "a space before": {"opened": {"add_prefix_space": True}},
    "padded on the left": {"opened": {"padding_side": "left"}},
    "padded to its length": {"padding": "max_length", "cut": 40},
    "a length of its own": {"opened": {"model_max_length": 24}},
    "cut on the left by its call": {"opened": {"truncation_side": "left"}, "cut": 24},
    "not saved": {"keep": False},
}
"""How a trainer may have read, as options of `train`."""


@pytest.mark.parametrize("architecture", ["roberta", pytest.param("gpt2", marks=pytest.mark.slow)])
@pytest.mark.parametrize("reads", TOKENIZERS)
def test_texts_are_encoded_as_the_trainer_encoded_them(bases, tmp_path, architecture, reads):
    """Also by byte-level tokenizers, for which a space before the first word makes another token."""
    expected, lost = train(make(bases, tmp_path / "base", architecture), tmp_path / "out", **TOKENIZERS[reads])
    assert not lost
    np.testing.assert_allclose(answers(tmp_path / "out"), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("architecture", ["llama", *slow("deberta-v2", "modernbert")])
def test_relative_positions_do_not_limit_the_length(bases, tmp_path, architecture):
    """If the tokenizer has no length, nothing is cut, and the model answers beyond max_position_embeddings."""
    base = make(bases, tmp_path / "base", architecture)
    expected, lost = train(base, tmp_path / "out", whole=True, opened={"model_max_length": 10**30})
    assert not lost
    np.testing.assert_allclose(answers(tmp_path / "out"), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("architecture", ["luke", *slow("roberta", "data2vec-text", "longformer", "gpt2")])
def test_a_table_of_positions_limits_the_length(bases, tmp_path, architecture):
    """If the tokenizer has no length, a text is cut to the number of positions."""
    base = make(bases, tmp_path / "base", architecture)
    train(base, tmp_path / "out", cut=32, whole=True)
    edit_json(tmp_path / "out" / "tokenizer_config.json", model_max_length=10**30)
    edit_json(tmp_path / "out" / "tokenizer.json", truncation=None)
    assert np.isfinite(answers(tmp_path / "out")).all()
    with pytest.warns(UnverifiedAdapterWarning):
        assert load(tmp_path / "out").encoder.max_length == 64


def test_the_warning_names_a_base_in_half_precision(plain):
    """Answers are computed in float32, whatever the type of the base's weights."""
    base, out = plain
    edit_json(base / "config.json", dtype="bfloat16")
    with pytest.warns(UnverifiedAdapterWarning, match=r"weights in float32 where the base has bfloat16$"):
        load(out)


COMPUTED = {
    "dora": {"use_dora": True},
    "trained tokens": {"trainable_token_indices": [5, 6, 7]},
    "rank-stabilised": {"use_rslora": True},
    "ranks by layer": {"rank_pattern": {"query": 4}, "alpha_pattern": {"query": 9}},
    "some layers": {"layers_to_transform": [0], "target_modules": ["query"]},
    "all biases": {"bias": "all"},
    "biases of its layers": {"bias": "lora_only"},
    "biases of B": {"lora_bias": True},
    "embeddings": {"target_modules": ["query", "word_embeddings"]},
    "embeddings, grown": {"target_modules": ["query", "word_embeddings"], "grow": True},
    "saved embeddings, grown": {"target_modules": ["query"], "modules_to_save": ["word_embeddings"], "grow": True},
    "a pattern of names": {"target_modules": r".*\.query"},
    "all but some": {"exclude_modules": ["key"]},
    "gaussian": {"init_lora_weights": "gaussian"},
    "orthogonal": {"init_lora_weights": "orthogonal"},
    "a head of no task": {"task_type": None, "head": ["classifier"]},
    "a grown vocabulary": {"grow": True},
    "a grown vocabulary, not saved": {"grow": True, "save": False},
}
"""What PEFT can do beside plain LoRA, as options of `train`."""


@pytest.mark.parametrize(
    "feature", [*list(COMPUTED)[:2], *(pytest.param(name, marks=pytest.mark.slow) for name in list(COMPUTED)[2:])]
)
@pytest.mark.filterwarnings("ignore:.*eva:UserWarning")
def test_pefts_other_options_are_computed(bases, tmp_path, feature):
    """The logits are equal with each of PEFT's options, invariant or not."""
    expected, lost = train(make(bases, tmp_path / "base", "bert"), tmp_path / "out", **COMPUTED[feature])
    assert not lost
    for invariant in (False, True):
        np.testing.assert_allclose(answers(tmp_path / "out", invariant), expected, rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def trained(bases, tmp_path_factory):
    """A BERT, an adapter on it, and what its trainer's memory answered."""
    folder = tmp_path_factory.mktemp("plain")
    base = make(bases, folder / "base", "bert")
    return base, folder / "out", train(base, folder / "out", cut=32)[0]


@pytest.fixture
def plain(trained, tmp_path):
    """Copies of base and adapter that name each other, to be changed."""
    base, out = (shutil.copytree(path, tmp_path / path.name) for path in trained[:2])
    edit_json(out / "adapter_config.json", base_model_name_or_path=str(base))
    return base, out


REFUSED = {
    "no base": ({"base_model_name_or_path": None}, r"names no base \(base_model_name_or_path is None\); write the name"),
    "an empty base": ({"base_model_name_or_path": ""}, r"names no base"),
    "PiSSA": ({"init_lora_weights": "pissa_niter_4"}, r"init_lora_weights = pissa_niter_4 changes the base's weights .*conversion"),
    "OLoRA": ({"init_lora_weights": "olora"}, r"init_lora_weights = olora changes"),
    "LoftQ": ({"init_lora_weights": "loftq", "loftq_config": {"loftq_bits": 4}}, r"init_lora_weights = loftq changes"),
    "CorDA": ({"init_lora_weights": "corda"}, r"init_lora_weights = corda changes"),
    "an unknown start": ({"init_lora_weights": 3}, r"init_lora_weights = 3 changes"),
    "layers replicated": ({"layer_replication": [[0, 2]]}, r"layer_replication is set; lorasent cannot be sure"),
    "parameters": ({"target_parameters": ["experts"]}, r"target_parameters is set"),
    "activated LoRA": ({"alora_invocation_tokens": [5]}, r"alora_invocation_tokens is set"),
    "something newer": ({"use_tomorrows_lora": 0.5}, r"use_tomorrows_lora is set"),
    "another task": ({"task_type": "TOKEN_CLS"}, r"task_type is TOKEN_CLS, not SEQ_CLS; supported are"),
    "another class": (
        {"task_type": None, "auto_mapping": {"base_model_class": "MyBert", "parent_library": "mine"}},
        r"was trained as MyBert, the base is loaded as BertForSequenceClassification",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_option_that_may_be_computed_otherwise_is_refused(plain, case):
    """The message names the key of adapter_config.json."""
    changes, message = REFUSED[case]
    edit_json(plain[1] / "adapter_config.json", **changes)
    with pytest.raises(AdapterError, match=rf"adapter_config.json: {message}"):
        load(plain[1])


@pytest.mark.parametrize("where", ["the base", "the adapter"])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"problem_type": "multi_label_classification"}, r"problem_type is multi_label_classification; supported are LoRA"),
        ({"problem_type": "regression"}, r"problem_type is regression"),
        ({"quantization_config": {"quant_method": "gptq"}}, r"config.json: .*quantization_config"),
        ({"hidden_act": "relu"}, r"hidden_act is relu, the base's .*config.json says gelu"),
    ],
    ids=["many labels a text", "a regression", "quantized", "another activation"],
)
def test_a_configuration_of_another_model_is_refused(plain, where, changes, message):
    """So is one that asks for several labels a text or for quantized weights, of the base or beside the adapter."""
    base, out = plain
    if where == "the adapter":
        shutil.copy(base / "config.json", out)
    elif "hidden_act" in changes:
        changes = {}
        shutil.copy(base / "config.json", out)
        edit_json(out / "config.json", hidden_act="relu")
    edit_json((base if where == "the base" else out) / "config.json", **changes)
    with pytest.raises(LorasentError, match=message):
        load(out)


def test_a_head_of_one_output_is_refused(bases, tmp_path):
    """It is a regression, and has no labels."""
    out = tmp_path / "out"
    with warnings.catch_warnings(), quiet():
        warnings.simplefilter("ignore")
        model = AutoModelForSequenceClassification.from_pretrained(make(bases, tmp_path / "base", "gpt2"), num_labels=1)
        get_peft_model(model, LoraConfig(task_type="SEQ_CLS", target_modules=["c_attn"], fan_in_fan_out=True)).save_pretrained(out)
    with pytest.raises(AdapterError, match=r"its head has one output \(a regression\); supported are LoRA"):
        load(out)


NAMES = {"0": "bad", "1": "good"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("base_says", "beside_says", "labels", "told"),
    [
        (NAMES, None, ("bad", "good"), "the base's configuration"),
        ({"0": "POSITIVE", "1": "NEGATIVE"}, NAMES, ("bad", "good"), "config.json beside it"),
        (NAMES, {"0": "LABEL_0", "1": "LABEL_1"}, ("bad", "good"), "the base's configuration"),
        ({**NAMES, "2": "fair"}, None, ("LABEL_0", "LABEL_1"), "no configuration names them"),
        ({"0": "0", "1": "1"}, None, ("LABEL_0", "LABEL_1"), "no configuration names them"),
        ({"0": "good", "1": "Good"}, None, ("LABEL_0", "LABEL_1"), "no configuration names them"),
        ({"0": 0, "1": None}, None, ("LABEL_0", "LABEL_1"), "no configuration names them"),
    ],
    ids=["the base", "beside", "beside by default", "another number", "numbers", "alike", "no text"],
)
def test_labels_get_their_names_from_a_configuration(plain, base_says, beside_says, labels, told):
    """From the one beside the adapter, else the base's, if it names exactly that many. The warning says from which."""
    base, out = plain
    edit_json(base / "config.json", id2label=base_says)
    if beside_says:
        shutil.copy(base / "config.json", out)
        edit_json(out / "config.json", id2label=beside_says)
    with pytest.warns(UnverifiedAdapterWarning, match=rf"lorasent uses labels {', '.join(labels)} \({told}\)"):
        assert load(out).labels == labels


def test_a_configuration_with_malformed_labels(plain):
    """The base's is refused, since transformers cannot read it; the one beside the adapter names no labels."""
    base, out = plain
    shutil.copy(base / "config.json", out)
    edit_json(out / "config.json", id2label=[1])
    with pytest.warns(UnverifiedAdapterWarning, match=r"labels LABEL_0, LABEL_1 \(no configuration names them\)"):
        load(out)
    edit_json(base / "config.json", id2label=[1])
    with pytest.raises(LorasentError, match=r"cannot be loaded as a classifier: "):
        load(out)


def test_there_are_as_many_labels_as_the_head_has_outputs(bases, tmp_path):
    """Whatever number the base's configuration names."""
    train(make(bases, tmp_path / "base", "roberta", id2label={0: "bad", 1: "good"}), tmp_path / "out", labels=3)
    with pytest.warns(UnverifiedAdapterWarning, match=r"labels LABEL_0, LABEL_1, LABEL_2 \(no configuration"):
        assert load(tmp_path / "out").labels == ("LABEL_0", "LABEL_1", "LABEL_2")


def test_the_bases_head_is_used_if_the_adapter_saved_none(bases, tmp_path):
    """The logits are equal, and the labels are the base's."""
    base = make(bases, tmp_path / "base", "bert", AutoModelForSequenceClassification, id2label={0: "bad", 1: "fair", 2: "good"})
    expected, lost = train(base, tmp_path / "out", labels=3, task_type=None)
    assert not lost
    with pytest.warns(UnverifiedAdapterWarning, match=r"labels bad, fair, good"):
        np.testing.assert_allclose(load(tmp_path / "out").logits(TEXTS), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("literal", ["</s>", "<pad>", "<mask>"])
@pytest.mark.parametrize("architecture", ["bart", pytest.param("roberta", marks=pytest.mark.slow)])
def test_special_tokens_in_a_review_are_no_error(bases, tmp_path, architecture, literal):
    """BART reads the last end token, and cannot take a batch of texts with different numbers of them."""
    train(make(bases, tmp_path / "base", architecture), tmp_path / "out", whole=True)
    texts = [f"a {literal} film {literal}", "a film", literal]
    with pytest.warns(UnverifiedAdapterWarning, match=r"no lorasent.json"):
        scorer = load(tmp_path / "out")
    alone = np.concatenate([scorer.logits([text]) for text in texts])
    np.testing.assert_allclose(scorer.logits(texts), alone, rtol=0, atol=1e-5)


def test_an_input_that_is_not_passed_on_is_refused(plain, monkeypatch):
    """XLNet's tokenizer gives the last token another segment; here BERT's is made to do the same."""
    from tokenizers.processors import TemplateProcessing
    from transformers import BertTokenizer

    build = BertTokenizer.from_pretrained

    def segmented(path, **options):
        tokenizer = build(path, **options)
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
            single="$A:0 [SEP]:1", pair="$A:0 [SEP]:0 $B:1", special_tokens=[("[SEP]", tokenizer.sep_token_id)]
        )
        return tokenizer

    monkeypatch.setattr("lorasent.adapter.encoding.AutoTokenizer.from_pretrained", segmented)
    with pytest.raises(
        AdapterError, match=r"BertForSequenceClassification gives other answers without the tokenizer's further inputs"
    ):
        load(plain[1])
