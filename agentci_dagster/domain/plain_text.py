"""Makes untrusted text harmless to look at: in a terminal, a page, Markdown. Decides nothing."""

from __future__ import annotations

import re
import unicodedata

# CSI, OSC/DCS/SOS/PM/APC strings up to their end, and two-character escapes; in 7 and 8 bits.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)
_LINE_ENDS = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
_KEPT = frozenset("\n\t")
_URL_COLON = re.compile(r":(?=//)|(?<=mailto):|(?<=xmpp):", re.IGNORECASE)
_WWW = re.compile(r"(www)\.", re.IGNORECASE)


def clean_text(text: str, limit: int | None = None) -> str:
    """The text without terminal escapes, control, bidirectional and invisible characters.

    Args:
        text: anything from a commit, a log or a model.
        limit: most characters of the answer; a cut ends in `…`.
    """
    without_escapes = _ESCAPES.sub("", _LINE_ENDS.sub("\n", text))
    clean = "".join(c for c in without_escapes if c in _KEPT or _is_visible(c))
    return clean if limit is None or len(clean) <= limit else clean[: limit - 1] + "…"


def clean_markdown(text: str, limit: int | None = None) -> str:
    """The text as Markdown in which HTML, links and images are plain text.

    Headings, lists, emphasis and tables stay. Signs are written as entities, not with backslashes:
    a backslash that the text brings along could undo ours.
    """
    clean = clean_text(text, limit).replace("&", "&amp;").replace("<", "&lt;")
    clean = clean.replace("[", "&#91;").replace("]", "&#93;").replace("@", "&#64;")
    return _WWW.sub(r"\1&#46;", _URL_COLON.sub("&#58;", clean))


def _is_visible(character: str) -> bool:
    return unicodedata.category(character) not in _HIDDEN
