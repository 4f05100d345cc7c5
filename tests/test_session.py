"""The session with a database whose server is gone."""

from __future__ import annotations

import json
import signal
from contextlib import closing
from pathlib import Path
from threading import Timer
from time import monotonic

import pytest
from ovs.db.idl import Idl, Transaction

from ovsdb import rpc
from ovsdb.embedded import schema
from ovsdb.session import Session
from tests.overlay_database import needs_ovsdb
from topologies.cluster import standalone

pytestmark = pytest.mark.server


@needs_ovsdb
def test_all_of_a_small_set_may_change_at_once(tmp_path: Path) -> None:
    """What the server then sends is the difference, which has more values than the column may have."""
    with (
        standalone(tmp_path) as server,
        rpc.connect(server.tcp) as database,
        closing(Session(server.tcp, json.loads(schema().read_text()))) as session,
    ):
        tenant = {"op": "insert", "table": "Tenant", "row": {"name": "acme"}, "uuid-name": "acme"}
        network = {"name": "red", "vni": 1, "tenant": ["named-uuid", "acme"], "encap": "gre"}
        database.transact([tenant, {"op": "insert", "table": "Network", "row": network}])
        for gateways in (["10.0.0.1", "fd00::1"], ["10.0.0.254"], [], ["10.0.0.2", "fd00::2"], ["10.0.0.3", "fd00::3"]):
            row = {"gateways": ["set", gateways]}
            database.transact([{"op": "update", "table": "Network", "where": [], "row": row}])
            deadline = monotonic() + 5
            while [sorted(row.gateways) for row in session.idl.tables["Network"].rows.values()] != [gateways]:
                assert monotonic() < deadline, gateways
                session.run()
                session.block()


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
