"""The command line: options and verbs made into a parser. What a verb does is found by name, when it is run."""

from __future__ import annotations

import argparse
import os
import re
from argparse import SUPPRESS, ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Any, Final, NoReturn

from controller.cli.errors import one_of
from controller.cli.verbs import GROUPS, VERBS
from controller.cli.verbs.verb import DRAFT, Argument, Verb, arg

COMMON: Final = (
    arg(
        "--db",
        metavar="DB",
        help="the overlay database: unix:/path, tcp:IP:PORT or ssl:IP:PORT, several with commas "
        "(default: $OVERLAY_DB, else the controller's own)",
    ),
    arg(
        "--wait",
        metavar="[=db|chassis]",
        choices=("db", "chassis"),
        help="return when every chassis has installed it (--wait, --wait=chassis), or when the controller has read "
        "it (--wait=db)",
    ),
    arg("--timeout", metavar="SECONDS", help="how long to try and to wait (default: 30)"),
    arg("--retry", action="store_true", help="try to reach the database for as long as --timeout says, not just once"),
    arg("--dry-run", action="store_true", help="say what would change, and change nothing"),
    arg("--format", choices=("table", "json", "csv"), help="how to print (default: table)"),
    arg("--columns", metavar="A,B", help="which columns of a list"),
    arg("--no-headings", action="store_true", help="lists without a first line"),
    arg("--no-color", action="store_true", help="no colours, even on a terminal"),
)
DEFAULTS: Final = {
    "db": None,
    "wait": None,
    "timeout": 30.0,
    "retry": False,
    "dry_run": False,
    "format": "table",
    "columns": None,
    "no_headings": False,
    "no_color": False,
}
WIDTH: Final = 80
ALL_VERBS: Final = "overlayctl --help lists them"
DESTRUCTIVE: Final = frozenset({"destroy", "restore", "rebuild", "db-accept", "apply"})
"""Verbs that nobody is advised to use who meant perhaps another, besides those that end in `-del`."""
ABOUT: Final = "Declares tenants' networks and ports, and the hosts (chassis) they live on."
EXAMPLES: Final = """\
  overlayctl chassis-add h1 tcp:192.0.2.1:6640 --vtep 192.0.2.1
  overlayctl net-add red --tenant acme --vni 100
  overlayctl port-add web1 --net red --mac 02:00:00:00:00:01 --ip 10.0.0.1
  overlayctl net-add blue --tenant acme --vni 101 -- net-set red --tenant acme
on a chassis:
  ovs-vsctl add-port br-int vm1 -- set interface vm1 external_ids:iface-id=web1"""
ENVIRONMENT: Final = (
    ("OVERLAY_DB", "the overlay database, as --db"),
    ("OVERLAY_PKI", "directory of key.pem, cert.pem and cacert.pem, for ssl:"),
    ("OVERLAY_RUNDIR", "where the controller's own database has its socket"),
)
EXIT_CODES: Final = (
    "0  done",
    "1  refused, and nothing changed",
    "2  wrong usage",
    "3  stored, but not installed in time",
    "4  done, but its output could not be written",
    "5  whether it was done is not known: the connection was lost",
)


def parse(argv: Sequence[str]) -> Namespace:
    """The options of one command. Ends the process, with exit code 2, on wrong usage."""
    return _completed(_parsed([_spelled(word) for word in argv]))


def parse_all(argv: Sequence[str]) -> list[Namespace]:
    """The commands of one transaction, `--` between them; the common options count for all, wherever they stand."""
    _legible(argv)
    commands: list[list[str]] = [[]]
    for word in argv:
        if word == "--":
            commands.append([])
        else:
            commands[-1].append(_spelled(word))
    if not commands[0] and len(commands) > 1:  # `overlayctl -- net-add ...`, as ovs-vsctl allows
        del commands[0]
    options_first = len(commands) > 1 and commands[0] and commands[0][0].startswith("-")
    if options_first and not VERBS.keys() & set(commands[0]):
        commands[:2] = [commands[0] + commands[1]]  # `overlayctl --wait -- net-add ...`
    parsed = [_parsed(command) for command in commands]
    if len(parsed) > 1:
        for args in parsed:
            if args.kind != DRAFT:
                args.refuse(f"{args.verb} stands alone, and not in a transaction with others")
    common = {name: value for args in parsed for name, value in vars(args).items() if name in DEFAULTS}
    for args in parsed:
        vars(args).update(common)
    return [_completed(args) for args in parsed]


def _legible(argv: Sequence[str]) -> None:
    """Ends the process, with exit code 2, for an argument that is no UTF-8: the database could not hold it."""
    for position, word in enumerate(argv):
        try:
            word.encode()
        except UnicodeEncodeError:
            before = argv[position - 1] if position else ""
            option, equals, _ = word.partition("=")
            named = option if equals else before if before.startswith("-") else f"argument {position + 1}"
            build().error(f"{named}: {os.fsencode(word)!r} is not UTF-8")


def _spelled(word: str) -> str:
    # An option with an optional value would take the verb for it.
    return "--wait=chassis" if word == "--wait" else word


