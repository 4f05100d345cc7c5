"""`apply`, `diff` and `export` on a real ovsdb-server: what they print, refuse and return."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from controller.cli.database import Database
from controller.cli.declarative.read import CHASSIS, CONNECTION, NETWORK, PORT, SECTIONS, TENANT
from controller.cli.main import main
from ovsdb.rpc import GRACE, Connection, Operation
from tests.cli.words import call, everything, insert, listed, update
from tests.overlay_database import needs_ovsdb

pytestmark = needs_ovsdb

NET = """\
version: 1
tenants:
  acme:
networks:
  red:
    tenant: acme
    vni: 100
    subnets: [10.0.0.0/24]
    ports:
      web1: {mac: 02:00:00:00:00:01, ips: [10.0.0.1]}
      web2: {mac: 02:00:00:00:00:02, ips: [10.0.0.2]}
"""


@pytest.fixture
def net(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a file; returns where."""

    def write(text: str) -> Path:
        path = tmp_path / "net.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def said(database: Connection, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command that ends with this code; returns what it printed, on whichever stream."""

    def said(line: str, code: int) -> str:
        assert call(line) == code
        printed = capsys.readouterr()
        assert not printed.out or not printed.err
        return printed.out + printed.err

    return said


def test_a_plan_and_its_sum(said: Callable[..., str], net: Callable[[str], Path]) -> None:
    file = net(NET)
    added = [
        "+ tenant acme",
        "+ network red: tenant acme, vni 100, encap vxlan, subnets [10.0.0.0/24]",
        "+ port web1: network red, mac 02:00:00:00:00:01, ips [10.0.0.1]",
        "+ port web2: network red, mac 02:00:00:00:00:02, ips [10.0.0.2]",
    ]
    assert said(f"diff -f {file}", 1).splitlines() == [*added, "4 to add, 0 to change, 0 to delete"]
    assert said(f"apply -f {file}", 0).splitlines() == [*added, "4 added, 0 changed, 0 deleted"]
    assert said(f"diff -f {file}", 0) == ""
    assert said(f"apply -f {file}", 0) == f"nothing to change: the database is as {file} says\n"
    net(
        NET.replace("vni: 100", "vni: 101\n    mtu: 1400\n    external-ids: {a: b}")
        .replace("ips: [10.0.0.1]", "ips: [10.0.0.3], enabled: false")
        .replace("web2:", "web3:")
    )
    changed = [
        "~ network red",
        "    vni: 100 -> 101",
        "    mtu: unset -> 1400",
        "    external-ids.a: unset -> b",
        "~ port web1",
        "    ips: [10.0.0.1] -> [10.0.0.3]",
        "    enabled: unset -> false",
        "- port web2: network red, mac 02:00:00:00:00:02, ips [10.0.0.2]",
        "+ port web3: network red, mac 02:00:00:00:00:02, ips [10.0.0.2]",
    ]
    assert said(f"diff -f {file}", 1).splitlines() == [*changed, "1 to add, 2 to change, 1 to delete"]
    assert said(f"apply -f {file}", 0).splitlines() == [*changed, "1 added, 2 changed, 1 deleted"]


def test_a_plan_for_programs(said: Callable[..., str], net: Callable[[str], Path]) -> None:
    file = net(NET)
    plan = json.loads(said(f"diff -f {file} --format json", 1))
    assert (plan["add"], plan["change"], plan["delete"]) == (4, 0, 0)
    assert plan["changes"][0] == {
        "action": "add",
        "kind": "tenant",
        "name": "acme",
        "fields": {"name": {"old": None, "new": "acme"}},
    }
    assert json.loads(said(f"apply -f {file} --format json", 0)) == plan
    assert json.loads(said(f"diff -f {file} --format json", 0))["changes"] == []


