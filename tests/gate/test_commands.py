"""The verdict as its user asks for it: `lorasent gate`, recorded evidence, the cache."""

import json
import shutil

import pytest
from safetensors.numpy import load_file, save_file

from lorasent import golden
from lorasent.adapter import snapshot
from lorasent.adapter.manifest import MANIFEST, WEIGHTS
from lorasent.gate.finding import Outcome
from lorasent.gate.policy import Policy
from lorasent.gate.verdict import judge
from lorasent.recipe.recipe import Recipe
from lorasent.scoring import evidence
from lorasent.scoring.evidence import LiveSubject
from lorasent.training.train import train
from tests.support.bases import edit_json
from tests.support.imports import COMMAND_LINE, HEAVY, imported
from tests.support.policies import POLICY

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def policy(tmp_path):
    """A policy of every family but goldens."""
    (tmp_path / "gate.toml").write_text(POLICY)
    return tmp_path / "gate.toml"


@pytest.fixture(scope="module")
def retrained(tmp_path_factory, small_recipe):
    """The small recipe with another seed: an innocent retrain."""
    return train(Recipe.read(small_recipe, ["training.seed=7"]), tmp_path_factory.mktemp("retrained") / "adapter").path


@pytest.fixture(scope="module")
def another(tmp_path_factory, small_recipe):
    """One more innocent retrain."""
    return train(Recipe.read(small_recipe, ["training.seed=8"]), tmp_path_factory.mktemp("another") / "adapter").path


def unwrapped(done):
    """What a command printed, its lines joined."""
    return " ".join(done.stdout.split())


def test_an_adapter_passes_against_itself(lorasent, small_adapter, policy):
    """Exit 0, the verdict first, every family judged, and the command that asks again last."""
    done = lorasent("gate", small_adapter, "--baseline", small_adapter, "--policy", policy)
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert lines[0] == f"PASS: {small_adapter} against {small_adapter}"
    for part in ("accuracy", "calibration", "cost", "behaviour", "integrity"):
        assert part in done.stdout
    assert lines[-1] == f"Again: lorasent gate {small_adapter} --baseline {small_adapter} --policy {policy}"


def test_a_broken_candidate_blocks_with_its_cause_first(lorasent, small_adapter, policy, tmp_path):
    """Exit 1; the first lines name the check, the cause and what to do; nothing is asked of a broken file."""
    broken = shutil.copytree(small_adapter, tmp_path / "broken")
    (broken / "adapter_model.safetensors").unlink()
    done = lorasent("gate", broken, "--baseline", small_adapter, "--policy", policy)
    assert done.returncode == 1
    assert done.stdout.splitlines()[0].startswith("BLOCK: ")
    assert done.stdout.index("adapter_model.safetensors") < done.stdout.index("what to do: ")
    assert "quality" not in done.stdout


@pytest.mark.slow
def test_the_verdict_is_one_json_object(lorasent, small_adapter, retrained, policy, tmp_path):
    """Outcome, findings with figures, and the hashes of the evidence; the page says the same."""
    done = lorasent("gate", retrained, "--baseline", small_adapter, "--policy", policy, "--json", "--report", "page.html")
    assert done.stdout, done.stderr
    said = json.loads(done.stdout)
    assert said["outcome"] in ("PASS", "INCONCLUSIVE")
    assert done.returncode == {"PASS": 0, "INCONCLUSIVE": 3}[said["outcome"]]
    found = {finding["check"]: finding for finding in said["findings"]}
    assert found["quality::accuracy"]["figures"]["n"] == 200
    assert set(said["evidence"]) == {"candidate", str(small_adapter), "data"}
    page = (tmp_path / "page.html").read_text().replace("<wbr>", "")
    assert f'<header class="verdict {said["outcome"]}">' in page
    assert all(f"<code>{check}</code>" in page for check in found)


def test_a_faulty_baseline_is_invalid(lorasent, small_adapter, policy, tmp_path):
    """Exit 4: the candidate is not accused."""
    done = lorasent("gate", small_adapter, "--baseline", tmp_path / "none", "--policy", policy)
    assert done.returncode == 4
    assert done.stdout.startswith("INVALID: ")


