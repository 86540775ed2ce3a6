"""Dask's `distributed`, which speaks of its troubles in its logs, several pages for a lost connection: silenced here.

What goes wrong becomes an error of one sentence, see :mod:`geokd.mapping.workers.cluster`.
"""

import dask

_TALKERS = ("distributed", "distributed.client", "tornado", "tornado.application", "asyncio")

with dask.config.set(logging=dict.fromkeys(_TALKERS, "critical")):
    import distributed  # reads it at its first import

__all__ = ["dask", "distributed"]
