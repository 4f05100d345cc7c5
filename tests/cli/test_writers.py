"""Several writers at once: each is done as if it were alone, or refused with its reason."""

from __future__ import annotations

import threading

import pytest

from controller.cli import draft, ports
from controller.cli.errors import CommandError
from ovsdb.rpc import Connection, connect
from tests.cli.words import call, options
from tests.overlay_database import needs_ovsdb

pytestmark = needs_ovsdb


@pytest.mark.usefixtures("session")
def test_a_network_that_goes_meanwhile(database: Connection, served: str) -> None:
    args = options("port-add x --net blue --mac 02:00:00:00:00:09 --ip 10.0.0.1")
    tries: list[int] = []

    def verb(drafted: draft.Draft) -> None:
        ports.add(drafted, args)
        tries.append(1)
        with connect(served) as other:
            other.transact([{"op": "delete", "table": "Network", "where": [["name", "==", "blue"]]}])

    with pytest.raises(CommandError, match="there is no network 'blue'"):
        draft.write(database, verb, counted=False)
    assert len(tries) == 1


@pytest.mark.usefixtures("session")
def test_a_row_that_changes_meanwhile_is_read_again(database: Connection, served: str) -> None:
    args = options("port-set web1 --ip 10.0.0.8")
    tries: list[int] = []

    def verb(drafted: draft.Draft) -> None:
        ports.change(drafted, args)
        tries.append(1)
        if len(tries) == 1:
            assert call("port-set web1 --ip 10.0.0.7") == 0

    draft.write(database, verb, counted=False)
    assert len(tries) == 2
    assert sorted(row["ip"] for row in database.select("Address")) == ["10.0.0.2", "10.0.0.8"]


@pytest.mark.usefixtures("session")
def test_a_row_that_goes_meanwhile(database: Connection) -> None:
    args = options("port-set web1 --mac 02:00:00:00:00:08")

    def verb(drafted: draft.Draft) -> None:
        ports.change(drafted, args)
        assert call("port-del web1 --if-exists") == 0

    with pytest.raises(CommandError, match="there is no port 'web1'"):
        draft.write(database, verb, counted=False)


def test_every_configuration_has_its_number(database: Connection, served: str) -> None:
    """The first of them inserts the row of numbers, and all others must notice."""
    numbers: list[int | None] = []
    together = threading.Barrier(8)

    def write() -> None:
        with connect(served) as mine:
            together.wait()
            numbers.extend(draft.write(mine, lambda drafted: None, counted=True).number for _ in range(5))

    writers = [threading.Thread(target=write) for _ in range(8)]
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
        with connect(served) as mine:
            together.wait()
            try:
                draft.write(mine, lambda drafted: ports.add(drafted, args), counted=False)
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
