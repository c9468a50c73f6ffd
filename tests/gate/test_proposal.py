"""Proposals: whatever is found, the file can be read as a policy, and its margin is one that the reviews can resolve."""

import math
import re
import tomllib

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lorasent.errors import PolicyError
from lorasent.gate import proposal
from lorasent.gate.facts import Facts
from lorasent.gate.finding import settle
from lorasent.gate.policy import Policy
from lorasent.gate.quality import Quality
from lorasent.gate.sections import Data
from lorasent.statistics import power
from lorasent.statistics.estimates import PairedAccuracy
from tests.gate.answers import answers, claims_of, many_claims, reviews

FILMS = {"Negative": 200, "Positive": 200}
HOSTILE = 'a"\\\x7f\x1b[2J\r\n[cost]\u2028é🎬'
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


def facts(counts=FILMS, **found):
    """Facts about a file of reviews."""
    return Facts(**{"data": Data(test="films.csv"), "counts": counts, "labels_of": "the baseline's", **found})


def written(folder, found):
    """The policy that is proposed for facts, as it is read."""
    proposal.write(found, folder / "gate.toml")
    return Policy.read(folder / "gate.toml")


@pytest.mark.slow
@settings(max_examples=25)
@given(reviews=st.integers(0, 30_000))
def test_the_margin_is_the_smallest_that_is_resolved(reviews):
    """An equal candidate is passed and some drop is blocked, both with 80 % power; a smaller margin on the list would not do."""
    found = proposal.resolution(reviews)
    margins = [margin for margin in proposal.MARGINS if found is None or margin <= found.margin]
    resolved = [
        reviews > 0
        and power.power(reviews, 0.0, 0.06, margin) >= 0.8
        and power.detectable(reviews, 0.06, 0.025, margin=margin) < math.inf
        for margin in margins
    ]
    assert resolved == [False] * (len(margins) - (found is not None)) + [True] * (found is not None)
    if found:
        assert power.power(reviews, found.blocked, 0.06, found.margin, 0.025) >= 0.8
        assert power.power(reviews, found.blocked - 2e-6, 0.06, found.margin, 0.025) < 0.8


@pytest.mark.parametrize("reviews", [60, 400, 3000])
def test_drawn_verdicts_are_as_often_right_as_the_policy_says(reviews):
    """Of drawn pairs at the drop that is told, the metric blocks 4 in 5; of pairs without a drop, it passes as many."""
    random, (margin, blocked) = np.random.default_rng(0), proposal.resolution(reviews)

    def drawn(damage):
        shares = [(max(0.06, damage) + damage) / 2, (max(0.06, damage) - damage) / 2]
        tables = random.multinomial(reviews, [*shares, 1 - sum(shares)], 1000)
        return [PairedAccuracy(int(worse), int(better), reviews) for worse, better, _ in tables]

    assert np.mean([table.p_above(margin) <= 0.05 / 2 for table in drawn(blocked)]) == pytest.approx(0.8, abs=0.05)
    assert np.mean([table.p_below(margin) <= 0.05 for table in drawn(0.0)]) >= 0.8 - 0.05


def test_the_drop_is_the_one_that_a_verdict_tells():
    """A verdict on as many reviews, as discordant as assumed and with other checks beside, tells the same drop."""
    margin, blocked = proposal.resolution(400)
    claim = claims_of(Quality(margin=margin), answers(range(12), n=400), answers(range(12, 24), n=400), data=reviews(400))[
        "quality::accuracy"
    ]
    verdict = settle([claim, *many_claims(1)], 0.05)[0]
    assert verdict.figures["blockable"] == pytest.approx(blocked, abs=1e-6)


