"""Any commands in one transaction leave what they leave one after the other."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovsdb.rpc import Connection, elements
from tests.cli.words import TABLES, call
from tests.overlay_database import needs_ovsdb

pytestmark = needs_ovsdb
NETWORKS = st.sampled_from(["red", "blue"])
TENANTS = st.sampled_from(["acme", "umbra"])
NAMES = st.sampled_from(["a", "b", "c"])
IPS = st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.1,10.0.0.3", "none", "auto", "auto4"])
VNIS = st.integers(1, 3)
COMMANDS = st.one_of(
    st.builds("net-add {} --tenant {} --vni {} --subnet 10.0.0.0/29".format, NETWORKS, TENANTS, VNIS),
    st.builds("net-set {} --vni {} --tenant {}".format, NETWORKS, VNIS, TENANTS),
    st.builds("net-set {} --range 10.0.0.{}-10.0.0.6".format, NETWORKS, VNIS),
    st.builds("net-del {} --cascade".format, NETWORKS),
    st.builds("net-del {}".format, NETWORKS),
    st.builds("tenant-del {} --cascade".format, TENANTS),
    st.builds("port-add {0} --net {1} --mac 02:00:00:00:00:0{2} --ip {3}".format, NAMES, NETWORKS, VNIS, IPS),
    st.builds("port-set {0} --mac 02:00:00:00:00:0{1} --ip {2}".format, NAMES, VNIS, IPS),
    st.builds("port-set {} --extra-mac 02:00:00:00:00:0{}".format, NAMES, VNIS),
    st.builds("port-del {}".format, NAMES),
    st.builds("set Port {} external_ids:k{}=v".format, NAMES, VNIS),
    st.builds("destroy Port {} --if-exists".format, NAMES),
)


FIRST = ("net-add red --tenant acme --vni 1 --subnet 10.0.0.0/29", "net-add blue --tenant acme --vni 2")


def state(database: Connection) -> Any:
    """What is declared, by names."""
    rows = {table: {row["_uuid"][1]: row for row in database.select(table)} for table in TABLES}
    networks = {uuid: row["name"] for uuid, row in rows["Network"].items()}
    return (
        sorted(row["name"] for row in rows["Tenant"].values()),
        sorted(
            (row["name"], row["vni"], rows["Tenant"][row["tenant"][1]]["name"], str(row["ranges"]))
            for row in rows["Network"].values()
        ),
        sorted(
            (
                row["name"],
                networks[row["network"][1]],
                row["mac"],
                sorted(rows["Address"][uuid]["ip"] for uuid in elements(row["addresses"])),
                elements(row["extra_macs"]),
                sorted(row["external_ids"][1]),
            )
            for row in rows["Port"].values()
        ),
        sorted((networks[row["network"][1]], row["ip"]) for row in rows["Address"].values()),
    )


def empty(database: Connection) -> None:
    database.transact([{"op": "delete", "table": table, "where": []} for table in TABLES])


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=40)
@given(st.lists(COMMANDS, min_size=4, max_size=20))
def test_one_transaction_is_all_of_them(database: Connection, commands: list[str]) -> None:
    empty(database)
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        done = [command for command in [*FIRST, *commands] if call(command) == 0]
    one_by_one = state(database)
    assert len(set(one_by_one[3])) == len(one_by_one[3])
    empty(database)
    if done:
        with contextlib.redirect_stdout(io.StringIO()):
            assert call(" -- ".join(done)) == 0
        assert len(database.select("Change")) <= 1
    assert state(database) == one_by_one, done