def _parsed(argv: Sequence[str]) -> Namespace:
    args, left = build().parse_known_args(argv)
    if left:
        args.refuse(f"unrecognized arguments: {' '.join(left)}")
    if args.alters and all(getattr(args, name) is None for name in args.options.values()):
        args.refuse("nothing to change; give at least one of " + ", ".join(args.options))
    if isinstance(getattr(args, "timeout", None), str):
        if not re.fullmatch(r"[0-9]+(\.[0-9]*)?|\.[0-9]+", args.timeout) or float(args.timeout) > 86400:
            args.refuse(f"argument --timeout: {args.timeout!r} is no number of seconds, 0 to 86400")
        args.timeout = float(args.timeout)
    return args


def _completed(args: Namespace) -> Namespace:
    for option, default in DEFAULTS.items():
        if not hasattr(args, option):
            setattr(args, option, default)
    return args


def build() -> ArgumentParser:
    """The parser of `overlayctl`; that of a verb is made when it is asked for."""
    parser = _Parser(
        prog="overlayctl",
        usage="overlayctl [OPTIONS] VERB [ARGUMENTS] [-- VERB [ARGUMENTS] ...]",
        formatter_class=_Overview,
        description=ABOUT,
        add_help=False,
    )
    parser.add_argument("-h", "--help", action="help", help="print this, and exit")
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version, and exit")
    _add(parser, COMMON, default=SUPPRESS)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, help=SUPPRESS)
    lazily = _Parsers()
    verbs.choices = verbs._name_parser_map = lazily  # type: ignore[assignment]
    parser.epilog = _epilog()
    return parser


class _Escaping(ArgumentParser):
    """One that shows what was written wrong without letting it move the cursor."""

    def error(self, message: str) -> NoReturn:
        """As ArgumentParser.error."""
        from controller.cli.text import escaped_lines

        super().error(escaped_lines(message))


class _Parser(_Escaping):
    """One that helps somebody who wrote a verb that there is not, instead of naming all."""

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.dest == "verb" and value not in VERBS:
            advice = one_of(list(VERBS), value, ALL_VERBS)
            if any(f"{verb!r}?" in advice for verb in VERBS if verb.endswith("-del") or verb in DESTRUCTIVE):
                advice = ALL_VERBS
            self.error(f"there is no verb {value!r}; {advice}")
        super()._check_value(action, value)


class _Parsers(dict[str, ArgumentParser]):
    """Parsers of verbs by name, made when one is looked up: making all takes longer than most commands."""

    def __init__(self) -> None:
        super().__init__(dict.fromkeys(VERBS))  # type: ignore[arg-type]

    def __getitem__(self, name: str) -> ArgumentParser:
        if super().__getitem__(name) is None:
            self[name] = verb_parser(VERBS[name])
        return super().__getitem__(name)


def verb_parser(verb: Verb) -> ArgumentParser:
    """The parser of one verb."""
    lines = ["examples:", *(f"  overlayctl {example}" for example in verb.examples)]
    parser = _Escaping(
        prog=f"overlayctl {verb.name}",
        description=f"{verb.text[0].upper()}{verb.text[1:]}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n".join(lines + (["", verb.epilog] if verb.epilog else [])),
    )
    own = _add(parser, verb.arguments)
    # The common options would fill a screen in the usage of each verb.
    usage = parser.format_usage().removeprefix("usage: ").rstrip()
    parser.usage = usage.replace("[-h]", "[OPTIONS]").replace("%", "%%")
    _add(parser.add_argument_group("common options (before or after the verb)"), COMMON, default=SUPPRESS)
    parser.set_defaults(
        run=verb.run,
        kind=verb.kind,
        waits=verb.waits,
        reads=verb.reads,
        alters=verb.alters,
        options={action.option_strings[0]: action.dest for action in own if action.option_strings},
        refuse=parser.error,
        **verb.fixed,
    )
    return parser


def _add(parser: Any, arguments: Sequence[Argument], **keywords: Any) -> list[argparse.Action]:
    return [parser.add_argument(*argument.flags, **{**keywords, **argument.keywords}) for argument in arguments]


class _Overview(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=24, width=WIDTH)


class _Version(argparse.Action):
    """Looks the version up only when it is asked for."""

    def __call__(self, parser: ArgumentParser, *_: Any) -> None:
        from importlib.metadata import version

        print(f"overlayctl {version('ovs-overlay')}")
        parser.exit()


def _epilog() -> str:
    """Verbs by group, and what else a page of help has."""
    import textwrap

    indent = max(map(len, GROUPS)) + 4
    verbs = [
        textwrap.fill(
            f"{group:{indent - 2}}" + " ".join(verb.name for verb in members),
            WIDTH,
            initial_indent="  ",
            subsequent_indent=" " * indent,
            break_on_hyphens=False,
        )
        for group, members in GROUPS.items()
    ]
    environment = [f"  {name:<16}{text}" for name, text in ENVIRONMENT]
    return "\n".join(
        [
            "verbs ('overlayctl VERB --help' tells about each):",
            *verbs,
            f"\nexamples:\n{EXAMPLES}\n\nenvironment:",
            *environment,
            "\nexit codes:",
            *(f"  {code}" for code in EXIT_CODES),
        ]
    )
