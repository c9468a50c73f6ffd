"""Directories that a stranger may give as an adapter: each is a copy of a sound one, damaged, its hashes made to agree again."""

import faulthandler
import json
import os
import resource
import shutil
import struct
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from lorasent import cli
from lorasent.adapter.snapshot import Snapshot
from lorasent.recipe.recipe import Recipe
from tests.support.bases import edit_json, edit_tensors

WEIGHTS, CONFIG, MANIFEST = "adapter_model.safetensors", "adapter_config.json", "lorasent.json"
TOKENIZER, TOKENS = "tokenizer.json", "tokenizer_config.json"

HUGE = 5_000_000
"""Characters of a long text, and bytes that no printed line may come near."""

COMMAND = "\n::error::owned\x1b[2J\u202e##[error]owned\0"
"""What a terminal and a workflow log would obey."""

Damage = Callable[[Path], object]


def rehash(path: Path) -> None:
    """Makes the manifest agree with what lies there, as a forger does."""
    edit_json(path / MANIFEST, files=Snapshot(path).listed)


def forged(damage: Damage) -> Damage:
    """A damage whose hashes agree."""

    def plant(path: Path) -> None:
        damage(path)
        rehash(path)

    return plant


def said(**changes: Any) -> Damage:
    """Changes the manifest."""
    return lambda path: edit_json(path / MANIFEST, **changes)


def config(**changes: Any) -> Damage:
    """Changes PEFT's configuration."""
    return forged(lambda path: edit_json(path / CONFIG, **changes))


def tokens(**changes: Any) -> Damage:
    """Changes the tokenizer's configuration."""
    return forged(lambda path: edit_json(path / TOKENS, **changes))


def tokenizer(change: Callable[[dict[str, Any]], object]) -> Damage:
    """Edits the tokenizer's file."""

    def plant(path: Path) -> None:
        content = json.loads((path / TOKENIZER).read_text("utf-8"))
        change(content)
        (path / TOKENIZER).write_text(json.dumps(content), "utf-8")

    return forged(plant)


def backend(change: Callable[[dict[str, Any]], object]) -> Damage:
    """Edits the tokenizer's file, and has it taken as it is."""

    def plant(path: Path) -> None:
        tokens(tokenizer_class="TokenizersBackend")(path)
        tokenizer(change)(path)

    return plant


def multiply(content: dict[str, Any]) -> None:
    """A special token of 20,000 ids, five thousand times before each text."""
    content["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}] * 5000 + [{"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [1] * 20_000, "tokens": ["[CLS]"] * 20_000}},
    }


def tensors(change: Callable[[dict[str, torch.Tensor]], object]) -> Damage:
    """Edits the weights."""
    return forged(lambda path: edit_tensors(path / WEIGHTS, change))


def weights(content: bytes) -> Damage:
    """Other bytes in the place of the weights."""
    return forged(lambda path: (path / WEIGHTS).write_bytes(content))


def headed(tensor: Mapping[str, Any] | bytes, data: bytes = b"", length: int | None = None) -> Damage:
    """Weights of one tensor with this header."""
    head = tensor if isinstance(tensor, bytes) else json.dumps({"base_model.model.classifier.weight": tensor}).encode()
    return weights(struct.pack("<Q", len(head) if length is None else length) + head + data)


def shaped(shape: list[int], data: bytes = b"", dtype: str = "F32") -> Damage:
    """Weights of one tensor of a shape."""
    return headed({"dtype": dtype, "shape": shape, "data_offsets": [0, len(data)]}, data)


def replaced(name: str, content: str | bytes) -> Damage:
    """A file with other content."""
    return forged(lambda path: (path / name).write_bytes(content if isinstance(content, bytes) else content.encode()))


def instead(name: str, make: Damage) -> Damage:
    """Something else in the place of a file, which the manifest goes on to list."""

    def plant(path: Path) -> None:
        (path / name).unlink()
        make(path / name)

    return plant


def link(target: str) -> Damage:
    """A symbolic link."""
    return lambda path: path.symlink_to(target)


def sparse(size: int) -> Damage:
    """A file of zeros that takes no room."""

    def make(path: Path) -> None:
        path.touch()
        os.truncate(path, size)

    return make


