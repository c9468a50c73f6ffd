"""Evidence: an answer is computed once and found again under everything that it follows from; a record answers elsewhere."""

import hashlib
import json
import os
import re
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from lorasent import devices, machine
from lorasent.adapter import manifest
from lorasent.errors import AnswersError, EvidenceError
from lorasent.scoring import cache, evidence, progress
from lorasent.scoring.evidence import LiveSubject, RecordedSubject
from lorasent.text import shown

MANIFEST = {
    "schema_version": 1,
    "recipe": {"lora": {"r": 2}},
    "base": {"name": "films/base", "sha256": "b", "revision": None},
    "labels": ["Negative", "Positive"],
    "tokenizer_sha256": "c",
    "probes": {"texts": ["x"], "logits": [[0.0, 1.0]]},
    "files": {},
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The cache folder of the test."""
    monkeypatch.setenv("LORASENT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def adapter(tmp_path):
    """A directory with a manifest and no model."""
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "lorasent.json").write_text(json.dumps(MANIFEST))
    return tmp_path / "adapter"


class Scorer:
    """It keeps its calls; the logits are the texts' lengths."""

    def __init__(self):
        self.calls, self.encoder = [], SimpleNamespace(lengths=lambda texts: np.array([len(text) + 2 for text in texts]))

    def logits(self, texts):
        self.calls.append(list(texts))
        return np.array([[len(text), -len(text)] for text in texts], dtype=np.float32)


def live(adapter, *precision):
    """A subject with a scorer that counts."""
    subject = LiveSubject(adapter, *precision)
    subject.__dict__["scorer"] = Scorer()
    return subject


def metadata(path):
    """What a safetensors file says of itself."""
    with safe_open(path, framework="np") as file:
        return file.metadata()


def test_a_live_subject_has_its_directorys_manifest(adapter):
    """And its name, hash, labels and the current libraries."""
    subject = LiveSubject(adapter)
    assert (subject.path, subject.name, subject.precision) == (adapter, str(adapter), "fp32")
    assert (subject.manifest.content, subject.labels) == (MANIFEST, ("Negative", "Positive"))
    assert subject.identity == manifest.identity(adapter)
    assert subject.libraries == machine.libraries()


def test_an_answer_is_computed_once(adapter):
    """Another subject of the same files finds it in the cache; logits and lengths are the scorer's."""
    first, again = live(adapter), live(adapter)
    for subject in (first, again):
        answers = subject.answer(["good", "a"])
        assert answers.logits.tolist() == [[4, -4], [1, -1]]
        assert answers.lengths.tolist() == [6, 3]
    assert (first.scorer.calls, again.scorer.calls) == ([["good", "a"]], [])


def test_whoever_listens_hears_what_is_answered(adapter):
    """How many texts, by which adapter."""
    heard, subject = [], live(adapter)
    logits = subject.scorer.logits
    subject.scorer.logits = lambda texts: progress.advance(len(texts)) or logits(texts)
    with progress.shown_by(lambda *said: heard.append(said)):
        subject.answer(["good"] * 1000)
    assert heard[-1] == ("answering 1,000 texts: adapter", 1000, 1000)


def test_the_question_names_everything_that_an_answer_depends_on(adapter):
    """The adapter, the texts, the precision and the libraries; the file holds them as metadata."""
    subject = live(adapter, "bf16")
    subject.answer(["good", "a"])
    question = {
        "identity": subject.identity,
        "texts": evidence.texts_sha256(["good", "a"]),
        "precision": "bf16",
        "libraries": machine.libraries(),
    }
    content = metadata(cache.place(question))
    assert {**content, "libraries": json.loads(content["libraries"])} == question


def test_a_change_of_the_question_is_computed(adapter):
    """Other texts, another order, another precision, other libraries."""
    subject = live(adapter)
    for texts in (["a", "b"], ["b", "a"], ["ab"], ["a"]):
        subject.answer(texts)
    subject.precision = "bf16"
    subject.answer(["a"])
    subject.libraries = {"torch": "0"}
    subject.answer(["a"])
    assert len(subject.scorer.calls) == 6


def test_without_a_cache_folder_answers_are_computed_again(adapter, folder, monkeypatch):
    """Nothing is written."""
    monkeypatch.setenv("LORASENT_CACHE", "")
    subject = live(adapter)
    for _ in range(2):
        assert subject.answer(["good"]).lengths.tolist() == [6]
        assert subject.remember("fact", lambda: subject.scorer.calls.append("fact") or [1.5]) == [1.5]
    assert subject.scorer.calls == [["good"], "fact", ["good"], "fact"]
    assert not folder.exists()


def test_a_fact_is_computed_once(adapter):
    """It is cached under the adapter, its name and the libraries; JSON values come back."""
    subject, computed = live(adapter), []
    for _ in range(2):
        assert subject.remember("one", lambda: computed.append(1) or {"a": [1.5, None]}) == {"a": [1.5, None]}
    assert computed == [1]
    assert subject.remember("two", lambda: "other") == "other"
    question = {"identity": subject.identity, "fact": "one", "libraries": machine.libraries()}
    content = metadata(cache.place(question))
    assert {**content, "libraries": json.loads(content["libraries"])} == {**question, "answer": '{"a": [1.5, null]}'}


def test_texts_are_hashed_in_their_order_as_json_strings():
    """So that two texts never have the hash of their concatenation."""
    assert evidence.texts_sha256(["a", 'b"']) == hashlib.sha256(rb'"a""b\""').hexdigest()
    assert evidence.texts_sha256([]) == hashlib.sha256().hexdigest()


def test_a_record_answers_the_recorded_texts(adapter, tmp_path):
    """With the adapter's answers and identity; folders on the way to the file are made."""
    subject, out = live(adapter), tmp_path / "new" / "record"
    evidence.record(subject, [["good", "a"], ["bad"]], out)
    found = evidence.subject(str(out))
    assert isinstance(found, RecordedSubject)
    assert (found.path, found.name, found.identity) == (out, str(out), subject.identity)
    assert (found.labels, found.manifest.content, found.libraries) == (("Negative", "Positive"), MANIFEST, machine.libraries())
    for texts in (["good", "a"], ["bad"]):
        recorded, answered = found.answer(texts), subject.answer(texts)
        for one, other in ((recorded.logits, answered.logits), (recorded.lengths, answered.lengths)):
            assert one.tolist() == other.tolist()
            assert one.dtype == other.dtype
    content = metadata(out)
    assert content.keys() == {"identity", "labels", "manifest", "precision", "made_on", "libraries", "machine"}
    assert content["made_on"] == found.made_on == "cpu, fp32"
    assert content["manifest"] == json.dumps(MANIFEST, sort_keys=True)
    assert json.loads(content["machine"]) == machine.features()


def test_a_record_in_another_precision_is_refused(adapter, tmp_path):
    """Logits in bf16 are no baseline for logits in fp32."""
    evidence.record(live(adapter, "bf16"), [["good"]], tmp_path / "record")
    assert evidence.subject(tmp_path / "record", "bf16").precision == "bf16"
    message = (
        f"{tmp_path / 'record'}: recorded in precision bf16, but precision fp32 is required: record it again (lorasent record), "
        "or set data.precision = 'bf16' in the policy"
    )
    with pytest.raises(EvidenceError, match=f"^{re.escape(message)}$"):
        evidence.subject(tmp_path / "record", "fp32")


def test_the_question_names_the_instructions_that_auto_means(adapter, monkeypatch):
    """Of two machines that share a cache, one may multiply in bf16 and the other not."""
    subject = live(adapter, "auto")
    for instructions in ("", "avx512_bf16", ""):
        monkeypatch.setattr(machine, "bf16", lambda found=instructions: found)
        subject.answer(["good"])
    assert len(subject.scorer.calls) == 2


def test_answers_of_another_kind_of_device_are_others(adapter, tmp_path, monkeypatch):
    """The question and the record name the kind where it is not the CPU; two cards of a kind answer alike."""
    monkeypatch.setattr(devices, "available", lambda: ["cuda", "cuda:1", "cpu"])
    subjects = [LiveSubject(adapter, "fp32", device) for device in ("cpu", "cuda", "cuda:1")]
    for subject in subjects:
        subject.__dict__["scorer"] = Scorer()
        subject.answer(["good"])
        subject.remember("fact", lambda: 1)
    assert [len(subject.scorer.calls) for subject in subjects] == [1, 1, 0]
    assert [subject._origin.get("device") for subject in subjects] == [None, "cuda", "cuda"]
    assert subjects[2].at("bf16").device == "cuda:1"
    evidence.record(subjects[1], [["good"]], tmp_path / "record")
    assert RecordedSubject(tmp_path / "record").made_on == "cuda, fp32"


def test_what_auto_means_on_a_gpu_is_part_of_the_question(adapter, monkeypatch):
    """Of two cards, one may have bf16 and the other only fp16: they do not share answers, and records name the format."""
    monkeypatch.setattr(devices, "available", lambda: ["cuda", "cpu"])
    found = []
    for number_format in ("bf16", "fp16", "bf16"):
        monkeypatch.setattr("lorasent.scoring.scorer.number_format", lambda *_, known=number_format: known)
        subject = LiveSubject(adapter, "auto", "cuda")
        subject.__dict__["scorer"] = Scorer()
        subject.answer(["good"])
        found.append((subject.made_on, len(subject.scorer.calls)))
    assert found == [("cuda, bf16", 1), ("cuda, fp16", 1), ("cuda, bf16", 0)]


def test_a_record_of_an_older_lorasent_was_made_on_the_cpu(tmp_path):
    """It does not name a device."""
    assert RecordedSubject(holding(tmp_path / "record")).made_on == "cpu, fp32"


def test_a_record_does_not_answer_other_texts(adapter, tmp_path):
    """The error names the number of texts, and what to do."""
    evidence.record(live(adapter), [["good"]], tmp_path / "record")
    message = f"{tmp_path / 'record'}: holds no answers to these 2 texts: record it again, on the policy's data (lorasent record)"
    with pytest.raises(EvidenceError, match=f"^{re.escape(message)}$"):
        RecordedSubject(tmp_path / "record").answer(["bad", "good"])


@pytest.mark.parametrize("lost", ["identity", "labels", "manifest", "precision", "libraries", None])
def test_other_safetensors_are_no_record(adapter, tmp_path, lost):
    """Each part of the metadata is required; a file of weights has none of them."""
    path = tmp_path / "record"
    evidence.record(live(adapter), [["good"]], path)
    content = {key: value for key, value in metadata(path).items() if key != lost} if lost else None
    save_file({"x": np.zeros(1)}, path, content)
    message = f"{path}: not recorded evidence; lorasent record writes it"
    with pytest.raises(EvidenceError, match=f"^{re.escape(message)}$"):
        RecordedSubject(path)


@pytest.mark.parametrize(("part", "junk"), [("manifest", "5"), ("labels", "5"), ("libraries", "[1]")])
def test_metadata_of_another_type_is_refused(adapter, tmp_path, part, junk):
    """JSON, but no table or no list."""
    evidence.record(live(adapter), [["good"]], tmp_path / "record")
    content = {**metadata(tmp_path / "record"), part: junk}
    save_file({"x": np.zeros(1)}, tmp_path / "record", content)
    with pytest.raises(EvidenceError, match=r"record: not recorded evidence"):
        RecordedSubject(tmp_path / "record")


KEY = evidence.texts_sha256(["good"])


def holding(path, logits=((4, -4),), lengths=(6,), content=MANIFEST, **changes):
    """A record of one text's answers, some of it otherwise than `record` writes it."""
    given = {"logits": (logits, np.float32), "lengths": (lengths, np.int64)}
    tensors = {name: value if isinstance(value, np.ndarray) else np.array(value, kind) for name, (value, kind) in given.items()}
    tensors = {f"{KEY}.{name}": value for name, value in tensors.items() if value.size}
    parts = {"identity": "i", "labels": content["labels"], "manifest": content, "precision": "fp32", "libraries": {}, **changes}
    save_file(tensors, path, {name: value if isinstance(value, str) else json.dumps(value) for name, value in parts.items()})
    return path


def test_a_file_as_record_writes_it_is_evidence(tmp_path):
    """The valid case of the invalid ones below."""
    found = RecordedSubject(holding(tmp_path / "record"))
    assert found.answer(["good"]).logits.tolist() == [[4, -4]]


UNFIT = {
    "three columns": {"logits": [[1, 2, 3]]},
    "one column": {"logits": [[1]]},
    "one dimension": {"logits": [1, 2]},
    "fewer rows": {"logits": [[1, 2]], "lengths": [1, 2]},
    "integers": {"logits": np.ones((1, 2), np.int64)},
    "double precision": {"logits": np.ones((1, 2), np.float64)},
    "lengths of another type": {"lengths": np.ones(1, np.float32)},
    "no lengths": {"lengths": np.ones(0, np.int64)},
    "no logits": {"logits": np.ones((0, 2), np.float32)},
    "lengths of two dimensions": {"lengths": [[6]]},
    "lengths below 0": {"lengths": [-1]},
    "not a number": {"logits": [[np.nan, 0]]},
    "infinity": {"logits": [[np.inf, 0]]},
    "labels of another count": {"labels": ["Negative", "Neutral", "Positive"]},
    "one label twice": {"labels": ["Positive", "Positive"]},
    "labels that are numbers": {"labels": [0, 1]},
    "a manifest without a recipe": {"manifest": {**MANIFEST, "recipe": None}},
    "a manifest of other labels": {"manifest": {**MANIFEST, "labels": ["Positive", "Negative"]}},
    "libraries that are no texts": {"libraries": {"torch": 2}},
    "deep nesting": {"libraries": "[" * 100_000},
}


@pytest.mark.parametrize("fault", UNFIT)
def test_invalid_evidence_is_refused_when_it_is_opened(tmp_path, fault):
    """Before any question: one error that names the file, and the fault of an answer."""
    path = holding(tmp_path / "record", **UNFIT[fault])
    with pytest.raises(
        EvidenceError, match=rf"^{path}: (not recorded evidence; |recorded answers .*required|recorded answers .*(hold|expected) )"
    ):
        RecordedSubject(path)


@pytest.mark.parametrize("kind", ["BF16", "F8_E4M3", "U64", "C64", "BOOL"])
def test_evidence_of_another_number_type_is_refused(tmp_path, kind):
    """Also where NumPy has no such type."""
    size = {"BF16": 2, "F8_E4M3": 1, "U64": 8, "C64": 8, "BOOL": 1}[kind]
    tensor = {"dtype": kind, "shape": [1, 2], "data_offsets": [0, 2 * size]}
    path = holding(tmp_path / "record")
    content = json.dumps({f"{KEY}.logits": tensor, "__metadata__": metadata(path)}).encode()
    path.write_bytes(len(content).to_bytes(8, "little") + content + bytes(2 * size))
    with pytest.raises(EvidenceError, match=rf"^{path}: "):
        RecordedSubject(path)


def test_evidence_with_more_answers_than_texts_is_refused(tmp_path):
    """There must be as many answers as texts."""
    path = holding(tmp_path / "record", logits=[[1, 2], [3, 4]], lengths=[5, 6])
    with pytest.raises(EvidenceError, match=r"holds no answers to these 1 texts"):
        RecordedSubject(path).answer(["good"])


def test_answers_that_are_not_finite_are_not_recorded(adapter, tmp_path):
    """The error names the adapter, and nothing is written."""
    subject = live(adapter)
    subject.scorer.logits = lambda _: np.array([[np.nan, 1.0]], np.float32)
    with pytest.raises(AnswersError, match=rf"^{adapter}: answers to 1 of 1 texts are not finite numbers$"):
        evidence.record(subject, [["good"]], tmp_path / "record")
    assert not (tmp_path / "record").exists()


def test_cached_answers_that_are_not_finite_name_the_adapter(adapter, folder):
    """As those that were computed do."""
    live(adapter).answer(["good"])
    (path,) = entries(folder)
    save_file({"logits": np.full((1, 2), np.nan, np.float32), "lengths": np.ones(1, np.int64)}, path, metadata(path))
    with pytest.raises(AnswersError, match=rf"^{adapter}: answers to 1 of 1 texts are not finite numbers$") as found:
        live(adapter).answer(["good"])
    assert found.value.subject == str(adapter)


def test_a_text_without_tokens_may_be_recorded(tmp_path):
    """Its length is 0."""
    assert RecordedSubject(holding(tmp_path / "record", lengths=(0,))).answer(["good"]).lengths.tolist() == [0]


@pytest.mark.parametrize("name", [f"{KEY}.others", "strange", "strange.logits.more"])
def test_tensors_under_another_name_are_refused(tmp_path, name):
    """The message shows what they are called, and how answers are recorded."""
    key, path = name.partition(".")[0], tmp_path / "record"
    save_file({name: np.ones((1, 2), np.float32)}, path, metadata(holding(path)))
    message = (
        f"{path}: recorded answers {shown(key, 12)}: expected float32 logits (N, 2), all finite, and int64 lengths (N,), under "
        "the sha256 of N texts; record it again (lorasent record)"
    )
    with pytest.raises(EvidenceError, match=f"^{re.escape(message)}$"):
        RecordedSubject(path)


def test_a_damaged_cache_file_is_computed_and_written_again(adapter, folder):
    """Answers and facts alike."""
    first, again = live(adapter), live(adapter)
    first.answer(["good"])
    first.remember("fact", lambda: 7)
    for path in folder.rglob("*.safetensors"):
        path.write_bytes(b"")
    assert again.answer(["good"]).lengths.tolist() == [6]
    assert again.remember("fact", lambda: 8) == 8
    assert live(adapter).remember("fact", lambda: 9) == 8


CACHES = {
    "a file": "{}/adapter/lorasent.json",
    "below a device": "/dev/null/cache",
    "a name too long": "/" + "x" * 5000,
    "in nobody's home": "~no-such-user-here/cache",
    "a link to itself": "{}/loop",
}


@pytest.mark.parametrize("place", CACHES)
def test_a_cache_that_cannot_be_used_does_not_prevent_an_answer(adapter, tmp_path, monkeypatch, place):
    """Nor a fact."""
    (tmp_path / "loop").symlink_to("loop")
    monkeypatch.setenv("LORASENT_CACHE", CACHES[place].format(tmp_path))
    assert live(adapter).answer(["good"]).lengths.tolist() == [6]
    assert live(adapter).remember("fact", lambda: 8) == 8


def test_without_a_home_nothing_is_cached(adapter, monkeypatch):
    """A container's user may have neither a home nor an entry among the users; the answer is computed."""
    monkeypatch.delenv("LORASENT_CACHE")
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", lambda number: {}[number])
    assert cache.place({"a": 1}) is None
    assert live(adapter).answer(["good"]).lengths.tolist() == [6]


def entries(folder):
    """The files of a cache."""
    return list(folder.rglob("*.safetensors"))


STRANGE = {
    "another's answers": lambda path, other: path.write_bytes(other.read_bytes()),
    "other tensors": lambda path, _: save_file({"x": np.zeros(1)}, path, metadata(path)),
    "too few rows": lambda path, _: save_file(
        {"logits": np.zeros((1, 2), np.float32), "lengths": np.zeros(1, np.int64)}, path, metadata(path)
    ),
    "too many labels": lambda path, _: save_file(
        {"logits": np.zeros((2, 3), np.float32), "lengths": np.zeros(2, np.int64)}, path, metadata(path)
    ),
    "no metadata": lambda path, _: save_file({"logits": np.zeros((2, 2), np.float32), "lengths": np.zeros(2, np.int64)}, path),
    "a FIFO": lambda path, _: (path.unlink(), os.mkfifo(path)),
    "a folder": lambda path, _: (path.unlink(), path.mkdir()),
    "a link to nothing": lambda path, _: (path.unlink(), path.symlink_to("nowhere")),
}


@pytest.mark.parametrize("strange", STRANGE)
def test_a_cache_file_that_does_not_answer_the_question_is_computed(adapter, folder, strange):
    """Whatever lies under the question's hash, nothing hangs."""
    live(adapter).answer(["a", "b"])
    (other,) = entries(folder)
    live(adapter).answer(["good", "a"])
    (path,) = set(entries(folder)) - {other}
    STRANGE[strange](path, other)
    for _ in range(2):
        assert live(adapter).answer(["good", "a"]).logits.tolist() == [[4, -4], [1, -1]]


@pytest.mark.parametrize("content", [{"answer": "{"}, {}, {"fact": "another", "answer": "7"}], ids=["broken", "none", "another"])
def test_a_fact_that_cannot_be_read_is_computed(adapter, folder, content):
    """Broken JSON, no answer, or the answer to another question."""
    live(adapter).remember("fact", lambda: 5)
    (path,) = entries(folder)
    kept = {key: value for key, value in metadata(path).items() if key != "answer"}
    save_file({"nothing": np.zeros(0)}, path, kept | content)
    assert live(adapter).remember("fact", lambda: 8) == 8


def test_an_edited_base_is_another_question(adapter, tmp_path):
    """The base's weights are pinned, but its config.json says how they are used, and may be edited."""
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "model.safetensors").write_bytes(b"weights")
    sha256 = hashlib.sha256(b"weights").hexdigest()
    content = {**MANIFEST, "base": {**MANIFEST["base"], "name": str(tmp_path / "base"), "sha256": sha256}}
    (adapter / "lorasent.json").write_text(json.dumps(content))
    subject = live(adapter)
    for content in ('{"num_attention_heads": 12}', '{"num_attention_heads": 6}', '{"num_attention_heads": 12}'):
        (tmp_path / "base" / "config.json").write_text(content)
        subject.answer(["good"])
    assert len(subject.scorer.calls) == 2


def test_a_record_that_cannot_be_read_is_one_error_with_its_path(tmp_path):
    """Whatever it holds, and where it is missing."""
    (tmp_path / "record").write_text("broken")
    for name in ("record", "none"):
        with pytest.raises(EvidenceError, match=rf"^{tmp_path / name}: cannot be read as recorded evidence: \w"):
            RecordedSubject(tmp_path / name)


def test_a_subject_is_a_directory_or_a_file(adapter):
    """A directory answers in the required precision."""
    found = evidence.subject(str(adapter), "bf16")
    assert isinstance(found, LiveSubject)
    assert (found.path, found.precision) == (adapter, "bf16")
    assert evidence.subject(adapter).precision == "fp32"
    assert (live(adapter).at("auto").path, live(adapter).at("auto").precision) == (adapter, "auto")
