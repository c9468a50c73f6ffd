"""integrity::encoding: the tokenizer's files, and how texts are encoded, compared with the baseline's."""

import pytest

from lorasent.adapter.configuration import without_prefix_space
from lorasent.gate.integrity import encoding
from lorasent.gate.integrity.comparison import ALLOW, EXPORT, Passed
from lorasent.gate.sections import Integrity
from tests.gate.integrity.sides import SOUND, TOKENIZER, TOKENS, blocks, compare, fault, manifest, old, other_base, recipe, side


def tokenizing(tokenizer=(), **tokens):
    """A side with keys of the tokenizer's two files changed; None takes a key of the second away."""
    content = {key: value for key, value in {**SOUND[TOKENS], **tokens}.items() if value is not None}
    return side(files={TOKENIZER: {**SOUND[TOKENIZER], **dict(tokenizer)}, TOKENS: content})


def test_a_tokenizers_files_are_held_to_the_recipe():
    """What each says, what is required, and where it stands."""
    where = f"new/{TOKENS}: "
    encoding.inspect(tokenizing())
    for key, cause in (("truncation", "truncation-on"), ("padding", "padding-on")):
        message = f"new/{TOKENIZER}: was saved with {key} on, must be off: the caller decides"
        assert fault(encoding.inspect, tokenizing({key: {}})) == blocks(cause, message)
    message = f"{where}auto_map asks for code to be run: an object of 1 keys"
    assert fault(encoding.inspect, tokenizing(auto_map={"a": 1})) == blocks("code", message, "remove auto_map")
    message = f"{where}truncation_side is right, the recipe says left"
    for value in (None, "right"):
        assert fault(encoding.inspect, tokenizing(truncation_side=value)) == blocks("truncation-side", message)
    for value in (None, 512):
        message = f"{where}model_max_length is {value}, the recipe says 64"
        assert fault(encoding.inspect, tokenizing(model_max_length=value)) == blocks("max-length", message)


def test_the_side_that_a_tokenizers_file_leaves_out_is_the_right():
    """As transformers takes it."""
    files = {TOKENIZER: {}, TOKENS: {"model_max_length": 64}}
    encoding.inspect(side(files=files, recipe=recipe(encoding__truncation_side="right")))


def test_the_same_encoding_passes():
    """It says how long, and on which side a text is cut."""
    expected = Passed("at most 64 tokens, cut on the left", {})
    unread = old(record=True)
    vars(unread)["json"] = lambda name: pytest.fail(f"{name} of a record was asked for")
    assert compare("encoding", side(), old()) == expected
    assert compare("encoding", side(), old(), Integrity(truncation_side="left")) == expected
    assert compare("encoding", side(), unread) == expected


def test_the_policys_side_is_required():
    """Whatever may change."""
    found = fault(compare, "encoding", side(), old(), Integrity(truncation_side="right", may_change=("encoding",)))
    message = "new: encoding.truncation_side is left, the policy requires right"
    assert found == blocks("truncation-side", message, 'train with truncation_side = "right"')


@pytest.mark.parametrize(
    ("key", "before", "now", "cause"),
    [
        ("truncation_side", "left", "right", "truncation-side"),
        ("max_length", 64, 32, "max-length"),
        ("add_prefix_space", True, False, "prefix-space"),
    ],
)
def test_another_encoding_must_be_allowed(key, before, now, cause):
    """By its key or its table; the fingerprint may then be another one too."""
    one = side(recipe=recipe(**{f"encoding__{key}": now}), manifest=manifest(tokenizer_sha256="e" * 64))
    change = {f"encoding.{key}": (before, now)}
    message = f"texts are not encoded as for the baseline: encoding.{key} {before} -> {now}; may_change is []"
    advice = ALLOW.format(f'"encoding.{key}"')
    assert fault(compare, "encoding", one, old()) == blocks(cause, message, advice, differences=change)
    for entry in ("encoding", f"encoding.{key}"):
        passed = compare("encoding", one, old(), Integrity(may_change=(entry,)))
        length, cut = one.recipe.encoding.max_length, one.recipe.encoding.truncation_side
        assert passed == Passed(f"at most {length} tokens, cut on the {cut}", change)


