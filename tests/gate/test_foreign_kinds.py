"""What plain PEFT scripts write: each kind of LoRA is sealed, adopted, judged without a manifest, and merged."""

import shutil

import pytest

import lorasent
from lorasent.errors import LorasentError
from lorasent.gate.finding import Outcome
from lorasent.gate.verdict import judge
from tests.support.architectures import make
from tests.support.plain import train

KINDS = {
    "a regular expression": {"target_modules": r".*attention\.self\.(query|value)"},
    "bias of its layers": {"bias": "lora_only"},
    "dora": {"use_dora": True},
    "all-linear": {"target_modules": "all-linear"},
    "names": {"target_modules": ["query", "value"]},
    "a head that is named": {"head": ["classifier"]},
    "all biases": {"bias": "all"},
    "ranks by layer": {"rank_pattern": {"query": 4}, "alpha_pattern": {"query": 9}},
    "some layers": {"layers_to_transform": [0], "target_modules": ["query"]},
    "rank-stabilised": {"use_rslora": True},
    "gaussian": {"init_lora_weights": "gaussian"},
    "embeddings": {"grow": True},
    "three labels": {"labels": 3},
}

QUICK = ("a regular expression", "bias of its layers")

EVERY = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in KINDS]


@pytest.mark.parametrize("kind", EVERY)
def test_a_kind_of_lora_is_judged_in_every_way(bases, of_files, tmp_path, kind):
    """Two runs of the script pass: sealed, as PEFT saved them, and adopted."""
    base = make(bases, tmp_path / "base", "bert")
    for seed in "01":
        sealed = tmp_path / f"sealed-{seed}"
        options = {"cut": 32, "seed": int(seed), **KINDS[kind]}
        train(base, tmp_path / f"saved-{seed}", at_end=lambda model, words, to=sealed: lorasent.seal(model, words, to), **options)
        lorasent.adopt(tmp_path / f"saved-{seed}", tmp_path / f"adopted-{seed}")
    for way in ("sealed", "saved", "adopted"):
        verdict = judge(tmp_path / f"{way}-1", [tmp_path / f"{way}-0"], of_files())
        assert verdict.outcome is Outcome.PASS, verdict.findings[0]


@pytest.mark.parametrize(
    "architecture",
    [
        pytest.param(name, marks=pytest.mark.slow)
        for name in (
            "distilbert",
            "roberta",
            "xlm-roberta",
            "deberta-v2",
            "electra",
            "albert",
            "modernbert",
            "llama",
            "qwen2",
            "qwen3",
            "mistral",
            "gemma",
            "gpt2",
        )
    ],
)
def test_an_architecture_is_judged_in_every_way(bases, of_files, tmp_path, architecture):
    """With a head that is saved whole."""
    base = make(bases, tmp_path / "base", architecture)
    for seed in "01":
        sealed = tmp_path / f"sealed-{seed}"
        train(
            base, tmp_path / f"saved-{seed}", cut=32, seed=int(seed), whole=True,
            at_end=lambda model, words, to=sealed: lorasent.seal(model, words, to),
        )  # fmt: skip
    for way in ("sealed", "saved"):
        verdict = judge(tmp_path / f"{way}-1", [tmp_path / f"{way}-0"], of_files())
        assert verdict.outcome is Outcome.PASS, verdict.findings[0]


@pytest.mark.slow
@pytest.mark.parametrize("start", ["pissa", "olora"])
def test_a_start_that_changes_the_base_is_refused_with_its_conversion(bases, of_files, tmp_path, start):
    """The trainer's base is not the one on disk; PEFT can save such an adapter as a plain one."""
    base = make(bases, tmp_path / "base", "bert")
    train(base, tmp_path / "saved", cut=32, init_lora_weights=start)
    shutil.copytree(tmp_path / "saved", tmp_path / "again")
    with pytest.raises(LorasentError, match="path_initial_model_for_weight_conversion"):
        lorasent.adopt(tmp_path / "saved", tmp_path / "out")
    verdict = judge(tmp_path / "saved", [tmp_path / "again"], of_files())
    assert verdict.outcome is Outcome.INVALID
    assert "path_initial_model_for_weight_conversion" in verdict.findings[0].message
