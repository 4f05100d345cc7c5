"""`completion`: what a shell needs to complete a command line, made from the same verbs as the parser."""

from __future__ import annotations

from argparse import Namespace
from typing import Final

from controller.cli import schema
from controller.cli.parser import COMMON
from controller.cli.verbs import VERBS
from controller.cli.verbs.verb import Argument, Verb

ASK: Final = 0.5
"""Seconds for the database to answer; who presses Tab waits no longer."""
FLAGS: Final = ("store_true", "store_const")

BASH: Final = """\
# bash completion of overlayctl; written by 'overlayctl completion bash'.
#   overlayctl completion bash > /etc/bash_completion.d/overlayctl
_overlayctl() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}}
    local verb= db= table= kind= options= words= word index place=0
    for ((index = 1; index < COMP_CWORD; index++)); do
        word=${{COMP_WORDS[index]}}
        case $word in
            --) verb= table= place=0 ;;
            --db) db=${{COMP_WORDS[index+1]}}; index=$((index + 1)) ;;
            {valued}) index=$((index + 1)) ;;
            -*) ;;
            *)  if [[ -z $verb ]]; then verb=$word; else place=$((place + 1)); table=${{table:-$word}}; fi ;;
        esac
    done
{body}
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
}}
complete -F _overlayctl overlayctl
"""
ZSH: Final = """\
#compdef overlayctl
# zsh completion of overlayctl; written by 'overlayctl completion zsh'.
#   overlayctl completion zsh > "${{fpath[1]}}/_overlayctl"
_overlayctl() {{
    local cur=$words[CURRENT] prev=$words[CURRENT-1]
    local verb= db= table= kind= options= found= word
    local -i index place=0
    for ((index = 2; index < CURRENT; index++)); do
        word=$words[index]
        case $word in
            --) verb= table= place=0 ;;
            --db) db=$words[index+1]; index=$((index + 1)) ;;
            {valued}) index=$((index + 1)) ;;
            -*) ;;
            *)  if [[ -z $verb ]]; then verb=$word; else place=$((place + 1)); table=${{table:-$word}}; fi ;;
        esac
    done
{body}
    compadd -- ${{=found}}
}}
if [[ $funcstack[1] == _overlayctl ]]; then _overlayctl "$@"; else compdef _overlayctl overlayctl; fi
"""
BODY: Final = """\
    case $verb in
{verbs}
        *) kind=verb options="{common} --help --version" ;;
    esac
    case $prev in
{options}
    esac
    [[ $kind == row ]] && kind=$table
    case $kind in
        verb) {words}="{all_verbs}" ;;
        table) {words}="{tables}" ;;
        :*) {words}=${{kind#:}} ;;
        file) {files}; return ;;
        ?*) {words}=$(overlayctl ${{db:+"--db=$db"}} completion names "$kind" 2>/dev/null) ;;
    esac
    [[ $cur == -* ]] && {words}=$options"""


def completion(args: Namespace) -> int:
    """`completion`."""
    if args.shell == "names":
        _names(args)
    else:
        print(script(args.shell), end="")
    return 0


def script(shell: str) -> str:
    """The script for a shell."""
    words = "words" if shell == "bash" else "found"
    every = [argument for verb in VERBS.values() for argument in verb.arguments] + list(COMMON)
    valued = {flag: _kind(each) for each in every for flag in each.flags if flag.startswith("-") and takes_value(each)}
    common = " ".join(flag for each in COMMON for flag in each.flags)
    body = BODY.format(
        words=words,
        files='COMPREPLY=($(compgen -f -- "$cur"))' if shell == "bash" else "_files",
        verbs="\n".join(_verb(verb, common) for verb in VERBS.values()),
        options="\n".join(f"        {flag}) kind='{kind}' ;;" for flag, kind in sorted(valued.items())),
        common=common,
        all_verbs=" ".join(VERBS),
        tables=" ".join(schema.tables()),
    )
    template = BASH if shell == "bash" else ZSH
    return template.format(valued="|".join(sorted(set(valued) - {"--db"})), body=body)


def takes_value(argument: Argument) -> bool:
    """Whether the word after an option belongs to it; `--wait` takes its own after `=` alone."""
    return argument.keywords.get("action", "store") not in FLAGS and argument.flags != ("--wait",)


def _verb(verb: Verb, common: str) -> str:
    """The case of one verb: its options, and what its places are completed with."""
    options = [flag for each in verb.arguments for flag in each.flags if flag.startswith("-")]
    places = [each for each in verb.arguments if not each.flags[0].startswith("-")]
    kinds = [f"{position}) kind='{_kind(each)}' ;;" for position, each in enumerate(places) if _kind(each)]
    if places and _kind(places[-1]) and places[-1].keywords.get("nargs"):
        kinds[-1] = f"*) kind='{_kind(places[-1])}' ;;"
    choose = f"case $place in {' '.join(kinds)} esac; " if kinds else ""
    return f'        {verb.name}) {choose}options="{" ".join([*options, common, "--help"])}" ;;'


def _kind(argument: Argument) -> str:
    """What completes an argument: a table whose names are asked for, `:` and the words themselves, or nothing."""
    if "choices" in argument.keywords:
        return ":" + " ".join(argument.keywords["choices"])
    return argument.complete


def _names(args: Namespace) -> None:
    """Prints the names of a table's rows; nothing when the database does not answer at once, or there is no such."""
    from controller.cli import values
    from controller.cli.errors import CommandError
    from controller.cli.generic import naming_column
    from ovsdb.paths import default_database
    from ovsdb.rpc import DatabaseError, connect, select

    try:
        table = values.table(args.table or "").name
        naming = naming_column(table)
        if naming is None:
            return
        with connect(args.db or default_database(), timeout=ASK) as database:
            rows = database.transact([select(table, columns=[naming])], ASK)[0]["rows"]
    except (DatabaseError, CommandError, ValueError):
        return
    print("\n".join(sorted(str(row[naming]) for row in rows)))