def test_several_differences_of_the_encoding_are_all_declared():
    """Each by its key."""
    one = side(recipe=recipe(encoding__max_length=32, encoding__truncation_side="right"))
    passed = compare("encoding", one, old(), Integrity(may_change=("encoding",)))
    changes = {"encoding.truncation_side": ("left", "right"), "encoding.max_length": (64, 32)}
    assert passed.declared == changes
    one = side(recipe=one.recipe, files={**SOUND, TOKENIZER: {}})
    passed = compare("encoding", one, old(), Integrity(may_change=("encoding",)))
    assert passed.declared == {**changes, "encoding.tokenizer": ("cccccccccccc", "cccccccccccc")}


def test_another_fingerprint_alone_is_a_difference():
    """Where nothing in the files explains it; also of a record."""
    change = {"encoding.tokenizer": ("cccccccccccc", "eeeeeeeeeeee")}
    message = (
        "the tokenizer differs from the baseline's in its fingerprint: encoding.tokenizer cccccccccccc -> eeeeeeeeeeee; "
        "may_change is []"
    )
    advice = ALLOW.format('"encoding.tokenizer"')
    for before in (old(), old(record=True)):
        found = fault(compare, "encoding", side(manifest=manifest(tokenizer_sha256="e" * 64)), before)
        assert found == blocks("tokenizer", message, advice, differences=change)
    allowed = Integrity(may_change=("encoding.tokenizer",))
    passed = compare("encoding", side(manifest=manifest(tokenizer_sha256="e" * 64)), old(), allowed)
    assert passed == Passed("at most 64 tokens, cut on the left", change)


def test_a_tokenizer_of_other_parts_is_named_by_the_likeliest():
    """The first part is the cause, all of them are named."""
    files = {**SOUND, TOKENIZER: {**SOUND[TOKENIZER], "normalizer": {}, "model": {}}}
    message = (
        "the tokenizer differs from the baseline's in lower-casing (True -> False), vocabulary (model): "
        "encoding.tokenizer cccccccccccc -> cccccccccccc; may_change is []"
    )
    change = {"encoding.tokenizer": ("cccccccccccc", "cccccccccccc")}
    found = fault(compare, "encoding", side(files=files), old())
    assert found == blocks("lower-casing", message, ALLOW.format('"encoding.tokenizer"'), differences=change)


def test_another_base_brings_its_own_tokenizer():
    """Only where it is allowed, and only where it is another."""
    files = {**SOUND, TOKENIZER: {}}
    allowed = Integrity(may_change=("base",))
    passed = compare("encoding", side(files=files, manifest=other_base()), old(), allowed)
    assert passed == Passed("the tokenizer of another base", {})
    longer = side(files=files, manifest=other_base(), recipe=recipe(encoding__max_length=32))
    passed = compare("encoding", longer, old(), Integrity(may_change=("base", "encoding")))
    assert passed == Passed("the tokenizer of another base", {"encoding.max_length": (64, 32)})
    assert fault(compare, "encoding", side(files=files, manifest=other_base()), old())[0] == "lower-casing"
    assert fault(compare, "encoding", side(files=files), old(), allowed)[0] == "lower-casing"
    passed = compare("encoding", side(manifest=other_base()), old(), allowed)
    assert passed == Passed("at most 64 tokens, cut on the left", {})