@pytest.mark.slow
def test_data_that_cannot_be_read_are_invalid(lorasent, small_adapter, policy, tmp_path):
    """Exit 4, though everything else passes."""
    (tmp_path / "one.jsonl").write_text('{"text": "x", "label": "unknown"}\n')
    done = lorasent("gate", small_adapter, "--baseline", small_adapter, "--policy", policy, "--data", "one.jsonl")
    assert done.returncode == 4
    assert "unknown label 'unknown'" in unwrapped(done)


def predictions(**columns):
    """A golden of one review, its columns replaced; None leaves one out."""
    row = {"text": "a film", "label": "Positive", "logits": [0.1, 0.2], **columns}
    row = {name: cell for name, cell in row.items() if cell is not None}
    return golden.make([row], about="test", producer={}, tolerance={}, why="test").model_dump_json()


UNASKABLE = {
    "a slice's column is missing": (
        '[quality]\nslices = ["genre"]\n[data]\ntest = "embedded:test"',
        None,
        "quality.slices: embedded:test has no column genre; it has length, truncated, id, tags",
    ),
    "no cases": ('[behaviour]\ncases = "none.jsonl"', None, "none.jsonl: behavioural cases cannot be read: no such file"),
    "empty cases": ('[behaviour]\ncases = "."', None, ".: holds no behavioural cases; expected JSONL, one case a line"),
    "cases of junk": ('[behaviour]\ncases = "x.jsonl"', "junk", "x.jsonl, line 1: not valid JSON: Expecting value"),
    "cases in Latin": (
        '[behaviour]\ncases = "x.jsonl"',
        b"caf\xe9",
        "x.jsonl: behavioural cases cannot be read: expected UTF-8",
    ),
    "no golden": ('[golden]\npredictions = "none.json"', None, "none.json: cannot be read as a golden: No such file or directory"),
    "a golden of junk": ('[golden]\npredictions = "x.jsonl"', "{", "x.jsonl: not a golden: file: Invalid JSON"),
    "a folder for a golden": ('[golden]\npredictions = "."', None, ".: cannot be read as a golden: Is a directory"),
    **{
        f"a golden with {fault}": (
            '[golden]\npredictions = "x.jsonl"',
            predictions(**column),
            "x.jsonl: row 0 cannot be compared",
        )
        for fault, column in {
            "no text": {"text": None},
            "no label": {"label": None},
            "no logits": {"logits": None},
            "a bare logit": {"logits": 0.5},
            "other logits": {"logits": [0.1, 0.2, 0.3]},
            "another label": {"label": "Mixed"},
        }.items()
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", UNASKABLE)
def test_what_cannot_be_checked_is_invalid(lorasent, small_adapter, tmp_path, fault):
    """Exit 4 and one line that says what is missing; what could be asked passes, and nobody is accused."""
    policy, content, message = UNASKABLE[fault]
    (tmp_path / "gate.toml").write_text(policy)
    if content is not None:
        (tmp_path / "x.jsonl").write_bytes(content.encode() if isinstance(content, str) else content)
    done = lorasent("gate", small_adapter, "--baseline", small_adapter)
    assert (done.returncode, done.stderr) == (4, "")
    assert f"(not-judged): {message}" in unwrapped(done)
    assert "what to do: correct the data or the policy" in unwrapped(done)
    begins = [line.split()[0] for line in done.stdout.splitlines() if not line.startswith("    ")]
    assert [word for word in begins if word != "not"] == ["INVALID:", "INVALID", "PASS", "Every", "Again:"]


@pytest.mark.slow
def test_evidence_that_lacks_answers_is_invalid(lorasent, small_adapter, tmp_path):
    """Recorded by another policy: each family says so, and cost that a recording has no model to measure; exit 4."""
    live = LiveSubject(small_adapter)
    answered = live.labels[int(live.answer(["a film"]).logits.argmax())]
    (tmp_path / "x.json").write_text(predictions(label=answered))
    (tmp_path / "one.jsonl").write_text('{"text": "a film", "label": 1}\n')
    case = {"id": "1", "capability": "one", "kind": "minimum", "texts": ["another"], "expect": "Positive"}
    (tmp_path / "case.jsonl").write_text(json.dumps(case))
    evidence.record(live, [["a film"]], tmp_path / "record")
    missing = "record: holds no answers to these {} texts: record it again, on the policy's data (lorasent record)"
    for policy, message in {
        '[quality]\n[data]\ntest = "embedded:test"\nsample = 20': missing.format(20),
        '[behaviour]\ncases = "case.jsonl"': missing.format(1),
        '[cost]\n[data]\ntest = "one.jsonl"': "cost: recorded evidence has no model to measure; "
        "give an adapter as baseline, or remove [cost]",
    }.items():
        (tmp_path / "gate.toml").write_text(policy)
        done = lorasent("gate", small_adapter, "--baseline", "record")
        assert done.returncode == 4
        assert f"(not-judged): {message} " in unwrapped(done)
    (tmp_path / "gate.toml").write_text('[golden]\npredictions = "x.json"')
    assert lorasent("gate", small_adapter, "--baseline", "record").returncode == 0


@pytest.mark.slow
def test_a_verdict_asks_no_hub_for_its_data(lorasent, small_adapter, policy, monkeypatch):
    """Exit 4, and what to do; whatever else is asked online is refused by the suite's own socket guard."""
    monkeypatch.setattr("datasets.load_dataset", lambda *_, **__: pytest.fail("the hub was asked"))
    done = lorasent("gate", small_adapter, "--baseline", small_adapter, "--policy", policy, "--data", "no-one/nothing:test")
    assert done.returncode == 4
    assert "fetch the data once with lorasent evaluate ADAPTER --data no-one/nothing:test" in unwrapped(done)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "turns on no check: add [integrity], [quality]"),
        ("[quality]\nmargin = 0.1", "[quality] needs data: add [data]"),
        ("[quality]\nmargin = 2", "quality.margin = 2: should be"),
        ("[quality]\ncolour = 1\n[data]\ntest = 'x'", "unknown key quality.colour; allowed here: metric, margin"),
        (
            "[integrity]\nmay_change = ['data', 'lora.rr', 'loras', 'base.labels']",
            'should be "lora", "lora.r" and the like, not lora.rr, loras, base.labels. Tables and keys that may change: base: ',
        ),
        ("[", "not valid TOML"),
        (None, "the policy cannot be read"),
    ],
    ids=["no check", "no data", "out of bounds", "unknown key", "unknown change", "not TOML", "no file"],
)
def test_a_policy_that_cannot_be_used_is_one_line(lorasent, small_adapter, tmp_path, content, message):
    """Exit 2, before anything is loaded."""
    if content is not None:
        (tmp_path / "gate.toml").write_text(content)
    done = lorasent("gate", small_adapter, "--baseline", small_adapter)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert message in line


