"""Other people's projects, beside an installed lorasent: as without it, to the outcome of every test."""

import json
import sys

import pytest

OWN_GOLDEN = """
import pathlib
import pytest

def pytest_addoption(parser):
    parser.addoption("--update-golden", action="store_true", help="rewrite expected outputs")
    parser.addini("golden_folder", "where expected outputs live", default="expected")

@pytest.fixture
def golden(request):
    path = pathlib.Path(request.config.rootpath, request.config.getini("golden_folder"), request.node.name)
    if request.config.getoption("--update-golden"):
        path.write_text("42")
    return path
"""

PERF = """
import pytest

def pytest_addoption(parser):
    group = parser.getgroup("perf")
    group.addoption("--baseline", action="store", default=None, help="results of an earlier run")
    group.addoption("--candidate", action="store", default="HEAD")
    group.addoption("--gate-data", action="store_true")

@pytest.fixture(scope="session")
def baseline(pytestconfig):
    return pytestconfig.getoption("--baseline") or pytest.skip("no --baseline")
"""

TOML_CASES = """
import tomllib
import pytest

def pytest_collect_file(parent, file_path):
    if file_path.suffix == ".toml":
        return Cases.from_parent(parent, path=file_path)

class Cases(pytest.File):
    def collect(self):
        for name, case in tomllib.loads(self.path.read_text()).items():
            yield Case.from_parent(self, name=name, case=case)

class Case(pytest.Item):
    def __init__(self, *, case, **options):
        super().__init__(**options)
        self.case = case

    def runtest(self):
        assert self.case["in"] == self.case["out"]
"""

FLAGS = """
import pytest

def pytest_addoption(parser):
    parser.addoption("--baseline", action="store_true", help="run baseline tests too")

def pytest_collection_modifyitems(config, items):
    if not config.getoption("--baseline"):
        for item in items:
            if "baseline" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="needs --baseline"))
"""

GATES = """
import pytest

@pytest.fixture(params=["and", "or"])
def gate(request):
    return request.param

@pytest.fixture
def candidate(gate):
    return gate.upper()
"""

