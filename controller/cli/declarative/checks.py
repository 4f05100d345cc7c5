"""Values as a declarative file has them, made canonical or refused with ValueError. Pure.

What `overlayctl`'s options know as well is checked by the same functions.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from controller.cli import written
from controller.cli.declarative.document import AUTO, FAMILIES
from controller.cli.errors import CommandError

NUMBER: Final = re.compile(r"[0-9]{1,15}")


def by_option(check: Callable[..., Any], *more: Any) -> Callable[[str], Any]:
    """A check of the command line's, with its refusal as ValueError."""

    def checked(text: str) -> Any:
        try:
            return check(text, *more)
        except CommandError as refusal:
            raise ValueError(str(refusal)) from None

    return checked


ip = by_option(written.ip)
vtep_ip = by_option(written.vtep_ip)
mac = by_option(written.mac)
vni = by_option(written.vni)
encap = by_option(written.encap)
subnet = by_option(written.subnet)
span = by_option(written.span)
pair = by_option(written.pair)
may = by_option(written.may)
bridge = by_option(written.bridge_name)
physical = by_option(written.name, "physical network")
target = by_option(written.listener)


def name(what: str) -> Callable[[str], str]:
    """The name of a thing."""
    return by_option(written.name, what)


def text(written_text: str) -> str:
    """Any text that a database can hold."""
    if "\0" in written_text:
        raise ValueError(f"{written_text!r} contains U+0000; expected text without it")
    return written_text


def truth(written_text: str) -> bool:
    """`true` or `false`; what else YAML has for them is as good as a name."""
    if written_text not in ("true", "false"):
        raise ValueError(f"{written_text!r} is neither true nor false")
    return written_text == "true"


def number(what: str, least: int, most: int | None = None) -> Callable[[str], int]:
    """A number in decimal digits."""
    expected = f"{least}..{most}" if most is not None else f"{least} or more"

    def checked(written_text: str) -> int:
        if not NUMBER.fullmatch(written_text):
            raise ValueError(f"{what} {written_text!r} is not a number; expected {expected}")
        if not least <= int(written_text) <= (most or 1 << 62):
            raise ValueError(f"{what} {written_text} is not in {expected}" if most else f"{what} {written_text}: "
                             f"expected {expected}")  # fmt: skip
        return int(written_text)

    return checked


def mac_or_auto(written_text: str) -> str:
    """A MAC, or `auto`."""
    return AUTO if written_text == AUTO else str(mac(written_text))


def ip_or_auto(written_text: str) -> str:
    """An address, or a word for one that is chosen."""
    return written_text if written_text in FAMILIES else str(ip(written_text))


def word(what: str, known: tuple[str, ...]) -> Callable[[str], str]:
    """One of a few words."""
    return by_option(lambda text: written.one_of(what, text, known))


def ovsdb(chassis: str) -> Callable[[str], Any]:
    """Where the OVSDB server of a chassis of this name is reached."""
    return by_option(written.ovsdb, chassis)


def optional(check: Callable[[str], list[Any]]) -> Callable[[str], Any]:
    """The value of an option that may be none (`auto`)."""

    def checked(written_text: str) -> Any:
        found = by_option(check)(written_text)
        return found[0] if found else None

    return checked
