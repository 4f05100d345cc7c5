"""The instructions of a flow in words, whoever made them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.actions_text import LONGEST, actions_text
from controller.flow_bytes import body_of, match_end
from flows.flow import Flow
from tests.vocabulary import flows


@pytest.mark.parametrize(
    ("instructions", "said"),
    [
        ("", "drop"),
        ("000100080a000000", "goto_table:10"),
        ("000200180000000000000000000000610000000000000061", "write_metadata:0x61"),
        ("0006000800010001", "meter:65537"),
        ("0004001800000000" "0000001000000009ffff000000000000", "output:9"),
        ("0004001000000000" "001600080000004d", "group:77"),
        ("0004001000000000" "0018000800000000", "dec_nw_ttl"),
        ("00010008", "something else"),
        ("0001", "something else"),
    ],
)  # fmt: skip
def test_what_a_flow_does_is_said_as_ovs_ofctl_has_it(instructions: str, said: str) -> None:
    assert actions_text(bytes.fromhex(instructions)) == said


@given(flows())
def test_of_every_flow_of_ours_something_short_is_said(any_flow: Flow) -> None:
    body = body_of(any_flow)
    said = actions_text(body[match_end(body) :])
    assert 0 < len(said) <= LONGEST
    assert said != "something else"


@given(st.binary(max_size=64))
def test_nothing_is_an_error(octets: bytes) -> None:
    assert 0 < len(actions_text(octets)) <= LONGEST