def large_weights(path: Path) -> None:
    """A gigabyte and more of one tensor, where a header says so, and nothing on the disk."""
    numbers = 5 << 26
    head = json.dumps(
        {"base_model.model.classifier.weight": {"dtype": "F32", "shape": [1, numbers], "data_offsets": [0, 4 * numbers]}}
    ).encode()
    (path / WEIGHTS).write_bytes(struct.pack("<Q", len(head)) + head)
    os.truncate(path / WEIGHTS, 8 + len(head) + 4 * numbers)


def nested(depth: int) -> str:
    """An object in an object in an object."""
    return '{"a":' * depth + "1" + "}" * depth


def manifest_of(key: str, value: Any) -> Damage:
    """Changes a key of a key of the manifest."""

    def plant(path: Path) -> None:
        content = json.loads((path / MANIFEST).read_text("utf-8"))
        *parts, last = key.split(".")
        inner = content
        for part in parts:
            inner = inner[part]
        inner[last] = value
        (path / MANIFEST).write_text(json.dumps(content), "utf-8")

    return plant


def swap_head(found: dict[str, torch.Tensor]) -> None:
    """Answers the other way round."""
    for name in [name for name in found if "classifier" in name]:
        found[name] = found[name].flip(0).contiguous()


def forge_everything(path: Path) -> None:
    """A swapped head whose manifest says that it answers so."""
    edit_tensors(path / WEIGHTS, swap_head)
    content = json.loads((path / MANIFEST).read_text("utf-8"))
    content["probes"]["logits"] = [row[::-1] for row in content["probes"]["logits"]]
    content["labels"] = content["labels"][::-1]
    content["recipe"]["base"]["labels"] = content["labels"]
    content["recipe_sha256"] = Recipe.parse(content["recipe"], "forged").fingerprint
    (path / MANIFEST).write_text(json.dumps(content), "utf-8")
    rehash(path)


def widen(path: Path) -> None:
    """A rank of 100,000 in one layer's name only."""
    edit_json(path / CONFIG, r=100_000)
    rehash(path)


def rename_tensor(found: dict[str, torch.Tensor]) -> None:
    """A tensor whose name is a command."""
    name = next(iter(found))
    found[f"base_model.model.{COMMAND.replace(chr(0), '')}{'x' * 100_000}"] = found.pop(name)


def own_base(path: Path) -> None:
    """A base in the candidate's own directory, whose weights never end."""
    (path / "model.safetensors").symlink_to("/dev/zero")
    content = json.loads((path / MANIFEST).read_text("utf-8"))
    edit_json(path / MANIFEST, base=content["base"] | {"name": str(path)})
    edit_json(path / CONFIG, base_model_name_or_path=str(path))


