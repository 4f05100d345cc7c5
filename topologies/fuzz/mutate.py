"""Bytes and text made wrong. Pure: the same chance makes the same of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Final

_OCTETS: Final = (0, 1, 2, 3, 4, 7, 8, 0x0F, 0x10, 0x7F, 0x80, 0xFE, 0xFF)
_PAIRS: Final = (0, 1, 3, 4, 7, 8, 9, 12, 15, 16, 24, 32, 40, 56, 64, 0x7FFF, 0x8000, 0xFFF8, 0xFFFF)
"""Lengths that are too short, odd, too long, or another entry's."""


def octets(data: bytes, chance: random.Random, others: Sequence[bytes], most: int = 1 << 16) -> bytes:
    """`data` with one to eight changes; `others` is what pieces are taken from. At most so long."""
    found = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        chance.choice(_CHANGES)(found, chance, others)
    return bytes(found[:most])


def _octet(found: bytearray, chance: random.Random, _: Sequence[bytes]) -> None:
    if found:
        found[chance.randrange(len(found))] = chance.choice(_OCTETS) if chance.random() < 0.6 else chance.randrange(256)


def _bit(found: bytearray, chance: random.Random, _: Sequence[bytes]) -> None:
    if found:
        found[chance.randrange(len(found))] ^= 1 << chance.randrange(8)


def _pair(found: bytearray, chance: random.Random, _: Sequence[bytes]) -> None:
    if len(found) >= 2:
        place = chance.randrange(len(found) // 2) * 2
        found[place : place + 2] = (chance.choice((*_PAIRS, min(len(found), 0xFFFF)))).to_bytes(2, "big")


def _near(found: bytearray, chance: random.Random, _: Sequence[bytes]) -> None:
    """A number that is a little more or less than it was."""
    if len(found) >= 2:
        place = chance.randrange(len(found) - 1)
        was = int.from_bytes(found[place : place + 2], "big")
        found[place : place + 2] = ((was + chance.choice((-8, -4, -1, 1, 4, 8))) & 0xFFFF).to_bytes(2, "big")


def _cut(found: bytearray, chance: random.Random, _: Sequence[bytes]) -> None:
    if found:
        begin = chance.randrange(len(found))
        del found[begin : begin + chance.choice((1, 2, 4, 8, 16, len(found)))]


def _again(found: bytearray, chance: random.Random, _: Sequence[bytes]) -> None:
    if found:
        begin = chance.randrange(len(found))
        piece = found[begin : begin + chance.choice((1, 4, 8, 16, 64))]
        place = chance.randrange(len(found) + 1)
        found[place:place] = piece * chance.choice((1, 1, 2, 40))


def _random(found: bytearray, chance: random.Random, _: Sequence[bytes]) -> None:
    place = chance.randrange(len(found) + 1)
    found[place:place] = chance.randbytes(chance.choice((1, 2, 4, 8, 32)))


def _spliced(found: bytearray, chance: random.Random, others: Sequence[bytes]) -> None:
    other = chance.choice(others) if others else b""
    if other:
        begin = chance.randrange(len(other))
        place = chance.randrange(len(found) + 1)
        piece = other[begin : begin + chance.choice((4, 8, 16, 64, len(other)))]
        found[place : place + chance.choice((0, len(piece)))] = piece


_CHANGES: Final[tuple[Callable[[bytearray, random.Random, Sequence[bytes]], None], ...]] = (
    _octet, _octet, _bit, _pair, _pair, _near, _cut, _again, _random, _spliced,
)  # fmt: skip

STRANGE: Final = (
    "", " ", "-", "--", "---", "-1", "0", "00", "1", "16777216", "4294967296", "99999999999999999999", "1e9",
    "0x10", "nan", "none", "auto", "auto4", "null", "~", "true", "no", "[]", "{}", "[", "}", ":", ",", ",,",
    "=", "a=b", "@", "@n", "*", "&a", "*a", "!!python/object:os.system", "!", "|", ">", "%", "`", "#", "\t",
    "\n", "\\", "'", '"', "\x00", "\x1b[31m", "\x7f", "\x85", "\ufeff", "\u202e", "\xe9", "\U0001f4a9",
    "\udce9", "a" * 300, "/", ".", "0.0.0.0", "255.255.255.255", "10.0.0.1", "10.0.0.1/33", "10.0.0.0/8", "::",
    "::1", "fe80::1%eth0", "2001:db8::/129", "2001:db8::1", "::ffff:10.0.0.1", "02:00:00:00:00:01",
    "02:00:00:00:00", "ff:ff:ff:ff:ff:ff", "52:54:00:12:34:56", "tcp:", "tcp:192.0.2.1", "tcp:192.0.2.1:6640",
    "tcp:[::1]:0", "ssl:x:1", "dial-in", "dial-in:h1", "ptcp:0", "pssl:65536:::", "web1", "red", "acme", "h1",
    "vxlan", "gre",
)  # fmt: skip
"""Words that something may not expect."""


LONGEST: Final = 5000
"""The most characters of a word that is made."""


def text(words: list[str], chance: random.Random, others: Sequence[str]) -> list[str]:
    """`words` (of a command, or of a file with its spaces and lines) with one to four changes."""
    found = list(words)
    for _ in range(chance.choice((1, 1, 2, 4))):
        place = chance.randrange(len(found) + 1)
        kind = chance.randrange(8)
        if kind < 3 and place < len(found):
            found[place] = _other(found[place], chance, others)
        elif kind == 3:
            found[place:place] = [_other("", chance, others)]
        elif kind == 4:
            del found[place : place + chance.choice((1, 1, 2, 8))]
        elif kind == 5 and found:
            begin = chance.randrange(len(found))
            found[place:place] = found[begin : begin + chance.choice((1, 2, 6, 20))] * chance.choice((1, 1, 1, 30))
        elif kind == 6 and len(found) > 1:
            one, two = chance.randrange(len(found)), chance.randrange(len(found))
            found[one], found[two] = found[two], found[one]
        elif place < len(found):
            found[place] = _letters(found[place], chance)[:LONGEST]
    return found


def _other(word: str, chance: random.Random, others: Sequence[str]) -> str:
    return chance.choice(others) if others and chance.random() < 0.5 else chance.choice(STRANGE)


def _letters(word: str, chance: random.Random) -> str:
    place = chance.randrange(len(word) + 1)
    kind = chance.randrange(4)
    if kind == 0:
        return word[:place] + chance.choice(STRANGE) + word[place:]
    if kind == 1:
        return word[:place] + word[place + 1 :]
    if kind == 2:
        return word[:place] + chr(chance.choice((0, 9, 10, 34, 39, 44, 45, 46, 47, 58, 61, 91, 123, 0x3A9, 0x2028)))
    return word * chance.choice((2, 3, 50))
