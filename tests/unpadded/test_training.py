"""Training over unpadded tokens: the model's own loss and gradients, and nothing else's."""

import pytest
import torch

from lorasent.adapter.base import find
from lorasent.adapter.classifier import build
from lorasent.adapter.encoding import Encoder
from lorasent.data.reviews import read
from lorasent.recipe.recipe import Base, Encoding, Lora
from lorasent.unpadded import training as tuning
from tests.support.bases import CONFIGS, LABELS

pytestmark = pytest.mark.processor

KNOWN = {"bert", "distilbert", "electra", "roberta"}
TEXTS = read("embedded:train", LABELS).texts[:5]


@pytest.fixture(scope="module")
def prepared(bases):
    """A function that gives an architecture's model, in training, with LoRA far from what it starts as, and token ids."""

    def prepared(name, targets=("all-linear",), base_dropout=0.0, lora_dropout=0.0, **variant):
        base = find(str(bases(name)))
        encoder = Encoder(base.path, Encoding(max_length=48))
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(0)
            lora = Lora(r=2, alpha=4, dropout=lora_dropout, target_modules=targets, **variant)
            model = build(base, Base(model=base.name, labels=LABELS, dropout=base_dropout), lora, encoder)
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.normal_(std=0.2)
        return model.train(), encoder, encoder.encode(TEXTS)

    return prepared


def gradients(model, logits):
    """The gradient of a loss in everything that has one, and how it is had: by a call that gives logits."""
    model.zero_grad()
    loss = torch.nn.functional.cross_entropy(logits(), torch.tensor([0, 1, 1, 0, 1]))
    loss.backward()
    return loss.item(), {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}


def agree(model, encoder, ids):
    """Loss and gradients of a tuner and of the model itself, on the batch that it would see."""
    batch = {key: torch.from_numpy(array) for key, array in encoder.pad(ids).items()}
    loss, expected = gradients(model, lambda: model(**batch).logits)
    tuner = tuning.build(model, bf16=False)
    own, found = gradients(model, lambda: tuner.logits(ids))
    assert own == pytest.approx(loss, abs=1e-6)
    assert found.keys() == expected.keys()
    for key, gradient in expected.items():
        assert (found[key] - gradient).norm() <= 1e-3 * gradient.norm() + 1e-7, key


@pytest.mark.slow
@pytest.mark.onednn("float32")
@pytest.mark.parametrize(
    ("name", "targets", "variant"),
    [
        *((name, ("query",), {}) for name in sorted(KNOWN)),
        *((name, ("all-linear",), {}) for name in sorted(KNOWN) if name != "electra"),
        ("bert", ("value",), {}),
        ("bert", ("query", "value"), {}),
        ("bert", ("all-linear",), {"use_rslora": True}),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value) or "LoRA",
)
def test_loss_and_gradients_are_the_models(prepared, name, targets, variant):
    """In float32 each gradient is the model's to a thousandth of its norm; the same parameters have one."""
    model, encoder, ids = prepared(name, targets, **variant)
    agree(model, encoder, ids)


@pytest.mark.onednn("float32")
@pytest.mark.parametrize("name", sorted(KNOWN))
def test_gradients_with_dropout_are_the_models(prepared, monkeypatch, name):
    """With masks that depend on p and the column, and another p for each module, each gradient is the model's."""
    model, encoder, ids = prepared(name, ("query",) if name == "electra" else ("all-linear",), base_dropout=0.1, lora_dropout=0.1)
    drops = [module for module in model.modules() if isinstance(module, torch.nn.Dropout)]
    assert len(drops) > 10
    for place, drop in enumerate(drops):
        drop.p = 0.1 + 0.5 * place / len(drops)

    def kept(states, p):
        return ((torch.arange(states.shape[-1]) * round(p * 1e4)) % 7 > 1) / (1 - p)

    def dropped(states, p=0.5, training=True, inplace=False):
        return states * kept(states, p) if training and p else states

    model.set_attn_implementation("eager")
    monkeypatch.setattr(torch.nn.functional, "dropout", dropped)
    monkeypatch.setattr(tuning, "_kept", lambda like, drop: kept(like, drop.p) if isinstance(drop, torch.nn.Dropout) else None)
    agree(model, encoder, ids)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_dropout_drops_the_share_p(share):
    """Of a million elements a share within five standard deviations of p is 0, all others are 1 / (1 - p), as the seed says."""
    like, drop = torch.empty(1000, 1001), torch.nn.Dropout(share)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first, second = tuning._kept(like, drop), tuning._kept(like, drop)
        torch.manual_seed(0)
        assert torch.equal(tuning._kept(like, drop), first)
    dropped = (first == 0).double().mean().item()
    assert dropped == pytest.approx(share, abs=5 * (share * (1 - share) / like.numel()) ** 0.5)
    assert first.unique().tolist() == pytest.approx([0, 1 / (1 - share)])
    # Columns, rows and draws do not follow each other: of pairs both are dropped as often as by chance.
    for one, other in ((first[:, 1:], first[:, :-1]), (first[1:], first[:-1]), (first[:, 4:], first[:, :-4]), (first, second)):
        both = ((one == 0) & (other == 0)).double().mean().item()
        assert both == pytest.approx(share**2, abs=6 * share * (1 - share) / like.numel() ** 0.5 + 1e-5)


