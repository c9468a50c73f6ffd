"""Configurations: bounded before they are used, held to their checkpoint, compared by what answers follow from."""

import json
import shutil
import subprocess
import sys

import pytest
import torch

from lorasent.adapter.base import find
from lorasent.adapter.classifier import load_base
from lorasent.adapter.configuration import differences, require_plain, summary
from lorasent.adapter.encoding import Encoder
from lorasent.errors import BaseModelError
from lorasent.recipe.recipe import Base, Encoding
from tests.support.bases import CONFIGS, LABELS, edit_json

BILLION = 10**9

HOSTILE = {
    "type": ("bert", {"model_type": "nothing"}, "cannot be loaded as a classifier: .*model type `nothing`"),
    "another-type": ("bert", {"model_type": "llama"}, "its checkpoint has no tensor of its model_type, llama"),
    "heads-text": ("bert", {"num_attention_heads": "four"}, "expected int, got str"),
    "no-heads": ("bert", {"num_attention_heads": 0}, "integer modulo by zero"),
    "no-width": ("bert", {"hidden_size": 0}, "cannot be loaded as a classifier"),
    "width": ("bert", {"hidden_size": BILLION}, "describes .* numbers, the checkpoint holds"),
    "layers": ("bert", {"num_hidden_layers": BILLION}, "num_hidden_layers is 1000000000, expected 4,096 at most"),
    "layers-list": ("modernbert", {"num_hidden_layers": BILLION}, "num_hidden_layers is 1000000000, expected 4,096 at most"),
    "many-layers": ("gpt2", {"n_layer": 4000}, "describes more than .* modules"),
    "groups": ("albert", {"num_hidden_groups": BILLION}, "describes more than .* modules"),
    "vocabulary": ("bert", {"vocab_size": BILLION}, "describes .* numbers, the checkpoint holds"),
    "small-vocabulary": ("bert", {"vocab_size": 10}, "word_embeddings.weight another shape than it has in the checkpoint"),
    "positions": ("gpt2", {"n_positions": BILLION}, "describes .* numbers, the checkpoint holds"),
    "labels": ("bert", {"num_labels": BILLION}, "num_labels is 1000000000, expected 4,096 at most"),
    "names": ("bert", {"id2label": [1]}, "cannot be loaded as a classifier"),
    "pad": ("bert", {"pad_token_id": 10**6}, "Padding_idx must be within num_embeddings"),
    "no-pad": ("roberta", {"pad_token_id": None}, "pad_token_id is missing; positions begin after"),
    "activation": ("bert", {"hidden_act": "nope"}, "cannot be loaded as a classifier"),
    "dropout": ("bert", {"hidden_dropout_prob": 7}, "dropout probability has to be between 0 and 1"),
    "not-json": ("bert", {"layer_norm_eps": float("inf")}, "not valid JSON"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "changes", "message"), HOSTILE.values(), ids=HOSTILE)
def test_a_configuration_that_does_not_fit_its_checkpoint_is_one_line(bases, tmp_path, name, changes, message):
    """Whatever transformers or torch raise; and before memory is allocated for what it describes."""
    base = shutil.copytree(bases(name), tmp_path / "base")
    edit_json(base / "config.json", **changes)
    with pytest.raises(BaseModelError, match=rf"^[^\n]*{message}"):
        load(base)


def load(path):
    """A base with a new head."""
    base = find(str(path))
    return load_base(base, Base(model=base.name, labels=LABELS), Encoder(base.path, Encoding(max_length=16), base.name))


def test_keys_about_the_form_of_outputs_are_ignored(bases, tmp_path):
    """They change no answer."""
    base = shutil.copytree(bases("bert"), tmp_path / "base")
    notes = {"return_dict": False, "chunk_size_feed_forward": 7, "output_attentions": True, "attn_implementation": "some/kernels"}
    edit_json(base / "config.json", **notes)
    model, _ = load(base)
    assert model(input_ids=torch.tensor([[1, 2, 3, 4]])).logits.shape == (1, 2)


def test_counting_the_parameters_draws_no_random_numbers(bases):
    """The head is initialised as without it."""
    torch.manual_seed(0)
    first, _ = load(bases("bert"))
    torch.manual_seed(0)
    again, _ = load(bases("bert"))
    assert torch.equal(first.classifier.weight, again.classifier.weight)
    assert first.classifier.weight.device.type == "cpu"


@pytest.mark.parametrize("name", CONFIGS)
def test_a_default_that_is_left_out_is_no_difference(name):
    """Another version of transformers saves more keys, or fewer."""
    whole, brief = (json.loads(CONFIGS[name].to_json_string(use_diff=diff)) for diff in (False, True))
    brief["transformers_version"] = "4.1.0"
    assert len(brief) < len(whole)
    assert differences(whole, brief) == {}


@pytest.mark.parametrize(
    "change",
    [
        {"transformers_version": "4"},
        {"architectures": ["X"]},
        {"dtype": "bfloat16"},
        {"attention_probs_dropout_prob": 0.5},
        {"id2label": {"0": "bad"}},
        {"_name_or_path": "x"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_keys_that_change_no_answer_are_no_difference(change):
    """The author, dropout, labels, and the type of the weights."""
    config = json.loads(CONFIGS["bert"].to_json_string())
    assert differences({**config, **change}, config) == {}


def test_a_difference_is_shown_with_both_values():
    """At most three are shown. A configuration that transformers cannot read is compared as it is written."""
    config = {"model_type": "bert", "hidden_act": "gelu"}
    changed = differences({**config, "hidden_act": "relu", "layer_norm_eps": 0.5}, config)
    assert changed == {"hidden_act": ("gelu", "relu"), "layer_norm_eps": (1e-12, 0.5)}
    unknown = {"model_type": "nothing", "a": 1, "b": 2, "c": 3, "d": 4}
    assert summary(differences(unknown, {"model_type": "nothing"})) == "a None -> 1, b None -> 2, c None -> 3 and 1 more"
    bomb = {"model_type": "modernbert", "num_hidden_layers": BILLION}
    assert differences(bomb, {"model_type": "modernbert"}) == {"num_hidden_layers": (None, BILLION)}


def test_counts_are_bounded_at_any_depth():
    """A small number of layers is allowed."""
    require_plain({"num_hidden_layers": 96, "layer_norm_eps": 1e-12}, "here")
    with pytest.raises(BaseModelError, match=r"^here: n_layers is 1000000000, expected 4,096 at most$"):
        require_plain({"text_config": [{"n_layers": BILLION}]}, "here")


def test_equal_configurations_are_compared_without_transformers():
    """A verdict that needs no model does not import it."""
    code = (
        "import sys; from lorasent.adapter.configuration import differences as d; config = %r; d({**config, 'dtype': 1}, config); "
        "print([name for name in ('torch', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code % json.loads('{"a": 1}')], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