@pytest.mark.slow
def test_recorded_evidence_serves_as_a_baseline(lorasent, small_adapter, retrained, policy, tmp_path):
    """What a live baseline gives, its recorded answers give, to the last figure, on the checks that need no model of it."""
    policy.write_text(POLICY.replace("[cost]", ""))
    assert lorasent("record", small_adapter, "--policy", policy, "--out", "base.safetensors").returncode == 0
    live, recorded = (
        json.loads(lorasent("gate", retrained, "--baseline", path, "--policy", policy, "--json").stdout)
        for path in (small_adapter, tmp_path / "base.safetensors")
    )
    assert live["outcome"] == recorded["outcome"]
    sampled = [
        [(one["check"], one["outcome"], one["figures"]) for one in said["findings"] if not one["check"].startswith("integrity")]
        for said in (live, recorded)
    ]
    assert sampled[0] == sampled[1] != []
    done = lorasent("gate", retrained, "--baseline", "base.safetensors", "--policy", policy, "--data", "embedded:train")
    assert done.returncode == 4
    assert "holds no answers to these" in unwrapped(done)
    again = lorasent("record", small_adapter, "--policy", policy, "--out", "base.safetensors")
    assert (again.returncode, "exists already" in again.stderr) == (2, True)


@pytest.mark.slow
def test_a_repeated_verdict_asks_no_model(small_adapter, retrained, policy, monkeypatch):
    """Everything comes out of the cache; without a cache folder nothing is kept."""
    first = judge(retrained, [small_adapter], Policy.read(policy))
    with monkeypatch.context() as patch:
        patch.setattr("lorasent.scoring.scorer.load", lambda *_: pytest.fail("a model was loaded"))
        patch.setattr("lorasent.adapter.directory.load", lambda *_: pytest.fail("a model was loaded"))
        assert judge(retrained, [small_adapter], Policy.read(policy)) == first