DIFFERENCES = [
    ({}, {}, {}),
    ({"normalizer": {"lowercase": False}}, {}, {"lower-casing": "lower-casing (True -> False)"}),
    ({}, {"do_lower_case": False}, {"lower-casing": "lower-casing (True -> False)"}),
    ({"post_processor": {"a": 1}}, {}, {"special-tokens": "special tokens (post_processor)"}),
    ({}, {"cls_token": None}, {"special-tokens": "special tokens (post_processor, cls_token '[CLS]' -> None)"}),
    ({}, {"eos_token": "x"}, {"special-tokens": "special tokens (post_processor, eos_token None -> 'x')"}),
    (
        {},
        {"cls_token": "y", "sep_token": "x"},
        {"special-tokens": "special tokens (post_processor, cls_token '[CLS]' -> 'y', sep_token None -> 'x')"},
    ),
    ({"model": {}}, {}, {"vocabulary": "vocabulary (model)"}),
    ({"added_tokens": [1]}, {}, {"vocabulary": "added tokens"}),
    ({"added_tokens": [1], "model": {}}, {}, {"vocabulary": "vocabulary (model)"}),
    ({"normalizer": {"lowercase": True, "x": 1}, "decoder": 1}, {}, {"tokenizer": "normalizer, decoder"}),
    ({"pre_tokenizer": 1}, {"strip_accents": True}, {"tokenizer": "pre_tokenizer, strip_accents"}),
    ({"normalizer": {}, "decoder": 1}, {}, {"lower-casing": "lower-casing (True -> False)"}),
    ({"truncation": 1, "pre_tokenizer": None}, {"anything": 1}, {}),
    ({"pre_tokenizer": {"add_prefix_space": 1}}, {}, {"tokenizer": "pre_tokenizer"}),
]


@pytest.mark.parametrize(("tokenizer", "tokens", "expected"), DIFFERENCES)
def test_what_tokenizers_differ_in_is_named(tokenizer, tokens, expected):
    """By part, old before new, the likeliest cause of damage first."""
    new = side(files={TOKENIZER: {**SOUND[TOKENIZER], **tokenizer}, TOKENS: {**SOUND[TOKENS], **tokens}})
    found = encoding.differences(new, old())
    assert found == expected
    assert list(found) == list(expected)


def test_what_the_recipe_decides_of_a_tokenizer_is_compared_there():
    """The space before a text, wherever it stands; a word of the vocabulary that is called so is none."""

    def tokenizer(space, scheme, vocabulary=1):
        part = {"add_prefix_space": space, "steps": [{"prepend_scheme": scheme, "kept": 1}]}
        return {"pre_tokenizer": part, "model": {"add_prefix_space": vocabulary}}

    pair = [side(files={**SOUND, TOKENIZER: tokenizer(*parts)}) for parts in ((True, "always"), (False, "never"))]
    assert encoding.differences(*pair) == {}
    pair = [side(files={**SOUND, TOKENIZER: tokenizer(True, "always", number)}) for number in (1, 2)]
    assert encoding.differences(*pair) == {"vocabulary": "vocabulary (model)"}
    kept = {"pre_tokenizer": {"steps": [{"kept": 1}]}, "model": {"add_prefix_space": 1}}
    assert without_prefix_space(tokenizer(True, "always")) == kept


@pytest.mark.parametrize(
    ("normalizer", "tokens", "expected"),
    [
        (None, {}, False),
        ({"lowercase": True}, {}, True),
        ({"lowercase": True}, {"do_lower_case": True}, True),
        ({"lowercase": True}, {"do_lower_case": None}, True),
        ({"lowercase": True}, {"do_lower_case": False}, False),
        ({"lowercase": 1}, {}, False),
        ({"type": "Lowercase"}, {}, True),
        ({"type": "Uppercase"}, {"do_lower_case": True}, False),
        ({"normalizers": [{"type": "NFD"}, {"type": "Lowercase"}]}, {}, True),
        ({"normalizers": [{"type": "NFD"}]}, {}, False),
        ({"inner": {"lowercase": True}}, {}, True),
        ([{"lowercase": True}], {}, True),
    ],
)
def test_lower_casing_is_found_wherever_it_stands(normalizer, tokens, expected):
    """And where it is switched off beside it."""
    assert encoding._lower_cases({"normalizer": normalizer}, tokens) is expected


def test_a_tokenizer_of_other_files_is_a_fault():
    """The keys that name them are told, in their order."""
    message = f"new/{TOKENS}: vocab_file, merges would load the tokenizer from other files"
    found = fault(encoding.inspect, tokenizing(vocab_file="a", merges=["b"]))
    assert found == blocks("tokenizer-files", message, f"remove it, or keep the files as tokenizer.json: {EXPORT}")