def test_a_probability_that_rounds_to_1_still_keeps_some_elements():
    """At p = 0.999999, less than one in 10,000 is kept."""
    assert (tuning._kept(torch.empty(1000, 1000), torch.nn.Dropout(0.999999)) > 0).double().mean() < 1e-4


@pytest.mark.onednn("float32")
def test_a_model_in_evaluation_drops_nothing(prepared):
    """It answers the same twice; in training it does not."""
    model, _, ids = prepared("bert", base_dropout=0.1, lora_dropout=0.1)
    tuner = tuning.build(model, bf16=False)
    assert not torch.equal(tuner.logits(ids), tuner.logits(ids))
    model.eval()
    assert torch.equal(tuner.logits(ids), tuner.logits(ids))


@pytest.mark.onednn("bfloat16")
def test_gradients_in_bf16_point_the_same_way_as_in_float32():
    """On the embedded base each layer's gradients in bf16 and float32 have a cosine of 0.98 or more."""
    base = find("embedded")
    encoder = Encoder(base.path, Encoding(max_length=64))
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        lora = Lora(r=4, alpha=4, target_modules=("all-linear",))
        model = build(base, Base(model="embedded", labels=LABELS, dropout=0.0), lora, encoder)
        for name, value in model.named_parameters():
            if "lora_B" in name:
                value.normal_(std=0.02)
    ids = encoder.encode(TEXTS)
    _, expected = gradients(model, lambda: tuning.build(model, bf16=False).logits(ids))
    _, found = gradients(model, lambda: tuning.build(model, bf16=True).logits(ids))
    for key, gradient in expected.items():
        assert torch.cosine_similarity(found[key].flatten(), gradient.flatten(), dim=0) >= 0.98, key


@pytest.mark.onednn("float32")
def test_the_tuners_logits_do_not_depend_on_other_reviews(prepared):
    """Logits alone and together agree to 1e-6."""
    model, _, ids = prepared("bert")
    tuner = tuning.build(model, bf16=False)
    together = tuner.logits(ids)
    for row, review in enumerate(ids):
        assert torch.allclose(tuner.logits([review])[0], together[row], atol=1e-6)


@pytest.mark.onednn("float32")
def test_a_tuner_computes_with_the_current_weights(prepared):
    """A change of a LoRA matrix shows in the next logits: trained weights are not packed."""
    model, _, ids = prepared("bert")
    tuner = tuning.build(model, bf16=False)
    before = tuner.logits(ids).detach()
    with torch.no_grad():
        next(value for name, value in model.named_parameters() if "lora_A" in name).mul_(-1)
    assert (tuner.logits(ids) - before).abs().max() > 1e-4


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("bert", {"use_dora": True}),
        ("electra", {}),
        *((name, {}) for name in sorted(set(CONFIGS) - KNOWN)),
    ],
    ids=str,
)
def test_dora_and_other_architectures_get_no_tuner(prepared, name, options):
    """Nor does LoRA below the layers (ELECTRA's projection of embeddings): the model itself is trained."""
    model, _, _ = prepared(name, **options)
    assert tuning.build(model, bf16=False) is None


@pytest.mark.onednn("float32")
@pytest.mark.parametrize("part", ["layer.1.output.LayerNorm.weight", "layer.0.output.dense.base_layer.weight"])
def test_a_layer_with_a_weight_trained_whole_gets_no_tuner(prepared, part):
    """A weight that the base lacks is trained whole: packed, or in bf16, it would never change."""
    model, _, _ = prepared("bert")
    assert tuning.build(model, bf16=False) is not None
    (found,) = (value for name, value in model.named_parameters() if name.endswith(part))
    found.requires_grad_(True)
    assert tuning.build(model, bf16=False) is None