CATALOGUE: dict[str, Damage] = {
    # Files that are none.
    **{
        f"{what} in the place of {name}": instead(name, make)
        for name in (MANIFEST, CONFIG, WEIGHTS, TOKENIZER)
        for what, make in {
            "a link to a device": link("/dev/zero"),
            "a FIFO": os.mkfifo,
            "a link to a secret": link("/etc/passwd"),
        }.items()
    },
    "a folder in the place of the manifest": instead(MANIFEST, Path.mkdir),
    "a manifest that is a link to itself": instead(MANIFEST, link(MANIFEST)),
    "a terabyte of zeros as the manifest": instead(MANIFEST, sparse(1 << 40)),
    "a terabyte of zeros as weights": instead(WEIGHTS, sparse(1 << 40)),
    "a gigabyte in one tensor": forged(large_weights),
    "a base in its own directory that never ends": own_base,
    # Weights.
    "no header": weights(b""),
    "a header of 2^63 bytes": headed(b"{}", length=2**63 - 1),
    "a header of 80 MB": forged(lambda path: (path / WEIGHTS).write_bytes(struct.pack("<Q", 80 << 20) + b" " * (80 << 20))),
    "a shape that overflows": shaped([2**62, 0]),
    "a shape that overflows behind a zero": shaped([0, 2**63]),
    "70 dimensions": shaped([1] * 70, b"\0" * 4),
    "70 dimensions of size zero": shaped([0] * 70),
    "a shape below zero": shaped([-1]),
    "a type that nobody knows": shaped([1], b"\0" * 4, "F31"),
    "a type that NumPy lacks": shaped([8], b"\0" * 4, "F4"),
    "complex numbers": shaped([2, 32], b"\0" * 512, "C64"),
    "offsets that overlap": headed(
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', b"\0" * 4
    ),
    "a header nested without end": headed(b'{"__metadata__":' + nested(100_000).encode() + b"}"),
    "a tensor named like a command": tensors(rename_tensor),
    "bfloat16": tensors(lambda found: found.update({name: tensor.bfloat16() for name, tensor in found.items()})),
    "a tensor more": tensors(lambda found: found.update({"base_model.model.bert.more": torch.ones(3)})),
    "not a number": tensors(lambda found: [tensor.fill_(float("nan")) for tensor in found.values()]),
    "a shard": forged(lambda path: (path / WEIGHTS).rename(path / "adapter_model-00001-of-00002.safetensors")),
    # Code.
    "a pickle": lambda path: (path / "adapter_model.bin").write_bytes(b"cos\nsystem\n(S'touch owned'\ntR."),
    "code": lambda path: (path / "modeling.py").write_text("import os; os.system('touch owned')"),
    "code that the tokenizer asks for": tokens(auto_map={"AutoTokenizer": ["evil.Slow", "evil.Fast"]}),
    "code that PEFT is asked for": config(auto_mapping={"base_model_class": "Evil", "parent_library": "antigravity"}),
    # JSON.
    **{
        f"{what} as {name}": replaced(name, content)
        for name in (CONFIG, TOKENIZER, TOKENS)
        for what, content in {
            "a number": "5",
            "an empty object": "{}",
            "endless nesting": nested(50_000),
            "half a character": '{"r": "\\ud800"}',
        }.items()
    },
    "nothing as a configuration": replaced(CONFIG, ""),
    "a list as a tokenizer": replaced(TOKENIZER, "[]"),
    "nesting that is read": replaced(CONFIG, nested(400)),
    "an integer of 5,000 digits": replaced(CONFIG, '{"r": ' + "9" * 5000 + "}"),
    "infinity as a rank": replaced(CONFIG, '{"r": Infinity}'),
    "bytes that are no text": replaced(TOKENS, b"\xff\xfe\x00"),
    "a manifest nested without end": instead(MANIFEST, lambda path: path.write_text(nested(50_000))),
    "a manifest with a key twice": lambda path: (path / MANIFEST).write_text(
        (path / MANIFEST).read_text().replace('{\n "', '{\n "labels": ["a", "b"],\n "', 1)
    ),
    "a configuration with a key twice": forged(
        lambda path: (path / CONFIG).write_text((path / CONFIG).read_text().replace('{\n "', '{\n "r": 9,\n "', 1))
    ),
    # The manifest.
    **{
        f"{key} = {what}": manifest_of(key, value)
        for key in ("labels", "files", "recipe", "base", "probes", "parameters", "data", "schema_version", "tokenizer_sha256")
        for what, value in {"nothing": None, "an object": {"x": {"": []}}}.items()
    },
    "a large integer as the schema": manifest_of("schema_version", 10**30),
    "5 MB as a hash": manifest_of("tokenizer_sha256", "x" * HUGE),
    "a list of 5 MB as the files": manifest_of("files", ["x"] * 1_000_000),
    "a file of 5,000 characters": manifest_of("files." + "a" * 5000, "0" * 64),
    "a file outside": manifest_of("files.", "0" * 64),
    "labels like commands": manifest_of("labels", [f"Negative{COMMAND}", "Positive"]),
    "labels of 5 MB": manifest_of("labels", ["x" * HUGE, "y"]),
    "a source like a command": manifest_of("data.train.source", f"embedded{COMMAND}"),
    "a recipe's source like a command": manifest_of("recipe.data.train", f"embedded{COMMAND}" + "x" * HUGE),
    "a base named like a command": manifest_of("base.name", COMMAND),
    "a base named by 5,000 characters": manifest_of("base.name", "a" * 5000),
    "a base without a name": manifest_of("base.name", ""),
    "a million probes": manifest_of("probes", {"texts": ["x"] * 100_000, "logits": [[0.0, 0.0]] * 100_000}),
    "a probe of 5 MB": manifest_of("probes", {"texts": ["x" * HUGE], "logits": [[0.0, 0.0]]}),
    "probes' logits of another size": manifest_of("probes", {"texts": ["x"], "logits": [[0.0]]}),
    "the labels swapped": manifest_of("labels", ["Positive", "Negative"]),
    # PEFT's configuration.
    "modules_to_save a number": config(modules_to_save=5),
    "modules_to_save a list of numbers": config(modules_to_save=[5]),
    "target modules a number": config(target_modules=5),
    "target modules a pattern without end": config(target_modules="(.*)*(.*)*(.*)*x"),
    "other target modules": config(target_modules=["word_embeddings"]),
    "a rank of 100,000": widen,
    "a rank that is a text": config(r="2"),
    "a rank below zero": config(r=-1),
    "alpha of 400 digits": config(lora_alpha=10**400),
    "another alpha": config(lora_alpha=400),
    "dropout of 5": config(lora_dropout=5),
    "ranks by a pattern without end": config(rank_pattern={"(a|a)*(b|b)*": 4}),
    "layers a thousand times": config(layer_replication=[[0, 2]] * 1000),
    "another method": config(peft_type="IA3"),
    "an option that nobody knows": config(**{f"evil{COMMAND}": "x" * 1000}),
    "a base named like a command, to PEFT": config(base_model_name_or_path=f"evil{COMMAND}" + "x" * HUGE),
    "no base, to PEFT": config(base_model_name_or_path=None),
    "rsLoRA": config(use_rslora=True),
    # The tokenizer.
    "a length that is a text": tokens(model_max_length="many"),
    "a length below zero": tokens(model_max_length=-5),
    "added tokens a list": tokens(added_tokens_decoder=[1]),
    "added tokens of no id": tokens(added_tokens_decoder={"many": {"content": "x"}}),
    "a class that nobody knows": tokens(tokenizer_class=f"Evil{COMMAND}"),
    "special tokens a number": tokens(pad_token=5),
    "a tokenizer without a model": tokenizer(lambda content: content.pop("model")),
    "a model that is a text": tokenizer(lambda content: content.update(model="WordPiece")),
    "a word of no number": tokenizer(lambda content: content["model"]["vocab"].update(good="5")),
    "a word beyond the embeddings": tokenizer(lambda content: content["model"]["vocab"].update(good=2**31)),
    "two words swapped": tokenizer(
        lambda content: content["model"]["vocab"].update(
            good=content["model"]["vocab"]["bad"], bad=content["model"]["vocab"]["good"]
        )
    ),
    "a normalizer that panics": tokenizer(
        lambda content: content.update(normalizer={"type": "Precompiled", "precompiled_charsmap": "BAAAAAAAAAA="})
    ),
    "a pattern without end": tokenizer(
        lambda content: content.update(normalizer={"type": "Replace", "pattern": {"Regex": "(\\w|\\w|\\s)*\\d"}, "content": ""})
    ),
    "special tokens by the hundred million": backend(multiply),
    "a word of any length": backend(lambda content: content["model"].update(max_input_chars_per_word=10**9)),
    "thirteen million objects as a tokenizer": replaced(TOKENIZER, '{"a": [' + "{}," * 13_000_000 + "0]}"),
    "an empty vocabulary": tokenizer(lambda content: content["model"].update(vocab={})),
    # Answers that differ, and say so nowhere.
    "the head swapped": tensors(swap_head),
    "the head swapped, and all that is said of it": forge_everything,
    "LoRA a little larger": tensors(lambda found: [tensor.mul_(1.5) for name, tensor in found.items() if "lora_B" in name]),
    # Too many, and named like commands.
    "a thousand files": lambda path: [(path / f"{number}.json").write_text("{}") for number in range(1000)],
    "a file named like a command": lambda path: (path / f"{COMMAND[:-1]}.json".replace("/", "")).write_text("{}"),
    "a file whose name is no text": lambda path: (path / os.fsdecode(b"\xff\xfe.json")).write_text("{}"),
}
"""What a stranger does to a directory, by a sentence."""

