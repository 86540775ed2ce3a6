"""GeoPackages and other SQLite files, read also from read-only folders."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PROBE = "SELECT count(*) FROM sqlite_master"


@contextmanager
def database_read(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database to read it.

    A database in WAL mode, as QGIS leaves them, needs to write a file beside itself even for reading. If that is not
    possible, it is opened as immutable.

    Raises
    ------
    sqlite3.Error
        If it is not a database, or has pending changes beside it that cannot be applied.
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
                        f"pending changes in {waiting.name} cannot be applied, because its folder is read-only (WAL);"
                        " copy both files to a writable folder"
                    ) from error
            database.close()
            database = sqlite3.connect(f"{address}&immutable=1", uri=True)
            database.execute(_PROBE).fetchone()
        yield database
    finally:
        database.close()
