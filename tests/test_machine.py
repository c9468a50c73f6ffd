"""What this machine offers by its processor and its environment, and what this process tells the C library of its memory."""

import json
import os
import platform
import subprocess
import sys

import pytest
import torch

from lorasent import machine
from lorasent.scoring.scorer import uses_bf16
from lorasent.unpadded import products

pytestmark = pytest.mark.processor

CPU = torch.device("cpu")
FORCED = ("LORASENT_ONEDNN", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")

FREED = """
import resource
import numpy as np
from lorasent import machine
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
machine.keep_memory()
blocks = [np.ones(1 << 20) for _ in range(64)]
pin = [block for number, block in enumerate(blocks) if number % 8 == 7]
del blocks
kept = resident()
machine.release_memory()
print(kept, resident())
"""


@pytest.fixture
def offers(monkeypatch, tmp_path):
    """A function that gives the bf16 instructions of a processor with these flags, in this environment."""
    products.available(CPU, torch.bfloat16)  # oneDNN reads its own limit once, when it is first asked

    def offers(flags, **environment):
        (cpuinfo := tmp_path / "cpuinfo").write_text(f"processor : 0\nflags : fpu avx2 {flags} sse2\n")
        monkeypatch.setattr(machine, "_PROCESSOR", cpuinfo)
        machine._processor.cache_clear()
        for name in FORCED:
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return machine.bf16()

    yield offers
    machine._processor.cache_clear()


AMX = "avx512_bf16 amx_bf16 amx_tile"
BOTH = "amx_bf16 avx512_bf16"


@pytest.mark.parametrize(
    ("flags", "environment", "expected"),
    [
        ("", {}, ""),
        ("avx512f avx512bw bf16", {}, ""),
        ("avx512_bf16", {}, "avx512_bf16"),
        (AMX, {}, BOTH),
        (AMX, {"ONEDNN_MAX_CPU_ISA": "AVX2"}, ""),
        (AMX, {"ONEDNN_MAX_CPU_ISA": "avx2_vnni_2"}, ""),
        (AMX, {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}, ""),
        (AMX, {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16"}, "avx512_bf16"),
        ("", {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16"}, ""),
        (AMX, {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_AMX"}, BOTH),
        (AMX, {"ONEDNN_MAX_CPU_ISA": "a word that oneDNN does not know"}, BOTH),
        (AMX, {"DNNL_MAX_CPU_ISA": "AVX2", "ONEDNN_MAX_CPU_ISA": ""}, ""),
        (AMX, {"DNNL_MAX_CPU_ISA": "AVX2", "ONEDNN_MAX_CPU_ISA": "ALL"}, BOTH),
        (AMX, {"LORASENT_ONEDNN": "0"}, ""),
        (AMX, {"LORASENT_ONEDNN": ""}, BOTH),
    ],
    ids=[
        "none", "of another processor's name", "AVX-512", "AMX", "limited to AVX2", "in small letters", "emulated", "less AMX",
        "limited to what is not there", "limited to all", "no limit", "by the old name",
        "by the new name first", "no oneDNN", "empty",
    ],
)  # fmt: skip
def test_bf16_names_the_processors_instructions_that_the_environment_allows(offers, flags, environment, expected):
    """oneDNN's limit and LORASENT_ONEDNN remove names that /proc/cpuinfo lists, and add none."""
    assert offers(flags, **environment) == expected


def test_without_cpuinfo_torch_names_the_instructions(monkeypatch, tmp_path):
    """On other systems than Linux."""
    monkeypatch.setattr(machine, "_PROCESSOR", tmp_path / "missing")
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    assert machine._processor.__wrapped__() == ("avx512_bf16",)


ASKED = """
import torch
from lorasent import machine
from lorasent.unpadded import products
bf16 = bool(machine.bf16())
if bf16 or not products.available(torch.device("cpu"), torch.bfloat16):
    print(bf16, products.available(torch.device("cpu"), torch.bfloat16))
else:
    print("emulated")
"""


@pytest.mark.slow
@pytest.mark.parametrize("limit", ["AVX2", "AVX512_CORE_BF16"])
def test_onednn_agrees_with_bf16(limit):
    """In a process under a limit, oneDNN multiplies in bf16 where `bf16` names instructions; elsewhere it refuses or emulates."""
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": limit}
    done = subprocess.run([sys.executable, "-c", ASKED], env=environment, check=True, capture_output=True, text=True)
    assert done.stdout.strip() in ("True True", "False False", "emulated")


@pytest.mark.slow
def test_lorasent_onednn_0_turns_torchs_own_use_off():
    """Bits would differ between this process and those that it starts."""
    code = "import torch; from lorasent.unpadded import products; print(torch.backends.mkldnn.enabled)"
    environment = {**os.environ, machine.ONEDNN_VARIABLE: "0"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"


def test_auto_is_bf16_only_where_onednn_multiplies_it_in_hardware(offers):
    """It is fp32 without the instructions, where a limit forbids them, and without oneDNN."""
    onednn = products.available(CPU, torch.float32)
    offers("avx512_bf16")
    assert uses_bf16("auto", CPU) is products.available(CPU, torch.bfloat16)
    for flags, environment in (("", {}), (AMX, {"ONEDNN_MAX_CPU_ISA": "AVX2"}), (AMX, {"LORASENT_ONEDNN": "0"})):
        offers(flags, **environment)
        assert not uses_bf16("auto", CPU)
        assert uses_bf16("bf16", CPU)
        assert products.available(CPU, torch.float32) is (onednn and not environment.get("LORASENT_ONEDNN"))


def test_torchs_own_switch_turns_onednn_off_too(monkeypatch):
    """With torch.backends.mkldnn.enabled = False there are no packed products, and auto is fp32."""
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)
    assert not products.available(CPU, torch.float32)
    assert not uses_bf16("auto", CPU)


@pytest.mark.parametrize(
    "environment", [{}, {"ONEDNN_MAX_CPU_ISA": "AVX2"}, {"LORASENT_ONEDNN": "0"}], ids=["free", "limited to AVX2", "no oneDNN"]
)
def test_doctor_names_bf16_and_onednn(offers, lorasent, environment):
    """On a processor with AMX: the instructions, whether oneDNN is used, and what precision auto means."""
    named = offers(AMX, **environment)
    joined = lorasent("doctor").stdout.replace("\n" + " " * 14, " ")
    rows = {line[:14].rstrip(): line[14:] for line in joined.splitlines()}
    if named and products.available(CPU, torch.bfloat16):
        assert rows["bf16"] == "in hardware, amx_bf16 avx512_bf16 (precision auto = bf16)"
    else:
        assert rows["bf16"] == "not in hardware (precision auto = fp32; bf16 is emulated and many times slower)"
    there = products.available(CPU, torch.float32)
    assert rows["onednn"] == ("yes" if there else "no: scoring and training use the padded model, more slowly")


@pytest.mark.slow
@pytest.mark.parametrize("named", ["avx512_bf16", ""], ids=["in hardware", "emulated"])
def test_training_in_bf16_warns_where_it_is_emulated(offers, lorasent, small_recipe, named):
    """Training goes on all the same, and its adapter answers in bf16."""
    offers(named)
    setting = ("--set", "training.precision=bf16", "--set", "training.epochs=1")
    done = lorasent("train", small_recipe, "--out", "mine", *setting)
    assert done.returncode == 0, done.stderr
    emulated = not (named and products.available(CPU, torch.bfloat16))
    assert (", bf16, emulated: on this machine fp32 is many times as fast\n" in done.stderr) is emulated
    assert json.loads(lorasent("predict", "mine", "good", "--precision", "bf16").stdout)["text"] == "good"


@pytest.mark.parametrize(("setting", "calls"), [(None, 3), ("", 3), ("1", 3), ("0", 0)])
def test_malloc_is_tuned_unless_the_environment_forbids_it(monkeypatch, setting, calls):
    """LORASENT_MALLOC=0: no option of glibc's malloc is set."""
    monkeypatch.delenv("LORASENT_MALLOC", raising=False)
    if setting is not None:
        monkeypatch.setenv("LORASENT_MALLOC", setting)
    called = []
    monkeypatch.setattr(machine, "_glibc", lambda *arguments: called.append(arguments))
    machine.keep_memory.__wrapped__()
    assert [name for name, *_ in called] == ["mallopt"] * calls


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_release_memory_returns_what_keep_memory_kept():
    """Of 64 blocks of 8 MiB, 56 freed between others stay until they are released; then nearly all are gone."""
    told = subprocess.run([sys.executable, "-c", FREED], check=True, capture_output=True, text=True).stdout.split()
    kept, left = (int(figure) / 2**20 for figure in told)
    assert kept > 400
    assert kept - left > 400