def test_a_plan_in_colours(
    database: Connection,
    net: Callable[[str], Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert call(f"diff -f {net(NET)}") == 1
    assert "\x1b[32m+ tenant acme\x1b[0m\n" in capsys.readouterr().out
    assert call(f"diff -f {net(NET)} --no-color") == 1
    assert "\x1b" not in capsys.readouterr().out


def test_what_a_terminal_would_obey_is_escaped(said: Callable[..., str], net: Callable[[str], Path]) -> None:
    file = net('version: 1\ntenants: {a: {description: "\\e[2J\\n"}}')
    printed = said(f"diff -f {file}", 1)
    assert "+ tenant a: description '\\x1b[2J\\n'\n" in printed


def test_diff_changes_nothing_and_dry_run_neither(
    database: Connection, said: Callable[..., str], net: Callable[[str], Path]
) -> None:
    before = everything(database)
    said(f"diff -f {net(NET)}", 1)
    planned = said(f"apply -f {net(NET)} --dry-run", 0)
    assert "+ port web1: network red" in planned
    assert planned.endswith(" to add, 0 to change, 0 to delete\n")
    assert json.loads(said(f"apply -f {net(NET)} --dry-run --format json", 0))["delete"] == 0
    assert everything(database) == before


def test_diff_has_the_exit_codes_of_diff(said: Callable[..., str], net: Callable[[str], Path]) -> None:
    assert "cannot read /nowhere: No such file or directory" in said("diff -f /nowhere", 2)
    assert "cannot read /nowhere: No such file or directory" in said("apply -f /nowhere", 1)
    assert "no overlay database at unix:/nowhere" in said(f"diff -f {net(NET)} --db unix:/nowhere", 2)
    with pytest.raises(SystemExit) as ended:
        call("diff")
    assert ended.value.code == 2


def test_a_file_comes_from_standard_input(
    said: Callable[..., str], monkeypatch: pytest.MonkeyPatch, run: Callable[..., str]
) -> None:
    for verb, code in ("diff", 1), ("apply", 0), ("diff", 0):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(NET.encode())))
        said(f"{verb} -f -", code)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"version: 2")))
    assert "\n<stdin>:1:10: version: version '2' is unknown" in said("apply -f -", 1)


# -- sections


def test_the_example_of_the_page_works_and_has_every_key(
    said: Callable[..., str], run: Callable[..., str], net: Callable[[str], Path]
) -> None:
    page = (Path(__file__).parent.parent.parent / "docs" / "declarative-file.md").read_text(encoding="utf-8")
    example = page.partition("```yaml\n")[2].partition("```")[0]
    for key in (*SECTIONS, *TENANT, *NETWORK, *PORT, *CHASSIS, *CONNECTION):
        assert f"{key}:" in example
    run(f"apply -f {net(example)}")
    assert said(f"diff -f {net(example)}", 0) == ""
    exported = run("export")
    assert said(f"diff -f {net(exported)}", 0) == ""


def test_the_faults_of_the_page_are_those_that_are_told(said: Callable[..., str], net: Callable[[str], Path]) -> None:
    page = (Path(__file__).parent.parent.parent / "docs" / "declarative-file.md").read_text(encoding="utf-8")
    told = page.partition("overlayctl: net.yaml")[2].partition("```")[0].replace("net.yaml", "")
    file = net(
        "version: 1\nnetworks:\n  red:\n    tenant: acme\n    vni: 100\n    encap: gre\n    ports:\n      web1:\n"
        "        mac: 02:00\n        ip: []\n  # the other\n  blue:\n    tenant: acme\n    vni: 100\n"
    )
    assert said(f"diff -f {file}", 2).replace(str(file), "") == f"overlayctl: {told}"


@pytest.mark.usefixtures("session")
def test_a_section_that_is_not_there_is_left_alone(
    database: Connection, said: Callable[..., str], net: Callable[[str], Path], run: Callable[..., str]
) -> None:
    before = everything(database)
    assert "nothing to change" in said(f"apply -f {net('version: 1')}", 0)
    assert everything(database) == before
    run(f"apply -f {net('version: 1' + chr(10) + 'chassis: {}')}")
    assert listed(run, "chassis-list") == []
    assert len(listed(run, "port-list")) == 2
    networks = "version: 1\nnetworks: {red: {tenant: acme, vni: 100}}"
    assert said(f"apply -f {net(networks)}", 0).splitlines()[-1] == "0 added, 0 changed, 1 deleted"
    assert [row["name"] for row in listed(run, "port-list")] == ["web1", "web2"]
    run(f"apply -f {net(networks[:-2] + ', ports: {}}}')}")
    assert listed(run, "port-list") == []


