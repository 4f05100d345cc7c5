"""Two chassis over TLS alone: real packets, and what happens to those whose certificate is no good."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ovsdb.wanted import datapath_id
from tests.certificates import Authority
from tests.system.secure_lab import DATABASE, SecureLab
from tests.system.steps import chassis_error, eventually, flows, fresh_name, same_network, settle, shown
from topologies import controller, two_chassis
from topologies.topology import CONTROLLER

pytestmark = pytest.mark.system
UNDER_WAY = 1
"""Pings whose answer may be under way at the moment that ping is ended."""


@pytest.fixture(scope="module")
def lab() -> Iterator[SecureLab]:
    with SecureLab(two_chassis.TOPOLOGY, fresh_name()) as built:
        built.up()
        yield built
        log = built.controller_log()
        print(log)
        assert "Traceback" not in log
        assert "CRITICAL" not in log


def vsctl(lab: SecureLab, chassis: str, *argv: str) -> str:
    return lab.run(chassis, "ovs-vsctl", "--timeout=10", *argv).stdout.strip()


def ready(lab: SecureLab) -> bool:
    return {row["state"] for row in shown(lab)["chassis"]} == {"ready"}


def test_everything_works(lab: SecureLab) -> None:
    for pair in same_network(lab):
        assert lab.ping(*pair, count=3).lost == 0
    assert ready(lab)


def test_nothing_is_spoken_without(lab: SecureLab) -> None:
    for name in ("h1", "h2"):
        assert vsctl(lab, name, "get-controller", "br-int") == "ssl:198.51.100.254:6653"
        eventually(lambda name=name: "is_connected: true" in vsctl(lab, name, "show"))
        assert vsctl(lab, name, "get-manager") == "pssl:6640"
    listening = lab.run(CONTROLLER, "ss", "-Hltn").stdout
    assert "0.0.0.0:6653" in listening
    assert "127.0.0.1:6642" in listening
    assert "0.0.0.0:6642" not in listening
    plain = lab.run(CONTROLLER, "ovsdb-client", "--timeout=3", "list-dbs", DATABASE.replace("ssl", "tcp"), check=False)
    assert plain.returncode != 0
    plain = lab.run(CONTROLLER, "ovsdb-client", "--timeout=3", "list-dbs", "tcp:198.51.100.1:6640", check=False)
    assert plain.returncode != 0


def test_the_controller_comes_back(lab: SecureLab) -> None:
    before = {name: sorted(flows(lab, name)) for name in ("h1", "h2")}
    one, two = (vm.name for vm in lab.topology.vms[:2])
    with lab.pinging(one, two) as pinged:
        lab.stop_controller()
        lab.start_controller()
        eventually(lambda: ready(lab), 20)
        settle(lab)
    assert pinged().lost <= UNDER_WAY
    assert {name: sorted(flows(lab, name)) for name in before} == before


def test_a_chassis_that_says_to_be_another(lab: SecureLab) -> None:
    """h2's operator gives a bridge h1's datapath id: it has the wrong name, and h1 never notices."""
    settle(lab)
    before = sorted(flows(lab, "h1"))
    one, two = (vm.name for vm in lab.topology.vms[:2])
    vsctl(lab, "h2", "add-br", "br-evil", "--", "set", "bridge", "br-evil", f"datapath_type={lab.datapath}",
          f"other_config:datapath-id={datapath_id('h1')}", "protocols=OpenFlow14", "--",
          "set-controller", "br-evil", "ssl:198.51.100.254:6653")  # fmt: skip
    with lab.pinging(one, two) as pinged:
        eventually(lambda: "its certificate is of 'h2', and its datapath id is that of chassis 'h1'"
                   in lab.controller_log())  # fmt: skip
        lab.run("h2", "sleep", "3")
    assert pinged().lost <= UNDER_WAY
    assert "h1: OpenFlow connection lost" not in lab.controller_log().rpartition("h1: connected")[2]
    assert sorted(flows(lab, "h1")) == before
    vsctl(lab, "h2", "del-br", "br-evil")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("theirs", "another CA than"),
        ("expired", "its certificate has expired"),
        ("other", "its certificate is of 'h1', not of 'h2'"),
    ],
)
def test_a_chassis_database_whose_certificate_is_no_good(lab: SecureLab, kind: str, words: str, tmp_path: Path) -> None:
    """It is said of that chassis; packets go on, and all is well when it has its own again."""
    own = lab.authority.directory
    if kind == "theirs":
        theirs = Authority(tmp_path / "theirs")
        home = theirs.issue("h2")
        (home / "cacert.pem").write_bytes((own / "cacert.pem").read_bytes())
    else:
        home = lab.authority.expired("h2") if kind == "expired" else own / "h1"
    lab.certify("h2", home)
    lab.reconnect("h2")
    assert words in eventually(lambda: words in (said := chassis_error(lab, "h2")) and said, 20)
    assert chassis_error(lab, "h1") == ""
    one, two = (vm.name for vm in lab.topology.vms[:2])
    assert lab.ping(one, two).lost == 0
    lab.certify("h2", own / "h2")
    lab.reconnect("h2")
    eventually(lambda: ready(lab), 30)


def test_an_operator_whose_certificate_is_no_good(lab: SecureLab, tmp_path: Path) -> None:
    theirs = Authority(tmp_path / "theirs").issue("operator")
    for home, words in (
        (theirs, "its certificate is of another CA than ours"),
        (lab.authority.expired("operator"), "our certificate has expired"),
        (tmp_path / "none", "there is no"),
    ):
        refused = lab.run(CONTROLLER, "env", f"OVERLAY_PKI={home}", *controller.overlayctl(), "net-list", check=False)
        assert refused.returncode == 1
        assert words in refused.stderr


def test_a_chassis_side_client_tells_of_itself_alone(lab: SecureLab) -> None:
    """With h1's certificate, at a connection with the role: `ovsdb-client` on the chassis is all it takes."""
    lab.overlayctl("connection-add", "pssl:6643:198.51.100.254", "--role", "chassis")
    home = lab.authority.directory / "h1"
    files = ["-p", str(home / "key.pem"), "-c", str(home / "cert.pem"), "-C", str(home / "cacert.pem")]

    def write(name: str) -> str:
        said = '{"op":"update","table":"Chassis","where":[["name","==","%s"]],"row":{"reported":["map",[["a","b"]]]}}'
        operation = f'["Overlay",{said % name}]'
        done = lab.run("h1", "ovsdb-client", "--timeout=5", *files, "transact", "ssl:198.51.100.254:6643", operation,
                       check=False)  # fmt: skip
        return done.stdout + done.stderr

    eventually(lambda: '"count":1' in write("h1"), 10)
    assert "permission error" in write("h2")


