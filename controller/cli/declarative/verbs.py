"""`apply`, `diff` and `export`: the verbs of the declarative file."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from typing import Final

from controller.cli.declarative import plan
from controller.cli.declarative.automatic import NoneLeftError, settled
from controller.cli.declarative.difference import Change, all_ports, difference, homeless, misplaced, unconnected
from controller.cli.declarative.document import Document
from controller.cli.declarative.enact import enact
from controller.cli.declarative.fields import below
from controller.cli.declarative.present import TABLES, present
from controller.cli.declarative.read import Read, WrongFileError, read
from controller.cli.declarative.write import written
from controller.cli.declarative.yaml_nodes import MOST_BYTES, Fault
from controller.cli.draft import Draft
from controller.cli.errors import CommandError, listed
from controller.cli.tables import coloured

STDIN: Final = "-"
FEW: Final = 10
SHARE: Final = 0.2
"""So many ports, networks or chassis, or this share of them, may be deleted without `--allow-delete`, whichever is
more."""
ALL: Final = 3
"""Where there are so many of a kind, not all of them."""
SAME, DIFFERENT, TROUBLE = 0, 1, 2
"""Exit codes of `diff`, those of diff(1)."""


def apply(draft: Draft, args: Namespace) -> None:
    """`apply`."""
    # A draft may be made again; the file is read once.
    if not hasattr(args, "read"):
        args.read = file(args.file)
    changes, here = _changes(draft, args.read, args.file)
    _limit(changes, here, args.allow_delete)
    enact(draft, changes)
    draft.planned = True
    if args.format == "json":
        draft.say(plan.as_object(changes))
    elif changes:
        draft.lines += plan.lines(changes, plan.TO_DO if args.dry_run else plan.DONE, coloured(args))
    else:
        draft.say(f"nothing to change: the database is as {args.file} says")


def diff(args: Namespace) -> int:
    """`diff`; returns its exit code."""
    from controller.cli.database import opened
    from ovsdb.rpc import DatabaseError

    try:
        said = file(args.file)
        with opened(args.db, reads=True) as database:
            changes, _ = _changes(Draft(database), said, args.file)
    except DatabaseError as failure:
        raise _trouble(CommandError(str(failure))) from None
    except CommandError as failure:
        raise _trouble(failure) from None
    if args.format == "json":
        print(plan.as_object(changes))
    elif changes:
        print("\n".join(plan.lines(changes, plan.TO_DO, coloured(args))))
    return DIFFERENT if changes else SAME


def export(draft: Draft, args: Namespace) -> None:
    """`export`."""
    text = written(_present(draft))
    if args.output in (None, STDIN):
        draft.say(text.removesuffix("\n"))
        return
    try:
        _keep(args.output, text)
    except OSError as failure:
        raise CommandError(f"cannot write {args.output}: {failure.strerror}") from None


def _keep(name: str, text: str) -> None:
    """Writes a file whole or not at all; into what is no file (a pipe, a terminal) as it comes."""
    partial = name if os.path.exists(name) and not os.path.isfile(name) else f"{name}.{os.getpid()}.tmp"
    try:
        with open(partial, "w" if partial == name else "x", encoding="utf-8") as opened:
            opened.write(text)
        if partial != name:
            os.replace(partial, name)
    finally:
        if partial != name and os.path.exists(partial):
            os.unlink(partial)


def file(name: str) -> Read:
    """What a file says, `-` being standard input; CommandError with all that is wrong with it."""
    shown = "<stdin>" if name == STDIN else name
    try:
        if name == STDIN:
            data = sys.stdin.buffer.read(MOST_BYTES + 1)
        else:
            with open(name, "rb") as opened:
                data = opened.read(MOST_BYTES + 1)
    except OSError as failure:
        raise CommandError(f"cannot read {shown}: {failure.strerror}") from None
    try:
        return read(data)
    except WrongFileError as wrong:
        raise _wrong(shown, wrong.faults) from None


def _changes(draft: Draft, said: Read, name: str) -> tuple[list[Change], Document]:
    """What the file would change, and what there is now."""
    here = _present(draft)
    faults = []
    for network, tenant in homeless(here, said.document):
        if said.document.networks is None:
            raise CommandError(
                f"tenant {tenant!r} is not in {name}, and network {network!r} is one of its; add the tenant to the "
                f"file, or a section networks without that network"
            )
        path = below(below("networks", network), "tenant")
        line, column = said.places.get(path, (1, 1))
        faults.append(Fault(line, column, path, f"no tenant {tenant!r} in the database, and the file has no section "
                            "tenants; add it to the file, or overlayctl tenant-add"))  # fmt: skip
    faults += _dangling(here, said)
    if faults:
        raise _wrong(name, sorted(faults))
    try:
        wanted = settled(here, said.document, os.urandom)
    except NoneLeftError as none:
        path = below(below(below("networks", none.port.network), "ports"), none.port.name)
        raise _wrong(name, [Fault(*said.places[path], below(path, "ips"), str(none))]) from None
    return difference(here, wanted), here


def _dangling(here: Document, said: Read) -> Iterator[Fault]:
    """What the file refers to by name, and is neither in it nor in the part of the database that it leaves alone."""
    for network, chassis in unconnected(here, said.document):
        path = below(below("networks", network), "gateway-chassis")
        yield Fault(*said.places[path], path, f"no chassis {chassis!r} in the database, and the file has no section "
                    "chassis; add it to the file, or overlayctl chassis-add")  # fmt: skip
    ports = all_ports(here, said.document)
    wrong = misplaced(ports)
    for name, port in ports.items():
        if port.parent is not None and port.parent not in ports:
            wrong[name] = (
                f"no port {port.parent!r} in the file, or in what it leaves alone; expected the name of a port"
            )
        if name in wrong and name not in said.document.ports:
            raise CommandError(
                f"port {name!r} of network {port.network!r}, which the file leaves alone, would have no place: "
                f"{wrong[name]}; change it first (overlayctl port-set {name} --parent PORT --tag N)"
            )
        if name in wrong:
            path = below(below(below(below("networks", port.network), "ports"), name), "parent")
            yield Fault(*said.places[path], path, wrong[name])


def _present(draft: Draft) -> Document:
    draft.load(*TABLES)
    return present({table: draft.read(table) for table in TABLES})


def _limit(changes: Sequence[Change], here: Document, allowed: int | None) -> None:
    """Refuses to delete very much unless that many are allowed: the wrong file, or half of one, looks so."""
    gone = [change for change in changes if change.will is None]
    advice = f"look at overlayctl diff, and if that is meant: --allow-delete {len(gone)}"
    if allowed is not None:
        if len(gone) > allowed:
            things = listed([f"{change.kind} {change.name}" for change in gone])
            raise CommandError(f"this would delete {len(gone)} things ({things}), and {allowed} are allowed; {advice}")
        return
    present = {"port": here.ports, "network": here.networks or {}, "chassis": here.chassis or {}}
    for kind, rows in present.items():
        names = [change.name for change in gone if change.kind == kind]
        most = max(FEW, int(len(rows) * SHARE))
        if len(names) > most or len(names) == len(rows) >= ALL:
            kinds = kind if kind == "chassis" else f"{kind}s"
            rule = f"at most {most} are" if len(names) > most else f"where there are {ALL} or more, not all are"
            raise CommandError(
                f"this would delete {len(names)} of {len(rows)} {kinds} ({listed(names)}), "
                f"and {rule} deleted unasked; {advice}"
            )


def _wrong(name: str, faults: Sequence[Fault]) -> CommandError:
    count = f"{len(faults)} faults" if len(faults) != 1 else "a fault"
    lines = [
        f"{name}:{fault.line}:{fault.column}: {fault.path + ': ' if fault.path else ''}{fault.text}" for fault in faults
    ]
    return CommandError("\n".join([f"{name} has {count}; nothing was changed", *lines]))


def _trouble(failure: CommandError) -> CommandError:
    failure.exit_code = TROUBLE
    return failure
