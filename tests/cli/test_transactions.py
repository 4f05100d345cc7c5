"""Several verbs in one transaction, what it would do, and what the log says of it."""

from __future__ import annotations

import getpass
import json
import os
import time
from collections.abc import Callable

import pytest

from controller.cli.transaction import logged
from ovsdb.rpc import Connection
from tests.cli.words import call, insert, listed
from tests.overlay_database import needs_ovsdb

pytestmark = needs_ovsdb
BOTH = "net-add red --tenant acme --vni 100 -- port-add web1 --net red --mac 02:00:00:00:00:01 --ip 10.0.0.1"


def test_a_verb_sees_what_those_before_it_did(run: Callable[..., str], database: Connection) -> None:
    run(f"{BOTH} -- port-set web1 --ip 10.0.0.2 -- net-set red --vni 7 -- net-set red --encap gre")
    assert listed(run, "net-list", "name", "tenant", "vni", "encap", "ports") == [
        {"name": "red", "tenant": "acme", "vni": 7, "encap": "gre", "ports": 1}
    ]
    assert [row["ip"] for row in database.select("Address")] == ["10.0.0.2"]
    assert len(database.select("Change")) == 1
    run("port-del web1 -- net-del red -- tenant-del acme -- net-add blue --tenant umbra --vni 7")
    assert [row["name"] for row in listed(run, "net-list")] == ["blue"]


def test_what_one_verb_frees_the_next_may_take(run: Callable[..., str]) -> None:
    run(BOTH)
    run("port-set web1 --ip 10.0.0.2 -- port-add web2 --net red --mac 02:00:00:00:00:02 --ip 10.0.0.1")
    run("port-set web1 --ip 10.0.0.1 -- port-set web2 --ip 10.0.0.2")
    assert [port["ips"] for port in listed(run, "port-list")] == [["10.0.0.1"], ["10.0.0.2"]]
    run("port-del web1 -- port-add web1 --net red --mac 02:00:00:00:00:01 --ip 10.0.0.1")


def test_all_or_nothing(refused: Callable[..., str]) -> None:
    assert "there is no network 'blue'" in refused(f"{BOTH} -- port-add x --net blue --mac 02:00:00:00:00:09")
    assert "network 'red' exists already" in refused(f"{BOTH} -- net-add red --tenant t --vni 5")
    assert "IP 10.0.0.1 is taken by port 'web1'" in refused(
        f"{BOTH} -- port-add web2 --net red --mac 02:00:00:00:00:02 --ip 10.0.0.1"
    )


def test_lists_of_a_transaction_show_what_will_be(run: Callable[..., str], database: Connection) -> None:
    shown = run(f"--format json {BOTH} -- net-list")
    assert [row["name"] for row in json.loads(shown)] == ["red"]


