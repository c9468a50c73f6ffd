"""The study's database: opened, waited for while it is away, and named without its password."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

import optuna
from sqlalchemy import URL, NullPool, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, OperationalError, ProgrammingError, SQLAlchemyError

from lorasent.errors import first_line

ERRORS = (optuna.exceptions.StorageInternalError, SQLAlchemyError)
"""What is raised where a database does not do what it was asked."""

CREATION_ERRORS = (IntegrityError, ProgrammingError)
"""What is raised where another process creates the same tables at the same moment."""

PATIENCE = 60.0
"""Seconds for which a database that was there is waited for."""

RETRY = 0.5
"""Seconds between two attempts."""

LIBPQ = {"connect_timeout": 10, "tcp_user_timeout": 30_000, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 4}
"""Seconds, and milliseconds of `tcp_user_timeout`, after which PostgreSQL's library gives up a silent server; otherwise, hours."""

Result = TypeVar("Result")


def patiently(function: Callable[[], Result], errors: Any = ERRORS, seconds: float | None = None) -> Result:
    """What the function returns. It is called again after one of the errors, until `seconds` (PATIENCE) are over."""
    end = time.monotonic() + (PATIENCE if seconds is None else seconds)
    while True:
        try:
            return function()
        except errors:
            if time.monotonic() > end:
                raise
        time.sleep(RETRY)


def opened(url: str) -> optuna.storages.RDBStorage:
    """Optuna's storage in a database, which is waited for once it was there. Raises errors of many kinds: see `reason`.

    It closes each connection after its use: a pool leaves them to the garbage collector, and keeps those to a server that has gone.
    """
    parsed = _parsed(url)
    options: dict[str, Any] = {"poolclass": NullPool}
    if parsed.get_backend_name() == "postgresql":
        if parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")  # SQLAlchemy 2.0 would look for an older one
        if parsed.get_driver_name().startswith("psycopg"):
            options["connect_args"] = {key: value for key, value in LIBPQ.items() if key not in parsed.query}
    text = parsed.render_as_string(hide_password=False).replace("{", "{{").replace("}", "}}")  # Optuna takes it for a template
    storage = optuna.storages.RDBStorage(text, options)
    if parsed.get_backend_name() != "sqlite":
        event.listen(storage.engine, "do_connect", _connect)
    return storage


def _connect(dialect: Any, _: Any, arguments: Any, parameters: Any) -> Any:
    """A new connection, as soon as the server takes one: a listener of SQLAlchemy's."""
    return patiently(lambda: dialect.connect(*arguments, **parameters), dialect.loaded_dbapi.OperationalError)


def _parsed(url: str) -> URL:
    try:
        return make_url(url)
    except (ArgumentError, ValueError):  # their messages may show a part of the password
        reason = "not the URL of a database, DRIVER://USER@HOST:PORT/NAME; in a password write @ : / ? # as %40 %3A %2F %3F %23"
        raise ValueError(reason) from None


def reason(error: BaseException) -> str:
    """Why a storage cannot be used, in one line, with what to do about it where that is known."""
    cause = error.__cause__ if isinstance(error, optuna.exceptions.StorageInternalError) and error.__cause__ else error
    if isinstance(cause, ImportError):
        return "the database's driver is not installed; for postgresql: python -m pip install 'lorasent[postgresql]'"
    line = first_line(cause.orig if isinstance(cause, DBAPIError) and cause.orig else cause)
    is_lost = isinstance(cause, OperationalError) and "sqlite" not in type(cause.orig).__module__
    return f"{line}; check that the server runs and takes this login from this machine" if is_lost else line


def without_password(storage: str) -> str:
    """A database's URL with its password hidden."""
    try:
        url = make_url(storage)
    except (ArgumentError, ValueError):
        return storage if "@" not in storage else f"{storage.partition(':')[0]}:…"
    hidden = {key: "***" for key in url.query if "pass" in key.lower()}
    return url.update_query_dict(hidden).render_as_string(hide_password=True)
