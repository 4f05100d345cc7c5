"""The comparisons in docs hold together: a row has all cells, a claim about others a source, a source a claim."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
PAGE = DOCS / "comparison-layer2.md"
OTHERS = ["OVN", "Neutron ML2/OVS", "Faucet", "Docker overlay"]
HEADERS = (["behaviour", "ours", *OTHERS], ["fault", *OTHERS])
SECTIONS = 9
REFERENCE = re.compile(r"\[(\d+(?:, \d+)*)\]")
SOURCE = re.compile(r"^(\d+)\. \S", re.MULTILINE)
GAPS = ("not found", "nothing found", "no overlay", "not applicable")


def sections(text: str) -> dict[str, str]:
    """The text below each second-level heading, by the heading."""
    parts = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def table(section: str) -> list[list[str]]:
    """The cells of a section's table, its header first."""
    lines = [line for line in section.splitlines() if line.startswith("|")]
    header, dashes, *rows = [[cell.strip() for cell in line[1:].removesuffix("|").split("|")] for line in lines]
    assert all(set(cell) == {"-"} for cell in dashes), "the second line of a table has dashes only"
    return [header, *rows]


def references(text: str) -> set[int]:
    return {int(number) for found in REFERENCE.findall(text) for number in found.split(", ")}


def faults_of_a_table(heading: str, section: str) -> list[str]:
    header, *rows = table(section)
    compares = heading[0].isdigit() or heading == "Faults"
    found = [f"{heading}: the columns are {header}"] if compares and header not in HEADERS else []
    for row in rows:
        filled = sum(bool(cell) for cell in row)
        if filled != len(header) or len(row) != len(header):
            found.append(f"{heading}: {row[0]}: {filled} filled cells for {len(header)} columns")
        elif compares:
            claims = row[-len(OTHERS) :]
            bare = [cell for cell in claims if not references(cell) and not any(gap in cell for gap in GAPS)]
            found += [f"{heading}: {row[0]}: no source for {cell!r}" for cell in bare]
    return found


def faults(text: str) -> list[str]:
    """What is wrong with a page, one sentence each."""
    parts = sections(text)
    sources = [int(number) for number in SOURCE.findall(parts.pop("Sources"))]
    found = [fault for heading, section in parts.items() for fault in faults_of_a_table(heading, section)]
    if sources != list(range(1, len(sources) + 1)):
        found.append("the sources are not numbered from 1 without a gap")
    cells = "\n".join(cell for section in parts.values() for row in table(section) for cell in row)
    unknown = references("".join(parts.values())) - set(sources)
    unused = set(sources) - references(cells)
    found += [f"source {number} is used but not listed" for number in sorted(unknown)]
    found += [f"source {number} is listed but not used in a table" for number in sorted(unused)]
    return found


def test_the_page_holds_together() -> None:
    text = PAGE.read_text()
    assert faults(text) == []
    numbered = [heading.split(". ")[0] for heading in sections(text) if heading[0].isdigit()]
    assert numbered == [str(number) for number in range(1, SECTIONS + 1)]


def test_the_page_of_faults_holds_together() -> None:
    assert faults((DOCS / "comparison-reliability.md").read_text()) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (r"^1\. ", "101. ", "not numbered from 1"),
        (r"^(\| DAD probe .*?\|) [^|]* \|", r"\1", "5 filled cells for 6 columns"),
        (r"^(\| DAD probe .*?\|) [^|]* \|", r"\1 |", "5 filled cells for 6 columns"),
        (r"^(\| DAD probe .*)$", r"\1 more |", "7 filled cells for 6 columns"),
        (r"^(\| DAD probe .*?\|.*?\|) [^|]* \|", r"\1 yes |", "no source for 'yes'"),
        (r"^(\| DAD probe .*?\|.*?\|) [^|]* \|", r"\1 yes [999] |", "source 999 is used but not listed"),
        (r"\n\Z", "\n999. A paper that nobody read\n", "source 999 is listed but not used in a table"),
        (r"\| OVN \|", "| OVS |", "the columns are"),
    ],
)
def test_a_fault_is_found(old: str, new: str, fault: str) -> None:
    text = PAGE.read_text()
    wrong = re.sub(old, new, text, count=1, flags=re.MULTILINE)
    assert wrong != text
    assert any(fault in sentence for sentence in faults(wrong))