@pytest.mark.parametrize("line", ["-- {} --", "--timeout 5 -- {}", "-- --timeout 5 {}"])
def test_where_the_dashes_may_stand(database: Connection, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    if line.endswith("--"):
        with pytest.raises(SystemExit) as ended:
            call(line.format(BOTH))
        assert ended.value.code == 2
    else:
        assert call(line.format(BOTH)) == 0
        assert len(database.select("Port")) == 1


def test_what_waits_for_the_database_stands_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        call(f"{BOTH} -- port-wait web1")
    assert ended.value.code == 2
    assert "port-wait stands alone" in capsys.readouterr().err


def test_a_dry_run_tells_and_changes_nothing(
    run: Callable[..., str], refused: Callable[..., str], database: Connection
) -> None:
    run("net-add red --tenant acme --vni 100 -- port-add web1 --net red --mac 02:00:00:00:00:01 --ip 10.0.0.1")
    before = database.select("Overlay_Global")
    told = run(
        "--dry-run net-set red --vni 7 -- port-del web1 -- net-add blue --tenant umbra --vni 8 "
        "-- port-add web2 --net red --mac 02:00:00:00:00:02 --ip 10.0.0.1"
    )
    assert told.splitlines() == [
        "- Address 10.0.0.1",
        "+ Address 10.0.0.1: network=red, ip=10.0.0.1",
        "+ Network blue: name=blue, tenant=umbra, vni=8, encap=vxlan",
        "~ Network red: vni: 100 -> 7",
        "- Port web1",
        "+ Port web2: name=web2, network=red, mac=02:00:00:00:00:02, addresses=[10.0.0.1]",
        "+ Tenant umbra: name=umbra",
    ]
    assert run("--dry-run net-set red --vni 100") == "nothing would change\n"
    assert database.select("Overlay_Global") == before
    assert "VNI 100 is taken by network 'red'" in refused("--dry-run net-add x --tenant acme --vni 100")


def test_a_dry_run_names_what_rows_refer_to(run: Callable[..., str]) -> None:
    run(BOTH)
    run("chassis-add h1 tcp:192.0.2.1 --vtep 192.0.2.1")
    assert run("--dry-run port-set web1 --ip none").splitlines() == [
        "- Address 10.0.0.1",
        "~ Port web1: addresses: [10.0.0.1] -> []",
    ]
    assert "~ Chassis h1: vteps: [192.0.2.1] -> [192.0.2.2]" in run("--dry-run chassis-set h1 --vtep 192.0.2.2")
    told = json.loads(run("--dry-run --format json port-set web1 --ip 10.0.0.7 -- port-add web2 --net red --ip none"))
    assert [said["name"] for said in told["said"]] == ["web2"]
    assert [(each["action"], each["table"], each["name"]) for each in told["changes"]] == [
        ("delete", "Address", "10.0.0.1"),
        ("add", "Address", "10.0.0.7"),
        ("change", "Port", "web1"),
        ("add", "Port", "web2"),
    ]
    assert (told["changes"][2]["old"], told["changes"][2]["new"]) == (
        {"addresses": ["10.0.0.1"]},
        {"addresses": ["10.0.0.7"]},
    )
    assert json.loads(run("--dry-run --format json net-set red --vni 100")) == {"changes": []}
    assert json.loads(run("--dry-run --format json net-list"))[0]["name"] == "red"
    assert (
        json.loads(run("--dry-run --format json port-add web2 --net red -- port-list"))["said"][1][1]["name"] == "web2"
    )


def test_every_write_is_numbered_and_logged(run: Callable[..., str], database: Connection) -> None:
    run(BOTH)
    run("port-set web1 --mac 02:00:00:00:00:01")  # changes nothing
    run("port-set web1 --mac 02:00:00:00:00:02 --format json")
    run("port-del web1")
    row = database.select("Overlay_Global")[0]
    assert (row["nb_cfg"], row["epoch"]) == (3, 1)
    assert len(row["database_id"]) == 36
    changes = listed(run, "changes")
    assert [change["what"] for change in changes if change["what"] == "port-set web1 --mac 02:00:00:00:00:02"]
    assert {change["by"] for change in changes} == {f"{getpass.getuser()}@{os.uname().nodename}"}
    assert len({change["request"] for change in changes}) == 3


def test_the_epoch_counts_what_takes_declared_rows_away(run: Callable[..., str], database: Connection) -> None:
    def epoch() -> int:
        return int(database.select("Overlay_Global")[0]["epoch"])

    run(BOTH)
    run("chassis-add h1 tcp:192.0.2.1 --vtep 192.0.2.1,192.0.2.2")
    run("chassis-set h1 --vtep 192.0.2.1 -- port-set web1 --ip none")
    assert epoch() == 0
    for number, line in enumerate(["chassis-del h1", "tenant-del acme --cascade"], 1):
        run(line)
        assert epoch() == number


def test_changes_are_listed_in_the_order_in_which_they_were_made(run: Callable[..., str]) -> None:
    for number in range(20):
        run(f"tenant-add t{number}")
    assert [change["what"] for change in listed(run, "changes")] == [f"tenant-add t{number}" for number in range(20)]


def test_old_changes_go(run: Callable[..., str], database: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    now = int(time.time())
    insert(database, "Change", request="old", at=now - 86500)
    insert(database, "Change", request="young", at=now - 80000)
    run(BOTH)
    assert {row["request"] for row in database.select("Change")} >= {"young"}
    assert not database.select("Change", [["request", "==", "old"]])
    monkeypatch.setattr("controller.cli.commit.KEPT", 3)
    monkeypatch.setattr("controller.cli.commit.SWEEP", 1)
    for number in range(6):
        insert(database, "Change", request=f"many{number}", at=now - 1000 + number)
    run("port-del web1")
    assert {row["request"] for row in database.select("Change", [["at", "<", now - 300]])} == {"many4", "many5"}


def test_nothing_secret_is_logged() -> None:
    line = ["--db", "ssl:192.0.2.1:6640", "--wait", "set", "Network", "red", "external_ids:password=x y", "--timeout=3"]
    assert logged(line) == "set Network red external_ids:password=***"
    assert logged(["tenant-add", "acme", "--description", "two words"]) == "tenant-add acme --description 'two words'"
