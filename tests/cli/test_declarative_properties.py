"""Declarative files, for any document: written and read, applied and exported, on a real ovsdb-server."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.cli.database import Database
from controller.cli.declarative import yaml_nodes
from controller.cli.declarative.difference import difference
from controller.cli.declarative.document import Document, Network, Port
from controller.cli.declarative.present import TABLES, present
from controller.cli.declarative.read import read
from controller.cli.declarative.write import written
from controller.cli.draft import Draft
from controller.cli.main import main
from ovsdb import ownership
from ovsdb.rpc import Connection
from tests.cli.words import TABLES as EVERY_TABLE
from tests.documents import documents, parts
from tests.overlay_database import needs_ovsdb


@pytest.mark.parametrize("loader", ["CSafeLoader", "SafeLoader"])
@given(document=documents())
def test_what_is_written_is_read_as_the_same(loader: str, document: Document) -> None:
    text = written(document)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yaml_nodes, "LOADER", getattr(yaml, loader))
        assert read(text.encode()).document == document
    assert written(read(text.encode()).document) == text


@given(document=documents())
def test_other_programs_read_the_same(document: Document) -> None:
    plain = yaml.safe_load(written(document))
    assert set(plain["tenants"]) == set(document.tenants or ())
    assert plain["options"] == document.options
    for name, network in (document.networks or {}).items():
        there = plain["networks"][name]
        assert there["vni"] == network.vni
        assert there.get("description", "") == network.description
        assert there.get("external-ids", {}) == network.external_ids
        assert {name: port["mac"] for name, port in there["ports"].items()} == {
            port.name: port.mac for port in document.ports.values() if port.network == name
        }


@given(first=documents(), second=documents(), data=st.data())
def test_only_sections_that_are_there_are_changed(first: Document, second: Document, data: st.DataObject) -> None:
    part = data.draw(parts(second))
    kinds = {change.kind for change in difference(first, part)}
    for kind, section in ("chassis", part.chassis), ("connection", part.connections), ("option", part.options):
        assert section is not None or kind not in kinds
    for change in difference(first, part):
        if change.kind == "port" and change.will is None:
            assert change.was.network in part.stated or change.was.network not in (part.networks or {})


def applied(directory: Path, document: Document) -> None:
    assert apply(directory, document) == 0


def apply(directory: Path, document: Document) -> int:
    file = directory / "net.yaml"
    file.write_text(written(document), encoding="utf-8")
    return main(["apply", "-f", str(file), "--allow-delete", "1000"])


def declared(database: Connection) -> Document:
    with Database(database.where) as opened:
        draft = Draft(opened)
        draft.load(*TABLES)
        return present({table: draft.read(table) for table in TABLES})


@needs_ovsdb
@settings(max_examples=40)
@given(pair=st.tuples(documents(), documents()), data=st.data())
def test_apply_makes_the_database_what_the_file_says(
    database: Connection,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    pair: tuple[Document, Document],
    data: st.DataObject,
) -> None:
    """Whatever was there before; and what a file does not speak of stays as it was."""
    first, second = pair
    database.transact([{"op": "delete", "table": table, "where": []} for table in EVERY_TABLE])
    for document in first, second:
        applied(tmp_path, document)
        assert declared(database) == document
        assert main(["diff", "-f", str(tmp_path / "net.yaml")]) == 0
        configured = number(database)
        applied(tmp_path, document)
        assert number(database) == configured
        capsys.readouterr()
        assert main(["export"]) == 0
        assert capsys.readouterr().out == written(document)
    part = data.draw(parts(first))
    if any(outside((first.networks or {})[port.network], port) for port in kept(second, first, part)):
        assert apply(tmp_path, part) == 1
        assert declared(database) == second
        return
    applied(tmp_path, part)
    after = declared(database)
    assert (after.tenants, after.networks) == (first.tenants, first.networks)
    for name in after.networks or {}:
        mine = {port for port in after.ports if after.ports[port].network == name}
        if name in part.stated:
            assert {port: after.ports[port] for port in mine} == of_network(part, name)
    for section in ("chassis", "connections", "options", "external_ids"):
        wanted = getattr(part, section)
        assert getattr(after, section) == (getattr(second, section) if wanted is None else wanted)


def kept(before: Document, whole: Document, part: Document) -> list[Port]:
    """The ports that a part of a document does not speak of, and whose network stays."""
    return [p for p in before.ports.values() if p.network in (whole.networks or {}) and p.network not in part.stated]


def outside(network: Network, port: Port) -> bool:
    """Whether a port has an address in none of its network's subnets."""
    return bool(network.subnets) and any(
        all(ip_address(ip) not in ip_network(subnet) for subnet in network.subnets) for ip in port.ips
    )


def number(database: Connection) -> Any:
    return [row["nb_cfg"] for row in database.select("Overlay_Global")]


def of_network(document: Document, name: str) -> dict[str, Any]:
    return {port.name: port for port in document.ports.values() if port.network == name}


@needs_ovsdb
def test_a_round_trip_through_an_empty_database_is_lossless(
    database: Connection, run: Callable[..., str], tmp_path: Path
) -> None:
    """Every column that a person or a program may write, and no column that only the controller does."""
    example = (Path(__file__).parent.parent / "golden" / "net.yaml").read_text(encoding="utf-8")
    (tmp_path / "net.yaml").write_text(example, encoding="utf-8")
    run(f"apply -f {tmp_path / 'net.yaml'}")
    assert run("export") == example
    rows = {table: database.select(table) for table in EVERY_TABLE}
    for table in TABLES:
        for column in set(rows[table][0]) - {"_uuid", "_version"} - ownership.theirs(table):
            assert any(row[column] not in (["set", []], ["map", []], "", 0) for row in rows[table]), (table, column)
    database.transact([{"op": "delete", "table": table, "where": []} for table in EVERY_TABLE])
    run(f"apply -f {tmp_path / 'net.yaml'}")
    assert run("export") == example