@pytest.mark.usefixtures("session")
def test_a_tenant_is_in_the_file_or_in_the_database(said: Callable[..., str], net: Callable[[str], Path]) -> None:
    file = net("version: 1\nnetworks:\n  red: {tenant: nobody, vni: 100}")
    assert f"{file}:3:17: networks.red.tenant: no tenant 'nobody' in the database" in said(f"apply -f {file}", 1)
    assert f"{file}:3:17: networks.red.tenant: no tenant 'nobody' in the database" in said(f"diff -f {file}", 2)
    file = net("version: 1\ntenants: {acme: }")
    assert "tenant 'umbra' is not in" in said(f"apply -f {file}", 1)


@pytest.mark.usefixtures("session")
def test_ports_that_the_file_leaves_alone_must_fit(said: Callable[..., str], net: Callable[[str], Path]) -> None:
    file = net("version: 1\nnetworks:\n  red: {tenant: acme, vni: 100, subnets: [10.9.0.0/24]}")
    assert "network 'red': these addresses would be in none of its subnets: 10.0.0.1 (web1)" in said(
        f"apply -f {file}", 1
    )


def test_ports_that_go_need_not_fit(said: Callable[..., str], net: Callable[[str], Path]) -> None:
    said(f"apply -f {net(NET)}", 0)
    said(f"apply -f {net(NET.replace('10.0.0.', '10.9.0.'))}", 0)
    said(f"apply -f {net(NET.replace('10.0.0.0', '10.8.0.0').partition('      web1')[0][:-1] + ' {}')}", 0)


@pytest.mark.usefixtures("session")
def test_a_network_with_undeclared_ports_stays(
    database: Connection, said: Callable[..., str], net: Callable[[str], Path]
) -> None:
    insert(database, "Binding", chassis="h2", interface="vm9", vni="200", network="blue")
    file = net(NET)
    before = everything(database)
    assert "network 'blue' still has undeclared ports: h2/vm9; unplug them first" in said(
        f"apply -f {net(NET.replace('acme:', 'acme: {}'))}", 1
    )
    assert everything(database) == before
    assert file.exists()


@pytest.mark.usefixtures("session")
def test_names_vnis_addresses_and_vteps_are_exchanged_in_one_transaction(
    said: Callable[..., str], run: Callable[..., str], net: Callable[[str], Path]
) -> None:
    text = run("export")
    table = {"vni: 100": "vni: 200", "web1": "web2", "192.0.2.1": "192.0.2.2", "10.0.0.1]": "10.0.0.2]"}
    for one, other in table.items():
        text = text.replace(one, "\0").replace(other, one).replace("\0", other)
    said(f"apply -f {net(text)}", 0)
    assert said(f"diff -f {net(text)}", 0) == ""


def test_a_port_moves_to_another_network(
    said: Callable[..., str], run: Callable[..., str], net: Callable[[str], Path]
) -> None:
    run(f"apply -f {net(NET)}")
    blue = "  blue:\n    tenant: acme\n    vni: 7\n    ports:\n"
    moved = said(f"apply -f {net(NET.replace('      web2', blue + '      web2'))}", 0)
    assert "~ port web2\n    network: red -> blue\n" in moved
    assert {row["name"]: row["network"] for row in listed(run, "port-list")} == {"web1": "red", "web2": "blue"}


# -- many deletions


def many(count: int) -> str:
    ports = "".join(f"      p{n}: {{mac: 02:00:00:00:01:{n:02x}, ips: [10.0.0.{n + 1}]}}\n" for n in range(count))
    return NET.partition("      web1")[0] + ports


@pytest.mark.parametrize(("there", "most"), [(12, 10), (80, 16)])
def test_very_many_ports_are_deleted_only_when_that_is_said(
    database: Connection, said: Callable[..., str], net: Callable[[str], Path], there: int, most: int
) -> None:
    said(f"apply -f {net(many(there))}", 0)
    before = everything(database)
    file = net(many(there - most - 1))
    refusal = said(f"apply -f {file}", 1)
    assert f"this would delete {most + 1} of {there} ports (p" in refusal
    assert refusal.endswith(f"--allow-delete {most + 1}\n")
    assert said(f"apply -f {file} --allow-delete {most}", 1)
    assert everything(database) == before
    assert said(f"apply -f {net(many(there - most))}", 0).endswith(f"0 added, 0 changed, {most} deleted\n")
    assert said(f"apply -f {net(many(1))} --allow-delete {there}", 0)
    said(f"apply -f {net(many(1))} --allow-delete 0", 0)


