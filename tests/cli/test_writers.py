"""Several writers at once: each is done as if it were alone, or refused with its reason."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from controller.cli import generic, ports
from controller.cli.commit import Request, Written, write
from controller.cli.database import Database
from controller.cli.draft import Draft
from controller.cli.errors import CommandError
from ovsdb.rpc import Connection, connect
from tests.cli.words import call, options
from tests.overlay_database import needs_ovsdb

pytestmark = needs_ovsdb


def committed(served: str, verb: Callable[[Draft], None]) -> Written:
    with Database(served) as mine:
        return write(mine, verb, Request("test"))


@pytest.mark.usefixtures("session")
def test_a_network_that_goes_meanwhile(database: Connection, served: str) -> None:
    args = options("port-add x --net blue --mac 02:00:00:00:00:09 --ip 10.0.0.1")
    tries: list[int] = []

    def verb(drafted: Draft) -> None:
        ports.add(drafted, args)
        tries.append(1)
        with connect(served) as other:
            other.transact([{"op": "delete", "table": "Network", "where": [["name", "==", "blue"]]}])

    with pytest.raises(CommandError, match="there is no network 'blue'"):
        committed(served, verb)
    assert len(tries) == 1


@pytest.mark.usefixtures("session")
def test_a_row_that_changes_meanwhile_is_read_again(database: Connection, served: str) -> None:
    args = options("port-set web1 --ip 10.0.0.8")
    tries: list[int] = []

    def verb(drafted: Draft) -> None:
        ports.change(drafted, args)
        tries.append(1)
        if len(tries) == 1:
            assert call("port-set web1 --ip 10.0.0.7") == 0

    committed(served, verb)
    assert len(tries) == 2
    assert sorted(row["ip"] for row in database.select("Address")) == ["10.0.0.2", "10.0.0.8"]


@pytest.mark.usefixtures("session")
def test_a_row_that_goes_meanwhile(database: Connection, served: str) -> None:
    args = options("port-set web1 --mac 02:00:00:00:00:08")

    def verb(drafted: Draft) -> None:
        ports.change(drafted, args)
        assert call("port-del web1 --if-exists") == 0

    with pytest.raises(CommandError, match="there is no port 'web1'"):
        committed(served, verb)


def test_every_configuration_has_its_number(database: Connection, served: str) -> None:
    """The first of them inserts the row of numbers, and all others must notice."""
    numbers: list[int | None] = []
    together = threading.Barrier(8)

    def count() -> None:
        with Database(served) as mine:
            mine.open()
            together.wait()
            numbers.extend(write(mine, lambda drafted: None, Request("x"), counted=True).number for _ in range(5))

    writers = [threading.Thread(target=count) for _ in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(number or 0 for number in numbers) == list(range(1, 41))


@pytest.mark.usefixtures("session")
def test_of_many_who_want_one_address_one_gets_it(database: Connection, served: str) -> None:
    outcomes: list[str] = []
    together = threading.Barrier(6)

    def add(number: int) -> None:
        args = options(f"port-add p{number} --net red --mac 02:00:00:00:01:0{number} --ip 10.0.0.99")
        with Database(served) as mine:
            mine.open()
            together.wait()
            try:
                write(mine, lambda drafted: ports.add(drafted, args), Request("x"))
                outcomes.append("got it")
            except CommandError as error:
                outcomes.append(str(error))

    writers = [threading.Thread(target=add, args=[number]) for number in range(6)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert outcomes.count("got it") == 1
    assert sum("IP 10.0.0.99 is taken by port 'p" in outcome for outcome in outcomes) == 5


@pytest.mark.usefixtures("session")
def test_fifty_who_change_one_row_are_all_served(database: Connection, served: str) -> None:
    """Each is refused whenever another was faster, and none gives up."""
    outcomes: list[str] = []
    together = threading.Barrier(50)

    def change(number: int) -> None:
        args = options(f"set Network red external_ids:k{number}=v")
        with Database(served) as mine:
            mine.open()
            together.wait()
            try:
                write(mine, lambda drafted: generic.set_columns(drafted, args), Request("x"))
                outcomes.append("done")
            except CommandError as error:
                outcomes.append(str(error))

    writers = [threading.Thread(target=change, args=[number]) for number in range(50)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert set(outcomes) == {"done"}
    (row,) = database.select("Network", [["name", "==", "red"]])
    assert len(row["external_ids"][1]) == 50