def test_a_chassis_dials_in_with_tls(lab: SecureLab) -> None:
    """h2 connects to the controller instead, by its own certificate; by h1's it is nobody, and without TLS as well."""
    own = lab.authority.directory
    one, two = (vm.name for vm in lab.topology.vms[:2])

    def dial(target: str, home: Path) -> None:
        lab.certify("h2", home)
        vsctl(lab, "h2", "--no-wait", "set-manager", target)

    lab.overlayctl("chassis-set", "h2", "--ovsdb", "dial-in")
    dial("ssl:198.51.100.254:6641", own / "h1")
    eventually(lambda: "its system-id is 'h2', but its certificate is that of 'h1'" in lab.controller_log(), 20)
    dial("tcp:198.51.100.254:6641", own / "h2")
    eventually(lambda: "198.51.100.2: TLS: the other end does not speak TLS" in lab.controller_log(), 20)
    with lab.pinging(one, two) as pinged:
        dial("ssl:198.51.100.254:6641", own / "h2")
        eventually(lambda: ready(lab), 30)
        settle(lab)
    assert pinged().lost <= UNDER_WAY
    assert vsctl(lab, "h2", "get-controller", "br-int") == "ssl:198.51.100.254:6653"
    lab.unplug(two)
    lab.plug(two)
    lab.wait_up()
    assert lab.ping(one, two).received > 0


def test_nothing_secret_is_written_anywhere(lab: SecureLab) -> None:
    """No line of any key is in any log, database or other file of the lab."""
    keys = list((lab.directory / "pki").rglob("*key.pem"))
    assert len(keys) >= 5
    secrets = {line for key in keys for line in key.read_text().splitlines() if not line.startswith("-----")}
    secrets.add("PRIVATE KEY")
    looked = 0
    for path in lab.directory.rglob("*"):
        if path.is_file() and "pki" not in path.relative_to(lab.directory).parts:
            text = path.read_text(errors="replace")
            assert not [secret for secret in secrets if secret in text], path
            looked += 1
    assert looked > 5