@pytest.mark.parametrize("kind", ["networks", "chassis"])
def test_all_of_a_small_site_goes_only_when_that_is_said(
    database: Connection, said: Callable[..., str], run: Callable[..., str], net: Callable[[str], Path], kind: str
) -> None:
    one = {
        "networks": "net-add {0} --tenant acme --vni {1}",
        "chassis": "chassis-add {0} tcp:192.0.2.{1} --vtep 192.0.2.{1}",
    }[kind]
    file = net(f"version: 1\n{kind}: {{}}\n")
    for number in 1, 2:
        run(one.format(f"x{number}", number))
    assert said(f"apply -f {file}", 0).endswith("2 deleted\n")
    for number in 1, 2, 3:
        run(one.format(f"x{number}", number))
    before = everything(database)
    refusal = said(f"apply -f {file}", 1)
    assert f"this would delete 3 of 3 {kind} (x1, x2, x3)" in refusal
    assert refusal.endswith("--allow-delete 3\n")
    assert "this would delete 3 things" in said(f"apply -f {file} --allow-delete 2", 1)
    assert everything(database) == before
    assert said(f"apply -f {file} --allow-delete 3", 0).endswith("3 deleted\n")
    for number in range(1, 13):
        run(one.format(f"x{number}", number))
    run("port-add p --net x1" if kind == "networks" else "tenant-add other")
    refusal = said(f"apply -f {file}", 1)
    assert f"this would delete 12 of 12 {kind}" in refusal
    assert refusal.endswith(f"--allow-delete {13 if kind == 'networks' else 12}\n")  # the port as well


# -- auto


def test_auto_keeps_what_a_port_has_and_else_chooses(
    said: Callable[..., str], run: Callable[..., str], net: Callable[[str], Path], database: Connection
) -> None:
    text = (
        "version: 1\ntenants: {acme: }\nnetworks:\n  red:\n    tenant: acme\n    vni: 100\n"
        "    subnets: [10.0.0.0/29, 2001:db8::/64]\n    gateways: [10.0.0.1]\n    excludes: [10.0.0.2]\n    ports:\n"
        "      a: {mac: auto, ips: [auto]}\n      b: {mac: auto, ips: [auto4]}\n      c: {mac: auto, ips: [10.0.0.3]}\n"
    )
    run(f"apply -f {net(text)}")
    ports = {row["name"]: row for row in listed(run, "port-list")}
    assert [ports[name]["ips"] for name in "abc"] == [["10.0.0.4", "2001:db8::1"], ["10.0.0.5"], ["10.0.0.3"]]
    assert len({port["mac"] for port in ports.values()}) == 3
    assert said(f"diff -f {net(text)}", 0) == ""
    assert "nothing to change" in said(f"apply -f {net(text)}", 0)
    # Who is written down goes first, what is no more in a subnet is not kept, and others are not touched.
    run(f"apply -f {net(text.replace('ips: [10.0.0.3]', 'ips: [10.0.0.4]'))}")
    after = {row["name"]: row for row in listed(run, "port-list")}
    assert [after[name]["ips"] for name in "abc"] == [["10.0.0.3", "2001:db8::1"], ["10.0.0.5"], ["10.0.0.4"]]
    assert [after[name]["mac"] for name in "abc"] == [ports[name]["mac"] for name in "abc"]
    full = net(text + "      d: {mac: auto, ips: [auto4]}\n      e: {mac: auto, ips: [auto4]}\n")
    before = everything(database)
    said_ = said(f"apply -f {full}", 1)
    assert f"{full}:15:7: networks.red.ports.e.ips: network 'red': no IPv4 address is free in 10.0.0.0/29" in said_
    assert everything(database) == before


# -- export


@pytest.mark.usefixtures("session")
def test_export_writes_a_file_whole_or_not_at_all(
    said: Callable[..., str], run: Callable[..., str], tmp_path: Path
) -> None:
    run(f"export -o {tmp_path / 'out.yaml'}")
    assert (tmp_path / "out.yaml").read_text(encoding="utf-8") == run("export")
    assert os.listdir(tmp_path) == ["out.yaml"]
    assert "cannot write /nowhere/x: No such file or directory" in said("export -o /nowhere/x", 1)
    assert run("export -o /dev/stdout") in ("", run("export"))


