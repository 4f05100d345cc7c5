"""The session with a database whose server is gone."""

from __future__ import annotations

import json
import signal
from contextlib import closing
from pathlib import Path
from threading import Timer

import pytest
from ovs.db.idl import Idl, Transaction

from ovsdb.embedded import schema
from ovsdb.session import Session
from tests.cluster import standalone
from tests.overlay_database import needs_ovsdb

pytestmark = pytest.mark.server


@needs_ovsdb
def test_a_transaction_under_way_ends_with_the_connection(tmp_path: Path) -> None:
    """python-ovs itself waits until the server is back; who waits with it does not hear that it is gone."""

    def write(idl: Idl, transaction: Transaction) -> None:
        transaction.insert(idl.tables["Tenant"]).name = "gold"

    with standalone(tmp_path) as server, closing(Session(server.tcp, json.loads(schema().read_text()))) as session:
        while not session.in_sync:
            session.run()
            session.block()
        server.signal(signal.SIGSTOP)
        end = Timer(0.3, server.kill)
        end.start()
        assert not session.transact(write)
        end.join()
        session.run()
        assert not session.in_sync
        assert session.fault
        server.start()
        while not session.in_sync:
            session.run()
            session.block()
        assert session.transact(write)
        assert [row.name for row in session.idl.tables["Tenant"].rows.values()] == ["gold"]
