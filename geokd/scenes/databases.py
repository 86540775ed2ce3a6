"""GeoPackages and other SQLite files, read where nothing may be written, too."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PROBE = "SELECT count(*) FROM sqlite_master"


@contextmanager
def database_read(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database to read it.

    One in WAL mode, as QGIS leaves them, wants to write a file beside itself even to be read. Where that cannot be, it
    is opened as one that nobody changes.

    Raises
    ------
    sqlite3.Error
        If it is none, or changes are waiting beside it that cannot be taken in.
    """
    address = f"{path.resolve().as_uri()}?mode=ro"
    database = sqlite3.connect(address, uri=True)
    try:
        try:
            database.execute(_PROBE).fetchone()
        except sqlite3.OperationalError as error:
            waiting = path.with_name(f"{path.name}-wal")
            with suppress(OSError):
                if waiting.stat().st_size:
                    raise sqlite3.OperationalError(
                        f"changes wait in {waiting.name} that cannot be taken in, since its folder is read-only (WAL);"
                        " copy both files to a folder that may be written"
                    ) from error
            database.close()
            database = sqlite3.connect(f"{address}&immutable=1", uri=True)
            database.execute(_PROBE).fetchone()
        yield database
    finally:
        database.close()
