"""What added and removed code is made of, counted by a scanner that serves every language alike.

It is no parser: it knows words, numbers, quotes, comment signs and operators, and the words that
most languages share for control flow and error handling. Words within texts and comments count as
words. Pornprasit and Tantithamthavorn, "JITLine" (2021), and Hoang et al., "DeepJIT" (2019), show
that the words of a change predict beside its size.
"""

from __future__ import annotations

from collections import Counter

from agentci_dagster.domain.history.values import Tokens

# Of each side of a commit, about 100 lines. People read less; more would tell little and cost time.
MAX_READ_BYTES = 4 * 1024

_CONTROLS = frozenset(
    b"if else elif elsif elseif unless for foreach while until do loop switch case when match"
    b" select break continue return yield goto default await defer".split()
)
_HANDLERS = frozenset(
    b"try catch except finally raise throw throws rescue ensure panic recover assert error err Err"
    b" unwrap expect abort".split()
)
_WORD_SIGNS = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_$"
# An opening parenthesis stays with the name before it: that is a call.
_TO_SPACE = bytes(c if c in _WORD_SIGNS + b"(" or c > 127 else 32 for c in range(256))
_NOT_OPERATORS = bytes(c for c in range(256) if c not in b"-+*/%=<>!&|^~?")
_TAB = 4
_MAX_LEVELS = 10
_OTHER, _WORD, _CONTROL, _CALL, _NUMBER, _HANDLER = range(6)


def count_tokens(text: bytes) -> Tokens:
    """Count the tokens of code whose every line begins with a line break; at most `MAX_READ_BYTES`
    of it are read.

    `words` are names and keywords, `literals` numbers and quoted texts, `calls` names directly
    before an opening parenthesis, `operators` signs, `depth` the mean indentation of the lines in
    levels of four columns.
    """
    text = text[:MAX_READ_BYTES]
    if not text:
        return Tokens()
    tokens = text.replace(b"(", b"( ").translate(_TO_SPACE).split()
    counts = Counter(map(_KINDS.__getitem__, tokens))
    quotes = text.count(b'"') + text.count(b"'") + text.count(b"`")
    return Tokens(
        words=counts[_WORD] + counts[_CONTROL] + counts[_CALL] + counts[_HANDLER],
        controls=counts[_CONTROL],
        calls=counts[_CALL],
        literals=counts[_NUMBER] + quotes // 2,
        operators=len(text.translate(None, _NOT_OPERATORS)),
        handlers=counts[_HANDLER],
        comments=text.count(b"//") + text.count(b"/*") + text.count(b"# "),
        depth=_depth(text),
    )


class _Kinds(dict[bytes, int]):
    """Kinds of the tokens met so far; a look at them is faster than a call."""

    def __missing__(self, token: bytes) -> int:
        if len(self) >= _MAX_KNOWN:
            self.clear()
        kind = self[token] = _kind_of(token)
        return kind


def _kind_of(token: bytes) -> int:
    word = token.removesuffix(b"(")
    if not word:
        return _OTHER
    if word[:1].isdigit():
        return _NUMBER
    if word in _CONTROLS:
        return _CONTROL
    if word in _HANDLERS:
        return _HANDLER
    return _CALL if token.endswith(b"(") else _WORD


def _depth(text: bytes) -> float:
    n_lines = text.count(b"\n")
    if not n_lines:
        return 0.0
    if b"\t" in text:
        text = text.expandtabs(_TAB)
    levels = 0
    for level in range(1, _MAX_LEVELS + 1):
        n_as_deep = text.count(b"\n" + b" " * (_TAB * level))
        if not n_as_deep:
            break
        levels += n_as_deep
    return levels / n_lines


_MAX_KNOWN = 100_000
_KINDS = _Kinds()
