"""The database's URL and its errors, without a server: passwords are hidden, reasons are one line."""

import time

import optuna
import pytest
from sqlalchemy.exc import OperationalError

from lorasent.errors import SweepError
from lorasent.sweep import database
from tests.sweep.studies import EMBEDDED, search_over


@pytest.mark.parametrize(
    "storage", ["postgresql:/me:secret@host/db", "postgresql://me:secret@host:port/db", "postgresql://host/db?password=secret"]
)
def test_a_password_is_hidden(storage):
    """It is hidden in malformed URLs, too."""
    assert "secret" not in database.without_password(storage)
    assert database.without_password(storage).startswith("postgresql:")


@pytest.mark.parametrize(
    "storage", ["postgresql://me:secret@host:port/db", "postgresql://me:some:@secret@host:port/db", "postgresql:/me:secret@host/db"]
)
def test_a_malformed_storage_is_an_error_of_one_line(tmp_path, storage):
    """SQLAlchemy's words may hold a part of the password; how one is written is said."""
    search = search_over(EMBEDDED, tmp_path, "lora.r", storage=storage)
    with pytest.raises(SweepError, match=r"^--storage \S+: no study can be kept there: not the URL of a database, .+%40") as raised:
        search.open()
    assert "secret" not in str(raised.value)


def test_a_database_may_have_any_name(tmp_path):
    """Optuna would take braces for a template."""
    database.opened(f"sqlite:///{tmp_path}/{{a}}.db")
    assert (tmp_path / "{a}.db").is_file()


@pytest.mark.parametrize("storage", ["mysql+asyncmy://me:secret@host/db", "postgresql+pg8000://me:secret@host/db"])
def test_a_missing_driver_is_named_with_the_command_to_install_it(tmp_path, storage):
    """SQLAlchemy knows the dialect, and the driver is not there."""
    search = search_over(EMBEDDED, tmp_path, "lora.r", storage=storage)
    with pytest.raises(SweepError, match=r"there: the database's driver is not installed; for postgresql: python -m pip install"):
        search.open()


def test_what_fails_for_a_moment_is_tried_again(monkeypatch):
    """After PATIENCE the error is raised; another error at once."""
    monkeypatch.setattr(database, "RETRY", 0.01)
    attempts = iter([OperationalError("SELECT", {}, Exception("gone")), optuna.exceptions.StorageInternalError("gone")])

    def work():
        for error in attempts:
            raise error
        return "done"

    assert database.patiently(work) == "done"
    began = time.monotonic()
    with pytest.raises(OperationalError, match="gone"):
        database.patiently(lambda: (_ for _ in ()).throw(OperationalError("SELECT", {}, Exception("gone"))), seconds=0.1)
    assert time.monotonic() - began > 0.1
    with pytest.raises(ZeroDivisionError, match="zero"):
        database.patiently(lambda: 1 / 0)


def test_the_reason_is_the_databases_own_first_line():
    """Optuna's and SQLAlchemy's words around it are left out; what to do is said where the server was not reached."""
    broken = OperationalError("SELECT", {}, Exception("server closed the connection\nmore"))
    wrapped = optuna.exceptions.StorageInternalError("An exception is raised during the commit.")
    wrapped.__cause__ = broken
    expected = "server closed the connection; check that the server runs and takes this login from this machine"
    assert database.reason(broken) == database.reason(wrapped) == expected
    assert database.reason(ValueError("one\ntwo")) == "one"


def test_a_machine_without_memory_is_not_the_databases_fault(tmp_path, monkeypatch):
    """Its error stays what it is."""

    def fill(_):
        raise MemoryError

    monkeypatch.setattr(database, "opened", fill)
    with pytest.raises(MemoryError, match=r"^$"):
        search_over(EMBEDDED, tmp_path, "lora.r").open()
