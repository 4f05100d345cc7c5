"""Clients that never cease to write into an overlay database, and what was acknowledged to them."""

from __future__ import annotations

import itertools
import threading
import time

from ovsdb.rpc import TransactionError, UnreachableError, connect


class Writers:
    """Clients that write one row after another, each until it is acknowledged, whichever server is there.

    `acknowledged` has the moment (monotonic, in seconds) and the tenant's name of each.
    """

    def __init__(self, where: str, count: int) -> None:
        """`where` is an OVSDB remote, with commas between several."""
        self.where = where
        self.acknowledged: list[tuple[float, str]] = []
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=self._write, args=(number,)) for number in range(count)]
        for thread in self.threads:
            thread.start()

    def _write(self, number: int) -> None:
        serial = 0
        database = None
        while not self.ended.is_set():
            name = f"writer{number}-{serial}"
            try:
                database = database or connect(self.where)
                database.transact([{"op": "insert", "table": "Tenant", "row": {"name": name}}], 2)
            except TransactionError as refused:
                # A unique name makes the second try of what was done already show itself.
                if refused.error != "constraint violation":
                    continue
            except UnreachableError:
                if database is not None:
                    database.close()
                    database = None
                continue
            self.acknowledged.append((time.monotonic(), name))
            serial += 1
            time.sleep(0.005)
        if database is not None:
            database.close()

    def end(self) -> None:
        """Have them end, and wait for it."""
        self.ended.set()
        for thread in self.threads:
            thread.join()

    def gap(self, began: float) -> float:
        """The longest time without an acknowledgement since then."""
        moments = [began, *sorted(moment for moment, _ in self.acknowledged if moment > began)]
        return max(after - before for before, after in itertools.pairwise(moments))