@pytest.mark.slow
def test_a_repeated_verdict_imports_no_torch(lorasent, small_adapter, retrained, policy, tmp_path):
    """With all evidence cached, a fresh process judges every family and writes the page without it."""
    asked = ["gate", retrained, "--baseline", small_adapter, "--policy", policy, "--report", tmp_path / "page.html"]
    said = lorasent(*asked).stdout
    (tmp_path / "page.html").unlink()
    assert imported(COMMAND_LINE, *asked) & (HEAVY | {"scipy.stats"}) == set()
    assert "behaviour::triggers" in (tmp_path / "page.html").read_text().replace("<wbr>", "")
    assert lorasent(*asked).stdout == said


FILE_FAULTS = {
    "no weights": lambda path: (path / "adapter_model.safetensors").unlink(),
    "weights of other bytes": lambda path: (path / "adapter_model.safetensors").write_bytes(b"junk"),
    "another alpha": lambda path: edit_json(path / "adapter_config.json", lora_alpha=64),
    "no manifest": lambda path: (path / "lorasent.json").unlink(),
    "a pickle": lambda path: (path / "adapter_model.bin").write_bytes(b"junk"),
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FILE_FAULTS)
def test_faulty_files_are_blocked_before_torch_is_imported(small_adapter, policy, tmp_path, fault):
    """Nothing is cached, and nothing is needed: what the files themselves show is found without a model."""
    broken = shutil.copytree(small_adapter, tmp_path / "broken")
    FILE_FAULTS[fault](broken)
    asked = ["gate", broken, "--baseline", small_adapter, "--policy", policy, "--report", tmp_path / "page.html"]
    assert imported(COMMAND_LINE, *asked) & HEAVY == set()
    assert '<header class="verdict BLOCK">' in (tmp_path / "page.html").read_text()


@pytest.mark.slow
def test_a_bank_separates_retraining_noise(small_adapter, retrained, another, policy):
    """With several baselines the candidate is held to what one more retrain would give."""
    verdict = judge(retrained, [small_adapter, another], Policy.read(policy))
    checks = {finding.check: finding for finding in verdict.findings}
    assert checks["quality::retraining"].outcome is Outcome.PASS
    assert "retraining alone" not in checks["quality::accuracy"].message
    assert set(verdict.evidence) == {"candidate", str(small_adapter), str(another), "data"}


@pytest.mark.slow
@pytest.mark.parametrize("guise", ["itself", "another header", "other names", "a line feed"])
def test_the_same_weights_are_no_second_retrain(small_adapter, retrained, another, tmp_path, guise):
    """Nor is the candidate's own: by the numbers, whatever the files around them are; another retrain is one."""

    def disguised(adapter, folder):
        copy = shutil.copytree(adapter, folder)
        tensors, weights = load_file(copy / WEIGHTS), copy / WEIGHTS
        if guise == "another header":
            save_file(tensors, weights, {"format": "pt", "by": "me"})
        if guise == "other names":
            save_file({f"a.{name}": tensor for name, tensor in tensors.items()}, weights)
        if guise == "a line feed":
            (copy / "adapter_config.json").write_bytes((copy / "adapter_config.json").read_bytes() + b"\n")
        edit_json(copy / MANIFEST, files=snapshot.Snapshot(copy).listed)
        return copy

    twin, own = disguised(another, tmp_path / "twin"), disguised(retrained, tmp_path / "own")
    assert [one for one in judge(retrained, [small_adapter, another], Policy()).findings if one.check == "baseline"] == []
    twice, myself = (judge(retrained, [small_adapter, *others], Policy()).findings[0] for others in ([another, twin], [own]))
    assert twice.message.endswith(f"it is the same adapter as {another}")
    assert myself.message.endswith("it is the candidate")
