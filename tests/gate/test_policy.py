"""Policies: what is read, and what is refused in one line."""

import re

import pytest

from lorasent.errors import LorasentError, PolicyError
from lorasent.gate.policy import Policy
from lorasent.gate.sections import Data, Integrity
from lorasent.gate.verdict import questions


def written(tmp_path, text):
    path = tmp_path / "gate.toml"
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "turns on no check: add [integrity], [quality], [behaviour], [calibration], [golden] or [cost]"),
        ("[data]\ntest = 'x'\n[verdict]\nalpha = 0.1", "turns on no check: add [integrity], [quality], [behaviour], "),
        ("[quality]", "[quality] needs data: add [data] with test = a source of labelled reviews"),
        ("[cost]\n[calibration]", "[calibration] needs data: add [data] with test = a source of labelled reviews"),
        ("[cost]", "[cost] needs data: add [data] with test = a source of labelled reviews"),
        ("[", "not valid TOML: "),
        ("[quality]\nmargin = 2", "quality.margin = 2: should be less than 1"),
    ],
)
def test_a_policy_that_cannot_be_used_says_why(tmp_path, text, message):
    """The file, the table and what to add."""
    path = written(tmp_path, text)
    with pytest.raises(PolicyError, match=f"^{re.escape(f'{path}: {message}')}"):
        Policy.read(path)


def test_a_policy_that_cannot_be_read_says_why(tmp_path):
    """A file that is missing, and one that is not UTF-8."""
    reason = "No such file or directory; lorasent init writes one, --policy names another"
    message = f"{tmp_path / 'none.toml'}: the policy cannot be read: {reason}"
    with pytest.raises(PolicyError, match=f"^{re.escape(message)}$"):
        Policy.read(tmp_path / "none.toml")
    (tmp_path / "gate.toml").write_bytes(b"\xff")
    with pytest.raises(PolicyError, match=r"gate.toml: not valid TOML: 'utf-8' codec"):
        Policy.read(tmp_path / "gate.toml")


def test_a_policy_is_text_as_people_save_it(tmp_path):
    """With a byte-order mark and CR LF; --skip-empty sets the key of a policy that has data."""
    (tmp_path / "gate.toml").write_bytes(b"\xef\xbb\xbf[quality]\r\n[data]\r\ntest = 'x'\r\n")
    assert Policy.read(tmp_path / "gate.toml").data == Data(test="x")
    assert Policy.read(tmp_path / "gate.toml", skip_empty=True).data == Data(test="x", skip_empty=True)
    assert Policy.read(written(tmp_path, "[behaviour]"), skip_empty=True).data is None


@pytest.mark.parametrize("family", ["integrity", "golden", "behaviour"])
def test_some_families_need_no_data(tmp_path, family):
    """Each alone is a policy."""
    content = "predictions = 'x'" if family == "golden" else ""
    assert getattr(Policy.read(written(tmp_path, f"[{family}]\n{content}")), family) is not None


def test_the_source_of_the_data_can_be_replaced(tmp_path):
    """The rest of the table stays; without a table there is one."""
    policy = Policy.read(written(tmp_path, "[quality]\n[data]\ntest = 'é'\nsample = 10\nseed = 3"))
    assert policy.data == Data(test="é", sample=10, seed=3)
    assert Policy.read(tmp_path / "gate.toml", "y").data == Data(test="y", sample=10, seed=3)
    assert Policy.read(str(written(tmp_path, "[quality]")), "y").data == Data(test="y")
    with pytest.raises(PolicyError, match=r"gate.toml: data"):
        Policy.read(written(tmp_path, "data = 'x'\n[quality]"), "y")


@pytest.mark.parametrize(
    "limit",
    [
        "[quality]\nmargin = 1.0",
        "[quality]\nmargin = nan",
        "[quality]\nslice_margin = 1",
        "[quality]\nmin = 0",
        '[quality]\nslices = ["a", "a"]',
        "[behaviour]\nmargin = 1.0",
        "[behaviour]\ntolerance = 1.0",
        "[golden]\npredictions = 'x'\nmax_changed = 1",
        "[calibration]\nmax_brier_increase = inf",
        "[calibration]\nmax_brier_increase = 1",
        "[calibration]\nmax_log_loss_increase = inf",
        "[calibration]\nmax_log_loss_increase = 1e300",
        "[cost]\nmax_flops_ratio = inf",
        "[cost]\nmax_flops_ratio = 1e9",
        "[cost]\nmax_bytes_ratio = inf",
        "[cost]\nmax_latency_ratio = inf",
        "[verdict]\nalpha = 1e-9",
        "[integrity]\ntrainable_parameters = 1.5",
        "[integrity]\ntrainable_parameters = inf",
    ],
    ids=lambda limit: limit.partition("\n")[2],
)
def test_a_limit_that_limits_nothing_is_refused(tmp_path, limit):
    """One line that names the key."""
    (tmp_path / "gate.toml").write_text(f"{limit}\n")
    key = f"{limit[1:].partition(']')[0]}.{limit.splitlines()[-1].partition(' =')[0]}"
    with pytest.raises(PolicyError, match=rf"gate.toml: {key}.* should be"):
        Policy.read(tmp_path / "gate.toml", "films.jsonl")


@pytest.mark.parametrize(
    "entry",
    [
        "lora",
        "lora.r",
        "data",
        "data.train",
        "base",
        "base.model",
        "encoding.tokenizer",
        "training.epochs",
        "augmentation",
        "augmentation.typos",
    ],
)
def test_what_may_change_can_be_declared(entry):
    """Tables and keys of a recipe, and what the integrity checks compare beside them."""
    assert Integrity(may_change=[entry]).may_change == (entry,)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("", r"gate\.toml: the policy cannot be read: is larger than the 1,048,576 bytes"),
        ("behaviour]\ncases = ", r"without-end\.jsonl: behavioural cases cannot be read: is larger than the"),
        ("golden]\npredictions = ", r"without-end\.jsonl: cannot be read as a golden: is larger than the"),
    ],
    ids=["the policy", "its cases", "its golden"],
)
def test_what_a_policy_names_is_not_read_without_end(tmp_path, monkeypatch, table, message):
    """A link to a device filled the memory: an internal error, where the policy is to be refused."""
    monkeypatch.setattr("lorasent.gate.behaviour.LARGEST_FILE", 2**20)
    monkeypatch.setattr("lorasent.golden.MAX_BYTES", 2**20)
    without_end = tmp_path / ("without-end.jsonl" if table else "gate.toml")
    without_end.symlink_to("/dev/zero")
    if table:
        (tmp_path / "gate.toml").write_text(f"[{table}'{without_end}'\n")
    with pytest.raises(LorasentError, match=message):
        questions(Policy.read(tmp_path / "gate.toml"), ["Negative", "Positive"])