@pytest.mark.parametrize("margin", [0.02, 0.05, 0.4])
def test_the_number_of_reviews_that_is_asked_for_resolves_the_margin(margin):
    """As many reviews get the margin proposed, and a tenth fewer a wider one, or none."""
    enough = proposal.needed(margin)
    fewer = proposal.resolution(enough * 9 // 10)
    assert proposal.resolution(enough).margin == margin
    assert fewer is None or fewer.margin > margin


@pytest.mark.slow
@settings(max_examples=25)
@given(
    counts=st.dictionaries(TEXTS, st.integers(0, 5000), max_size=30),
    source=TEXTS.map("films-{}".format),
    column=TEXTS,
    slices=st.lists(TEXTS, unique=True, max_size=5),
    differences=st.dictionaries(
        st.sampled_from(["lora.r", "data.train", "base.model", "augmentation.typos"]), st.tuples(TEXTS, TEXTS)
    ),
    flags=st.tuples(st.booleans(), st.sampled_from([None, False, True]), st.sampled_from([None, "left", "right"])),
    remarks=st.lists(TEXTS, max_size=3),
)
@example(
    counts={HOSTILE: 300},
    source=HOSTILE,
    column=HOSTILE,
    slices=[HOSTILE],
    differences={"lora.r": (HOSTILE, HOSTILE)},
    flags=(True, True, None),
    remarks=[HOSTILE],
)
def test_any_facts_make_a_policy(tmp_path_factory, counts, source, column, slices, differences, flags, remarks):
    """Whatever strangers called their labels, columns and files: the policy is read, and names them as they are."""
    english, is_proven, side = flags
    data = Data(test=source, label_column=column, skip_empty=True)
    policy = written(
        tmp_path_factory.mktemp("proposed"),
        facts(
            counts,
            data=data,
            slices=tuple(slices),
            english=english,
            is_proven=is_proven,
            truncation_side=side,
            differences=differences,
            remarks=tuple(remarks),
        ),
    )
    resolved = proposal.resolution(sum(counts.values()))
    assert policy.data == data
    assert policy.integrity.truncation_side == side
    assert policy.integrity.manifest == ("required" if is_proven else "optional")
    assert (policy.quality is None) == (policy.calibration is None) == (resolved is None)
    if resolved:
        assert (policy.quality.margin, policy.quality.slices) == (resolved.margin, tuple(slices))


@pytest.mark.parametrize(
    ("counts", "english", "asked"),
    [
        (FILMS, True, True),
        ({"pos": 200, "NEG": 200}, True, True),
        (FILMS, False, False),
        ({"negative": 200, "neutral": 200, "positive": 200}, True, False),
    ],
    ids=["poles", "poles by other names", "German", "three labels"],
)
def test_behaviours_are_asked_where_they_apply(tmp_path, counts, english, asked):
    """Of English reviews of two poles; elsewhere triggers alone, and a comment says why."""
    policy = written(tmp_path, facts(counts, english=english))
    assert policy.behaviour.cases == ("embedded" if asked else False)
    assert ("# The embedded cases " in (tmp_path / "gate.toml").read_text()) == (not asked)


@pytest.mark.parametrize("table", ["cost", "quality", "calibration"])
def test_a_table_that_is_a_comment_can_be_turned_on(tmp_path, table):
    """Without the marks of a comment its lines are a valid table."""
    labels = {"negative": 3, "positive": 3}
    written(tmp_path, facts(labels, english=False))
    text = (tmp_path / "gate.toml").read_text()
    assert table not in tomllib.loads(text)
    (off,) = [part for part in text.split("\n\n") if f"# [{table}]" in part]
    lines = off[off.index(f"# [{table}]") :].replace("\n# ", "\n").removeprefix("# ")
    (tmp_path / "gate.toml").write_text(text + lines)
    assert getattr(Policy.read(tmp_path / "gate.toml"), table) is not None


def test_differences_are_named_and_can_be_allowed(tmp_path):
    """Each with both values; the line that allows them is a comment, because a difference may be a mistake."""
    differences = {"lora.r": (8, 16), "data.train": ("a\x1b.csv", "b.csv")}
    policy = written(tmp_path, facts(differences=differences))
    assert policy.integrity.may_change == ()
    text = (tmp_path / "gate.toml").read_text()
    assert "# lora.r: 8 -> 16\n# data.train: a\\x1b.csv -> b.csv\n" in text
    (tmp_path / "gate.toml").write_text(text.replace("# may_change", "may_change"))
    assert Policy.read(tmp_path / "gate.toml").integrity.may_change == ("lora.r", "data.train")


def test_few_reviews_are_said_to_be_few():
    """A margin that is wide, a label that is rare, and reviews that decide nothing."""
    said = "\n".join(proposal.remarks(facts({"Negative": 60, "Positive": 3})))
    assert "Margin: 15 points. With 63 reviews a drop of " in said
    assert "That is a wide margin: smaller drops may ship. A margin of 5 points takes 197 reviews." in said
    assert "no candidate passes until there are 5 reviews of every label: there are 3 Positive." in said
    said = "\n".join(proposal.remarks(facts({"Negative": 5, "Positive": 5})))
    assert "Margin: none. 10 reviews are too few" in said
    assert "[quality] and [calibration] are off" in said
    assert "few" not in "\n".join(proposal.remarks(facts({"Negative": 2000, "Positive": 2000})))


def test_many_reviews_get_a_sample_suggested(tmp_path):
    """As a comment that can be turned on."""
    written(tmp_path, facts({"Negative": 20_000, "Positive": 20_000}))
    text = (tmp_path / "gate.toml").read_text()
    (tmp_path / "gate.toml").write_text(text.replace("# sample", "sample"))
    assert Policy.read(tmp_path / "gate.toml").data.sample == 2000


def test_an_existing_file_is_kept(tmp_path):
    """It is an error, and so is a dangling link."""
    (tmp_path / "gate.toml").write_text("mine")
    (tmp_path / "link.toml").symlink_to("nowhere")
    for name in ("gate.toml", "link.toml"):
        with pytest.raises(PolicyError, match=rf"^{re.escape(str(tmp_path / name))}: exists already; choose another --out"):
            proposal.write(facts(), tmp_path / name)
    assert (tmp_path / "gate.toml").read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {"gate.toml", "link.toml"}


def test_what_cannot_be_a_policy_is_not_left_behind(tmp_path, monkeypatch):
    """Neither under its name nor beside it."""
    with pytest.raises(PolicyError, match=r"^caf\\udce9\.csv: not UTF-8, so no policy can name it; rename it$"):
        proposal.write(facts(data=Data(test="caf\udce9.csv")), tmp_path / "gate.toml")
    monkeypatch.setattr(proposal, "text", lambda _: "[quality]\nmargin = 2")
    with pytest.raises(PolicyError, match=r"quality.margin = 2: should be less than 1"):
        proposal.write(facts(), tmp_path / "gate.toml")
    assert list(tmp_path.iterdir()) == []