PROJECTS = {
    "a marker": (
        {
            "pytest.ini": "[pytest]\nmarkers = golden: compared with a golden file\naddopts = --strict-markers\n",
            "test_it.py": "import pytest\n\n@pytest.mark.golden\ndef test_a():\n    pass\n",
        },
        [],
    ),
    "a marker of lists": (
        {
            "conftest.py": "def pytest_configure(config):\n    config.addinivalue_line('markers', 'golden(files): inputs')\n",
            "test_it.py": "import pytest\n\npytestmark = pytest.mark.golden(['a', 'b'], mode='w')\n\ndef test_a(request):\n"
            "    assert request.node.get_closest_marker('golden').args == (['a', 'b'],)\n",
        },
        [],
    ),
    "a marker that nobody registered": (
        {"test_it.py": "import pytest\n\n@pytest.mark.golden('x')\ndef test_a():\n    pass\n"},
        ["--strict-markers"],
    ),
    "goldens of its own": (
        {
            "conftest.py": OWN_GOLDEN,
            "pytest.ini": "[pytest]\ngolden_folder = golden\n",
            "golden/MANIFEST.json": json.dumps({"version": 3, "files": {"test_a": "0" * 64, "gone": "1" * 64}}),
            "golden/test_a": "42",
            "golden/more.json": '{"kind": "golden"}',
            "test_it.py": "def test_a(golden):\n    assert golden.read_text() == '42'\n",
        },
        ["--update-golden"],
    ),
    "options of its own": (
        {
            "conftest.py": PERF,
            "results/old/conftest.py": "",
            "test_it.py": "def test_a(baseline):\n    assert baseline == 'results/old'\n",
        },
        ["--baseline", "results/old", "--candidate=HEAD~1", "--gate-data"],
    ),
    "options in a folder": (
        {
            "pkg/integration/conftest.py": PERF,
            "pkg/integration/test_it.py": "def test_a(baseline):\n    pass\n\ndef test_b(pytestconfig):\n"
            "    assert pytestconfig.getoption('--candidate') == 'HEAD'\n",
        },
        [],
    ),
    "a flag before a path": (
        {
            "integration/conftest.py": FLAGS,
            "integration/test_it.py": "import pytest\n\n@pytest.mark.baseline\ndef test_a():\n    pass\n",
            "pytest.ini": "[pytest]\nmarkers = baseline\n",
        },
        ["--baseline", "integration"],
    ),
    "TOML files as tests": (
        {
            "conftest.py": TOML_CASES,
            "gate.toml": "[quality]\nin = 1\nout = 1\n[cost]\nin = 1\nout = 2\n",
            "gate_and.toml": "[one]\nin = 1\nout = 1\n",
        },
        ["."],
    ),
    "a TOML file by its path": (
        {"conftest.py": TOML_CASES, "gate_and.toml": "[one]\nin = 1\nout = 1\n[two]\nin = 1\nout = 2\n"},
        ["gate_and.toml::one", "gate_and.toml::two"],
    ),
    "fixtures and modules": (
        {
            "conftest.py": GATES,
            "golden/__init__.py": "def check():\n    return 1\n",
            "gate.py": "RATIO = 1\n",
            "test_it.py": "import gate as module\nimport golden\n\ndef test_a(candidate, gate):\n    assert golden.check() == 1\n"
            "    assert candidate == gate.upper()\n    assert module.RATIO == 1\n",
        },
        ["-W", "error", "--strict-config", "--strict-markers"],
    ),
    "a plugin": (
        {
            "their_golden.py": "import pytest\n\n@pytest.fixture(scope='session')\ndef golden():\n    return 'theirs'\n\n"
            "def pytest_addoption(parser):\n    parser.addoption('--update-golden', action='count', default=0)\n",
            "pytest.ini": "[pytest]\naddopts = -p their_golden\n",
            "golden/MANIFEST.json": "[]",
            "test_it.py": "import pytest\n\n@pytest.fixture(scope='module')\ndef shared(golden):\n    return golden\n\n"
            "def test_a(shared, pytestconfig):\n    assert shared == 'theirs'\n"
            "    assert pytestconfig.getoption('update_golden') == 2\n",
        },
        ["--update-golden", "--update-golden"],
    ),
    "an option that nobody has": ({"test_it.py": "def test_a():\n    pass\n"}, ["--baseline", "."]),
}


def written(folder):
    """Every file of a project with its content, but for compiled modules and hidden folders."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    return {path: path.read_bytes() for path in paths if not any(part.startswith(".") for part in path.relative_to(folder).parts)}


def outcomes(pytester, arguments):
    """The exit code and every test with its outcome, in order."""
    result = pytester.runpytest("-p", "no:randomly", "-p", "no:cacheprovider", "-v", "-rA", *arguments)
    lines = result.outlines + result.errlines
    return result.ret, [
        line for line in lines if line.startswith(("PASSED", "FAILED", "ERROR", "SKIPPED", "XFAIL", "pytest: error"))
    ]


@pytest.mark.slow
@pytest.mark.parametrize("project", PROJECTS)
def test_a_foreign_project_is_unaffected(pytester, project):
    """The same tests with the same outcomes, and the same exit code."""
    files, arguments = PROJECTS[project]
    for name, content in files.items():
        path = pytester.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    pytester.syspathinsert()
    before = written(pytester.path)
    without = outcomes(pytester, ["-p", "no:lorasent", *arguments])
    assert outcomes(pytester, arguments) == without
    assert without[0] in (0, 1, 2, 4)
    assert written(pytester.path) == before


def test_an_installed_lorasent_imports_next_to_nothing(pytester):
    """A run that asks nothing of it pays for no validation library, and no numbers."""
    heavy = ("pydantic", "torch", "scipy", "filelock", "lorasent.golden", "lorasent.gate")
    pytester.makepyfile(
        f"import sys\n\ndef test_a():\n    assert 'lorasent.pytest_plugin.gate' in sys.modules\n"
        f"    assert not set(sys.modules) & set({heavy})\n"
    )
    result = pytester.run(sys.executable, "-m", "pytest", "-q")
    result.assert_outcomes(passed=1)