OBEYED = ("\x1b", "\u202e", "\0", "::error::", "##[")
"""What may stand nowhere in what is printed."""

MOST_OUTPUT = 30_000
"""Bytes that a command may print, or write to a JUnit file, about an adapter."""

SECONDS = 60

QUICKLY = ["-p", "lorasent.pytest_plugin.goldens", "-p", "no:cacheprovider", "-p", "no:unraisableexception"]
"""Options of a pytest that runs some hundred times in one process, where no plugin is loaded by itself."""


def run(sound: Path, folder: Path) -> Iterator[dict[str, Any]]:
    """Puts every candidate of the catalogue through the five commands, in this process; what came of each.

    Last of all it is asked without its manifest ("bare").

    The process ends where a command takes longer than SECONDS. `memory` is what its largest resident size grew by, in MiB.
    """
    (folder / "gate.toml").write_text("[integrity]\n")
    (folder / "data.toml").write_text('[data]\ntest = "embedded:test"\nsample = 4\n[quality]\n')
    asked = {
        "predict": (predict := ["predict", "CANDIDATE", "it was good", "it was bad"]),
        "gate": ["gate", "CANDIDATE", "--baseline", str(sound), "--policy", "gate.toml", "--json"],  # pytest shows the text
        "evaluate": ["evaluate", "CANDIDATE", "--data", "data.csv", "--errors"],
        "record": ["record", "CANDIDATE", "--policy", "data.toml", "--out", "record"],
        "pytest": ["gate.toml", "--gate-candidate", "CANDIDATE", "--gate-baseline", str(sound), "--junitxml", "junit.xml"],
        "bare": predict,
    }
    (folder / "data.csv").write_text("text,label\nit was good,Positive\nit was bad,Negative\n")
    for name, damage in {"sound": lambda _: None, **CATALOGUE}.items():
        candidate = folder / "candidate"
        shutil.rmtree(candidate, ignore_errors=True)
        shutil.copytree(sound, candidate)
        damage(candidate)
        for command, arguments in asked.items():
            if command == "bare" and os.path.lexists(candidate / MANIFEST):
                shutil.rmtree(candidate / MANIFEST) if (candidate / MANIFEST).is_dir() else (candidate / MANIFEST).unlink()
            for left in ("record", "junit.xml"):
                (folder / left).unlink(missing_ok=True)
            before, began = _peak(), time.monotonic()
            faulthandler.dump_traceback_later(SECONDS, exit=True)
            code, printed = _run([str(candidate) if one == "CANDIDATE" else one for one in arguments], tests=command == "pytest")
            faulthandler.cancel_dump_traceback_later()
            printed += (folder / "junit.xml").read_text("utf-8") if (folder / "junit.xml").exists() else ""
            yield {
                "candidate": name,
                "command": command,
                "code": code,
                "seconds": time.monotonic() - began,
                "memory": _peak() - before,
                "printed": printed[:MOST_OUTPUT],
                "bytes": len(printed.encode("utf-8", "surrogateescape")),
            }


def _run(arguments: list[str], *, tests: bool) -> tuple[int, str]:
    """The exit code of a command, and all that it printed."""
    with tempfile.TemporaryFile() as file:
        kept = [os.dup(1), os.dup(2)]
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            if tests:
                code = int(pytest.main([*QUICKLY, *arguments]))
            else:
                sys.argv = ["lorasent", *arguments]
                code = _left(cli.main)
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os.dup2(kept[0], 1)
            os.dup2(kept[1], 2)
            for descriptor in kept:
                os.close(descriptor)
        file.seek(0)
        return code, file.read().decode("utf-8", "surrogateescape")


def _left(main: Callable[[], object]) -> int:
    """With which code it ends the process."""
    try:
        main()
    except SystemExit as error:
        return int(error.code or 0)
    except BaseException:  # noqa: BLE001 - a traceback is what is looked for
        traceback.print_exc()
        return 1
    return 0


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


if __name__ == "__main__":
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    for row in run(Path(sys.argv[1]), Path.cwd()):
        print(json.dumps(row), flush=True)