@pytest.mark.usefixtures("session")
def test_what_the_controller_writes_is_not_exported(database: Connection, run: Callable[..., str]) -> None:
    before = run("export")
    update(
        database,
        "Chassis",
        [],
        state="ready",
        error="e",
        datapath="system",
        flows=7,
        cur_cfg=9,
        reported=["map", [["a", "b"]]],
    )
    update(database, "Overlay_Global", [], read_cfg=8, cur_cfg=8, alarm="x")
    insert(database, "Binding", chassis="h1", interface="vm1", port="web1", up=True)
    insert(database, "Neighbor", network="red", ip="10.0.0.7", mac="02:00:00:00:00:07", chassis="h1", interface="vm1")
    insert(database, "Pending", name="h9", address="192.0.2.9")
    assert run("export") == before


# -- others write too


def test_an_apply_writes_once_and_is_logged_once(
    database: Connection, run: Callable[..., str], net: Callable[[str], Path]
) -> None:
    run(f"apply -f {net(NET)}")
    assert [row["nb_cfg"] for row in database.select("Overlay_Global")] == [1]
    assert [row["what"] for row in database.select("Change")] == [f"apply -f {net(NET)}"]


class Overtaken(Database):
    """A session on which somebody else is always faster, so many times."""

    times = 2

    def transact(self, operations: Sequence[Operation], timeout: float = GRACE) -> list[Any]:
        if any(operation["op"] == "insert" for operation in operations) and self.times:
            self.times -= 1
            with Database(self.where) as other:
                other.transact(self.first())
        return super().transact(operations, timeout)

    def first(self) -> list[Operation]:
        """Somebody takes the VNI of the file, and the next time its name."""
        name, vni, encap = ("theirs", 100, "vxlan") if self.times else ("red", 101, "gre")
        row = {"name": name, "tenant": ["named-uuid", "owner"], "vni": vni, "encap": encap}
        return [
            {"op": "insert", "table": "Tenant", "row": {"name": f"of-{name}"}, "uuid-name": "owner"},
            {"op": "insert", "table": "Network", "row": row},
        ]


def test_what_others_write_meanwhile_is_part_of_the_plan(
    said: Callable[..., str], net: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, served: str
) -> None:
    monkeypatch.setattr("controller.cli.database.opened", lambda *_: Overtaken(served))
    printed = said(f"apply -f {net(NET)}", 0)
    assert "~ network red\n    tenant: of-red -> acme\n    vni: 101 -> 100\n    encap: gre -> vxlan\n" in printed
    assert "- network theirs" in printed
    monkeypatch.undo()
    assert said(f"diff -f {net(NET)} --db {served}", 0) == ""


def test_an_address_that_stays_is_the_same_row(
    database: Connection, run: Callable[..., str], net: Callable[[str], Path]
) -> None:
    run(f"apply -f {net(NET)}")
    before = database.select("Address")
    run(f"apply -f {net(NET.replace('ips:', 'description: new, ips:'))}")
    assert database.select("Address") == before


def test_many_who_apply_at_once_end_in_what_one_of_them_says(
    served: str, database: Connection, tmp_path: Path, run: Callable[..., str]
) -> None:
    files = []
    for number in range(4):
        files.append(tmp_path / f"{number}.yaml")
        files[-1].write_text(
            many(8 + number).replace("02:00:00", f"02:0{number}:00").replace("vni: 100", f"vni: {number + 1}")
        )
    codes: list[int] = []

    def apply(file: Path) -> None:
        command = [sys.executable, "-m", "controller.cli.main", "--db", served, "apply", "-f", str(file)]
        codes.extend(subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode for _ in range(4))

    threads = [threading.Thread(target=apply, args=(file,)) for file in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [0] * 16
    assert sorted(main(["diff", "-f", str(file)]) for file in files) == [0, 1, 1, 1]


def test_a_command_without_files_does_not_load_a_parser_for_them(database: Connection) -> None:
    program = "import sys; from controller.cli.main import main; main(['net-list']); print('yaml' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
