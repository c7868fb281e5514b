from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentci_dagster.domain.plain_text import clean_markdown, clean_text


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("a\x1b[31mred\x1b[0m", "ared"),
        ("\x1b]0;title\x07done", "done"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b2Jgone", "gone"),
        ("\x1bPdcs\x1b\\after", "after"),
        ("\x1bcreset", "reset"),
        ("a\u202egnp.exe\u202c", "agnp.exe"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("tags\U000e0041\U000e0042", "tags"),
        ("nul\x00 bell\x07 back\x08", "nul bell back"),
        ("lone\ud800", "lone"),
        ("one\r\ntwo\rthree\u2028four\x85five", "one\ntwo\nthree\nfour\nfive"),
        ("tab\tstays\nand lines", "tab\tstays\nand lines"),
        ("ünïcode 日本 é", "ünïcode 日本 é"),
    ],
)
def test_what_could_deceive_a_terminal_is_gone(text, clean):
    assert clean_text(text) == clean


def test_a_cut_text_ends_with_an_ellipsis():
    assert clean_text("abcdef", 4) == "abc…"
    assert clean_text("abcd", 4) == "abcd"


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.text())
def test_no_hidden_character_is_left_and_cleaning_twice_changes_nothing(text):
    clean = clean_text(text)

    hidden = {c for c in clean if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Co", "Cn"}}
    assert hidden <= {"\n", "\t"}
    assert clean_text(clean) == clean


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("<script>x</script>", "&lt;script>x&lt;/script>"),
        ("![p](http://x/p.png)", "!&#91;p&#93;(http&#58;//x/p.png)"),
        (r"\[x\](javascript:y)", r"\&#91;x\&#93;(javascript:y)"),
        ("see https://evil and www.evil.com", "see https&#58;//evil and www&#46;evil.com"),
        ("mailto:a@b.c", "mailto&#58;a&#64;b.c"),
        ("&lt;b> stays text", "&amp;lt;b> stays text"),
        ("## Title\n- **bold** `code`", "## Title\n- **bold** `code`"),
        ("\x1b[31mred", "red"),
    ],
)
def test_markdown_keeps_its_form_and_loses_html_links_and_images(text, clean):
    assert clean_markdown(text) == clean


def test_markdown_is_cut_before_its_signs_are_written_out():
    assert clean_markdown("<<<<", 2) == "&lt;…"
