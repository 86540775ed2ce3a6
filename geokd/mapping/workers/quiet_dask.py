"""Dask's `distributed` with its logs silenced: it logs several pages for a lost connection.

Failures become errors of one sentence, see :mod:`geokd.mapping.workers.cluster`.
"""

import dask

_TALKERS = ("distributed", "distributed.client", "tornado", "tornado.application", "asyncio")

with dask.config.set(logging=dict.fromkeys(_TALKERS, "critical")):
    import distributed  # reads it at its first import

__all__ = ["dask", "distributed"]
