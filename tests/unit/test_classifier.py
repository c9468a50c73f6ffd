"""The classifier in memory: what it counts, what it trains, and that nothing new stays random."""

import pytest
import torch
from transformers import DistilBertConfig

from lorasent.base import find
from lorasent.classifier import answer, build, count_parameters, forward, inference
from lorasent.encoding import Encoder
from lorasent.errors import BaseModelError, RecipeError
from lorasent.recipe import Base, Encoding, Lora, Recipe
from tests.support.bases import LABELS, make_patterned

LORA = Lora(r=2, alpha=4, target_modules=("query",))
NEW = {
    "bert": {"classifier"},
    "distilbert": {"pre_classifier", "classifier"},
    "roberta": {"classifier"},
    "deberta-v2": {"pooler", "classifier"},
    "gpt2": {"score"},
}


def small(bases, architecture, lora=LORA, seed=0, labels=LABELS):
    torch.manual_seed(seed)
    base = find(str(bases(architecture)))
    encoder = Encoder(base.path, Encoding(max_length=64))
    return build(base, Base(model=base.name, labels=labels), lora, encoder), encoder


@pytest.mark.slow
def test_the_reference_recipe_counts_as_the_notebook_counts(tmp_path):
    """628,994 of 67,584,004 (0.9307 %), 66,955,010 frozen; 66,991,874 in use, since PEFT keeps a frozen copy of the head."""
    recipe = Recipe.read("imdb-distilbert")
    base = find(str(make_patterned(tmp_path, DistilBertConfig(), find("embedded").path)))
    counts = count_parameters(build(base, recipe.base, recipe.lora, Encoder(base.path, recipe.encoding)))
    assert (counts.trainable, counts.total, counts.frozen, counts.in_use) == (628_994, 67_584_004, 66_955_010, 66_991_874)
    assert f"{counts.fraction:.4%}" == "0.9307%"


@pytest.mark.parametrize("architecture", NEW)
def test_only_lora_and_new_modules_are_trained(bases, architecture):
    """Every new module gets gradients whole, LoRA's matrices stand on the query projections only."""
    model, encoder = small(bases, architecture)
    batch = {name: torch.from_numpy(array) for name, array in encoder.pad(encoder.encode(["a film", "not a film at all"])).items()}
    model(**batch, labels=torch.tensor([0, 1])).loss.backward()
    trained = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert trained == {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    # PEFT wraps what is trained whole; whatever stands before ".modules_to_save" is the module's name.
    whole = {name.removeprefix("base_model.model.").split(".modules_to_save")[0] for name in trained if ".modules_to_save" in name}
    assert whole == NEW[architecture]
    rest = {name for name in trained if ".modules_to_save" not in name}
    assert all("lora_" in name for name in rest)
    assert len(rest) == 2 * 2  # A and B in each of two layers


def test_the_base_does_not_move(bases):
    """After an optimiser step the frozen weights are what they were, bit for bit."""
    model, encoder = small(bases, "bert")
    frozen = {name: parameter.clone() for name, parameter in model.named_parameters() if not parameter.requires_grad}
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1)
    batch = {name: torch.from_numpy(array) for name, array in encoder.pad(encoder.encode(["a film"])).items()}
    model(**batch, labels=torch.tensor([1])).loss.backward()
    optimizer.step()
    after = dict(model.named_parameters())
    assert all(torch.equal(value, after[name]) for name, value in frozen.items())


def test_all_linear_means_every_linear_layer_of_the_base(bases):
    """LoRA stands on each linear layer of the encoder and on none of the head."""
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


@pytest.mark.parametrize("architecture", ["bert", "gpt2", "deberta-v2"])
def test_padding_hardly_moves_a_logit(bases, architecture):
    """Beside a longer neighbour a text answers as it does alone, to 1e-5, though GPT-2's pad token is new."""
    model, encoder = small(bases, architecture)
    texts = ["a film", "a film that is a good deal longer than the other one, and then some more of it"]
    alone = answer(model, encoder, texts)
    with inference(model):
        together = forward(model, encoder.pad(encoder.encode(texts)))
    assert abs(together - alone).max() < 1e-5


def test_more_than_two_labels_work(bases):
    """Nothing but the shipped recipes knows that there are two."""
    model, encoder = small(bases, "bert", labels=("Bad", "Fair", "Good"))
    assert answer(model, encoder, ["a film"]).shape == (1, 3)
    assert model.config.id2label == {0: "Bad", 1: "Fair", 2: "Good"}


def test_what_cannot_be_built_is_refused(bases, tmp_path):
    """An unknown target names the layers there are; more positions than the base has, or no model at all, are said."""
    with pytest.raises(RecipeError, match=r"no linear layer is called q_lin; this base has dense, key, query, value"):
        small(bases, "bert", Lora(r=2, alpha=4, target_modules=("q_lin",)))
    for file in bases("bert").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "config.json").write_text('{"model_type": "brought-along", "auto_map": {"AutoModel": "code.Model"}}')
    (tmp_path / "code.py").write_text("raise SystemExit('code of a base was run')")
    base = find(str(tmp_path))
    with pytest.raises(BaseModelError, match=r"cannot be loaded as a classifier"):
        build(base, Base(model=base.name, labels=LABELS), LORA, Encoder(bases("bert"), Encoding(max_length=64)))
