"""Whether a chassis' datapath is found: by what ovs-vswitchd says, and never by what its database's server forgot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from time import monotonic

import pytest

from flows.model import Chassis, Vtep
from ovsdb import rpc, vswitch
from ovsdb.provision import Provisioned, ask_again, provision
from ovsdb.session import Session
from ovsdb.wanted import Wanted
from tests.overlay_database import needs_ovsdb, serving
from topologies.cluster import run_tool

pytestmark = [pytest.mark.server, needs_ovsdb]
SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
WANTED = Wanted(Chassis("h1", (Vtep("192.0.2.1"),)), {"one": "tcp:192.0.2.9:6653"})


class Host:
    """A chassis' database, and ovs-vswitchd in so far as it answers: played by hand."""

    def __init__(self, directory: Path, session: Session) -> None:
        self._remote = f"unix:{directory / 'conf.db.sock'}"
        self._session = session

    def provision(self) -> Provisioned:
        """Once all was read that stands in the database."""
        deadline = monotonic() + 10
        with rpc.connect(self._remote, "Open_vSwitch") as database:
            row = database.select("Open_vSwitch")[0]
        while not self._session.in_sync or self._counted() != (row["next_cfg"], row["cur_cfg"]):
            assert monotonic() < deadline
            self._session.run()
            self._session.block(0.05)
        return provision(self._session, WANTED)

    def reconnect(self) -> None:
        """The server is another one; return when that was heard."""
        before, deadline = self._session.connection, monotonic() + 10
        while self._session.connection == before:
            assert monotonic() < deadline
            self._session.run()
            self._session.block(0.05)

    def _counted(self) -> tuple[int, int]:
        rows = self._session.idl.tables["Open_vSwitch"].rows.values()
        return next(((row.next_cfg, row.cur_cfg) for row in rows), (-1, -1))

    def answer(self, datapath_id: str) -> None:
        """As ovs-vswitchd does: what it has of the bridge, and in the same transaction that all is done."""
        with rpc.connect(self._remote, "Open_vSwitch") as database:
            done = database.select("Open_vSwitch")[0]["next_cfg"]
            said = {"datapath_id": datapath_id or rpc.as_set([])}
            database.transact([
                {"op": "update", "table": "Bridge", "where": [["name", "==", "br-int"]], "row": said},
                {"op": "update", "table": "Open_vSwitch", "where": [], "row": {"cur_cfg": done}},
            ])  # fmt: skip

    def bridge(self) -> rpc.Row:
        with rpc.connect(self._remote, "Open_vSwitch") as database:
            return database.select("Bridge", [["name", "==", "br-int"]])[0]

    def again(self) -> None:
        assert ask_again(self._session)


@contextmanager
def served(directory: Path) -> Iterator[None]:
    """The server, from its start to its end."""
    with serving(directory, file="conf.db") as remote:
        with rpc.connect(remote, "Open_vSwitch") as database:
            if not database.select("Open_vSwitch"):
                database.transact([{"op": "insert", "table": "Open_vSwitch", "row": {}}])
        yield


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    run_tool("create", tmp_path / "conf.db", SCHEMA)
    with closing(Session(f"unix:{tmp_path / 'conf.db.sock'}", vswitch.SCHEMA)) as session:
        yield Host(tmp_path, session)


def test_a_bridge_that_cannot_be_made_gets_the_userspace_datapath(host: Host, tmp_path: Path) -> None:
    with served(tmp_path):
        host.provision()
        assert host.bridge()["datapath_type"] == ""
        host.answer("")
        host.provision()
        assert host.bridge()["datapath_type"] == "netdev"


def test_a_bridge_of_a_server_that_was_restarted_is_asked_for_and_stays_what_it_is(host: Host, tmp_path: Path) -> None:
    """`datapath_id` is gone with the server, and `cur_cfg` is not: nothing is known until ovs-vswitchd is back."""
    with served(tmp_path):
        host.provision()
        host.answer("0e70000000000001")
        assert not host.provision().ask
    with served(tmp_path):
        assert host.bridge()["datapath_id"] == rpc.as_set([])
        host.reconnect()
        done = host.provision()
        assert (done.problems, done.ask) == ((), True)
        host.again()
        host.provision()
        assert host.bridge()["datapath_type"] == ""
        host.answer("0e70000000000001")
        assert not host.provision().ask
        assert host.bridge()["datapath_type"] == ""


def test_one_that_was_left_without_a_datapath_gets_one_from_a_controller_that_comes(host: Host, tmp_path: Path) -> None:
    with served(tmp_path):
        host.provision()
        host.answer("")
    with served(tmp_path):
        host.reconnect()
        assert host.provision().ask
        host.again()
        host.answer("")
        host.provision()
        assert host.bridge()["datapath_type"] == "netdev"
