"""`man`: the manual page, made from the same verbs as the parser and its help."""

from __future__ import annotations

import os
import textwrap
import time
from argparse import Namespace
from collections.abc import Iterator

from controller.cli.parser import ABOUT, COMMON, ENVIRONMENT, EXAMPLES, EXIT_CODES
from controller.cli.verbs import GROUPS
from controller.cli.verbs.verb import Argument, Verb


def man(args: Namespace) -> int:
    """`man`."""
    print("\n".join(page()))
    return 0


def page() -> Iterator[str]:
    """The lines of overlayctl(8), in the macros of man(7)."""
    date = time.strftime("%Y-%m-%d", time.gmtime(os.stat(__file__).st_mtime))
    yield f'.TH OVERLAYCTL 8 "{date}" "ovs\\-overlay" "Overlay networks"'
    yield ".SH NAME"
    yield "overlayctl \\- declare overlay networks and the hosts they live on"
    yield ".SH SYNOPSIS"
    yield ".B overlayctl"
    yield "[\\fIoptions\\fR] \\fIverb\\fR [\\fIarguments\\fR]"
    yield "[\\fB\\-\\-\\fR \\fIverb\\fR [\\fIarguments\\fR] ...]"
    yield ".SH DESCRIPTION"
    yield _roff(ABOUT)
    yield ".PP"
    yield _roff(
        "Verbs with -- between them are one transaction: all of it is done, or nothing, and each verb sees what those "
        "before it did. A write is done exactly once, also when the connection breaks meanwhile or a server of a "
        "cluster dies; overlayctl changes lists what was written."
    )
    yield ".SH OPTIONS"
    yield "They may stand before or after a verb, and count for the whole transaction."
    for argument in COMMON:
        yield from _argument(argument)
    for group, verbs in GROUPS.items():
        yield f'.SH "VERBS: {group.upper()}"'
        for verb in verbs:
            yield from _verb(verb)
    yield ".SH ENVIRONMENT"
    for name, text in ENVIRONMENT:
        yield from (".TP", f".B {name}", _roff(text))
    yield ".SH EXIT STATUS"
    for line in EXIT_CODES:
        code, _, text = line.partition("  ")
        yield from (".TP", f".B {code}", _roff(text))
    yield ".SH EXAMPLES"
    yield from _literal(line.strip() for line in EXAMPLES.splitlines())
    yield ".SH SEE ALSO"
    yield ".BR ovs\\-vsctl (8),"
    yield ".BR ovsdb\\-server (1),"
    yield ".BR ovn\\-nbctl (8)"


def _verb(verb: Verb) -> Iterator[str]:
    words = [_spelled(each) for each in verb.arguments if not each.flags[0].startswith("-")]
    yield f'.SS "{" ".join([_escaped(verb.name), *words])}"'
    yield _roff(verb.text[0].upper() + verb.text[1:] + ".")
    for each in verb.arguments:
        if each.keywords.get("help"):
            yield from _argument(each)
    yield ".PP"
    yield from _literal(f"overlayctl {example}" for example in verb.examples)
    if verb.epilog:
        yield ".PP"
        yield from _literal(verb.epilog.splitlines())


def _argument(argument: Argument) -> Iterator[str]:
    yield ".TP"
    if argument.flags[0].startswith("-"):
        value = _value(argument)
        joined = ", ".join(f"\\fB{_escaped(flag)}\\fR" for flag in argument.flags)
        yield joined + (f" {value}" if value else "")
    else:
        yield _spelled(argument)
    yield _roff(str(argument.keywords["help"]))


def _value(argument: Argument) -> str:
    if str(argument.keywords.get("action", "")).startswith("store_"):
        return ""
    choices = "|".join(argument.keywords.get("choices", ()))
    return f"\\fI{_escaped(argument.keywords.get('metavar') or choices)}\\fR"


def _spelled(argument: Argument) -> str:
    """A place on the command line, as a synopsis has it."""
    choices = "|".join(argument.keywords.get("choices", ()))
    name = f"\\fI{_escaped(argument.keywords.get('metavar') or choices or argument.flags[0])}\\fR"
    return {"*": f"[{name}...]", "+": f"{name}...", "?": f"[{name}]"}.get(str(argument.keywords.get("nargs")), name)


def _literal(lines: Iterator[str] | list[str]) -> Iterator[str]:
    yield ".nf"
    for line in lines:
        yield _line(line)
    yield ".fi"


def _roff(text: str) -> str:
    """Text in lines of which none begins a request."""
    return "\n".join(map(_line, textwrap.wrap(text, 70, break_on_hyphens=False, break_long_words=False)))


def _line(text: str) -> str:
    return f"\\&{_escaped(text)}" if not text or text[0] in ".'" else _escaped(text)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\e").replace("-", "\\-")
