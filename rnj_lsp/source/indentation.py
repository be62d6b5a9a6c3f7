"""What lines and their indentation tell about blocks; it needs no grammar and bears broken code."""

from __future__ import annotations

import re

from rnj_lsp.source.languages import Language

__all__ = [
    "block_header_by_indent",
    "code_of_line",
    "first_code",
    "indent_of",
    "last_code",
    "line_end",
    "line_start",
    "may_continue",
    "scope_end_by_indent",
    "unfinished_header",
]


def indent_of(line: str) -> int:
    """Return the columns before the first character of a line; a tab goes to the next eighth."""
    return len(line[: first_code(line, 0)].expandtabs(8))


def first_code(text: str, start: int) -> int:
    """Return where the first character from `start` on is that is no blank; at most a line end."""
    return _BLANKS.match(text, start).end()  # type: ignore[union-attr]  # It matches nothing, too.


def line_start(text: str, offset: int) -> int:
    """Return where the line of `offset` starts."""
    start = text.rfind("\n", 0, offset) + 1
    return text.rfind("\r", start, offset) + 1 or start


def line_end(text: str, offset: int) -> int:
    """Return where the line of `offset` ends, before its line break."""
    match = _LINE_BREAK.search(text, offset)
    return match.start() if match else len(text)


def last_code(text: str, end: int) -> int:
    """Return where the last character before `end` ends that is no white space; 0 without one."""
    while end:
        start = max(0, end - _CHUNK)
        code = len(text[start:end].rstrip())
        if code:
            return start + code
        end = start
    return 0


def code_of_line(line: str, language: Language) -> tuple[str, bool]:
    """Return the code of a line, and whether it goes to the end: no comment or string is open."""
    mark = language.line_comment[0] if language.line_comment else ""
    quote = ""
    place = 0
    while place < len(line):
        character = line[place]
        if character == "\\":
            place += 1
        elif quote:
            quote = "" if character == quote else quote
        elif mark and line.startswith(mark, place):
            return line[:place].rstrip(), False
        elif character in language.quotes:
            quote = character
        place += 1
    return line.rstrip(), not quote


def block_header_by_indent(
    text: str, offset: int, language: Language, code_end: int | None = None
) -> int | None:
    """Return where the header starts whose block, still without a statement, `offset` is in.

    None when no block opens there: nothing right of the cursor but closing marks may be on its
    line, the code before it must end with a header, and the next line must not be deeper than the
    header. The header may also be unfinished, as long as the cursor is on its line.
    `code_end`, when a syntax tree knows it, is where the code before the cursor ends.
    """
    if language.opener is None and language.header is None:
        return None
    if code_end is None:
        code_end = _code_end(text, offset, language)
    rest = text[offset : line_end(text, offset)]
    if not code_end or not _CLOSING_MARKS.fullmatch(rest):
        return None
    start = line_start(text, code_end)
    if code_end - start > _LONGEST_LINE:
        return None
    header_start = first_code(text, _logical_start(text, start, code_end, language))
    header = text[header_start:code_end]
    unfinished = start == line_start(text, offset)
    if not _opens(text[start:code_end], header, language) and not (
        unfinished and _begins_header(header, language)
    ):
        return None
    indent = indent_of(text[line_start(text, header_start) : header_start])
    return None if _has_body(text, offset, indent) else header_start


def scope_end_by_indent(before_line_indent: int, text: str) -> int:
    """Return how many characters of `text` belong to a scope, as far as indentation tells.

    `before_line_indent` is the indentation, in columns, of the line that opens the scope. The rest
    of the cursor's line belongs to it; further lines do while they are deeper, or as deep and
    closing or continuing it (`}`, `end`, `else`). The length of `text` when nothing ends it.
    """
    end = 0
    for match in _LINE.finditer(text):
        line = match.group().rstrip()
        if match.start() == 0:
            end = len(line)
            continue
        # A comment or a line for the preprocessor may stand further left than what is around it.
        if not line or line.startswith("#"):
            continue
        indent = indent_of(line)
        if indent < before_line_indent:
            return _unless_open(text, end)
        if indent == before_line_indent:
            word = line.lstrip()
            if not _CLOSES.match(word) and not _CONTINUES.match(word):
                return _unless_open(text, end)
            end = match.start() + len(line)
            if _CLOSES.match(word) and not _OPENS_AGAIN.search(word):
                return _unless_open(text, end)
        end = match.start() + len(line)
    return len(text)


def unfinished_header(text: str, language: Language) -> bool:
    """Return whether `text` ends with a header of indented blocks that lacks only its colon."""
    if language.blocks != "indent" or language.header is None:
        return False
    end = len(text.rstrip())
    start = _logical_start(text, line_start(text, end), end, language)
    return _begins_header(text[first_code(text, start) : end], language)


def may_continue(rest: str) -> bool:
    """Return whether the end of a stream that follows a complete scope may yet become part of it.

    That is so for a first operator (`.`, `&&`) and for the first letters of a word like `else`.
    """
    rest = rest.strip()
    if not rest or _OPERATOR.fullmatch(rest):
        return True
    return any(word.startswith(rest) for word in _CONTINUING_WORDS)


_BLANKS = re.compile(r"[ \t\f]*")
_LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n|\Z)")
_LINE_BREAK = re.compile(r"[\r\n]")
_CONTINUING_WORDS = (
    *("else", "elif", "elsif", "elseif", "except", "finally", "catch", "rescue", "ensure"),
    *("when", "then", "case", "default", "while", "until", "where", "end", "fi", "done", "esac"),
)
_CLOSING_MARKS = re.compile(r"[\s)\]}>;:,]*(?:(?:end|fi|done|esac)\b[\s)\]};,]*)?")
_CLOSES = re.compile(r"[)\]}]|(?:end|fi|done|esac|until)\b|</")
_CONTINUES = re.compile(rf"\{{|(?:{'|'.join(_CONTINUING_WORDS)})\b")
_OPENS_AGAIN = re.compile(r"[{(\[:]$|\b(?:do|then|else)$")
_OPERATOR = re.compile(r"(?:\?|\.|&|\||\+|\*|/|%|=|<|>|,|:|-)+\s*\w*")
_STRING = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'")
_BRACKETED = re.compile(r"[(\[{][^()\[\]{}]*(?:[)\]}]|\Z)")
_LONGEST_HEADER = 60
"""Lines."""

_LONGEST_LINE = 2000
"""Characters; generated code with longer lines has no headers that anyone completes."""

_CHUNK = 4096


def _unless_open(text: str, end: int) -> int:
    # The last line of a stream may be half written: "el" can become "else:".
    rest = text[end:]
    last = rest.lstrip()
    half = last and "\n" not in last and "\r" not in last and may_continue(last)
    return len(text) if half else end


def _code_end(text: str, offset: int, language: Language) -> int:
    """Return where the last code before `offset` ends, without a tree; 0 when there is none.

    Also 0 when a string or a comment is open at `offset`.
    """
    start = line_start(text, offset)
    code, ends = code_of_line(text[start:offset], language)
    if not ends:
        return 0
    while not code and start:
        end = start - 1
        start = line_start(text, end)
        code, _ = code_of_line(text[start:end], language)
    return start + len(code) if code else 0


def _logical_start(text: str, start: int, end: int, language: Language) -> int:
    """Return where the line starts that opens the brackets closed between `start` and `end`."""
    first = start
    for _ in range(_LONGEST_HEADER):
        continued = text[max(0, first - 3) : first].rstrip("\r\n").endswith("\\")
        if not continued and not _closes_earlier(text[first:end], language):
            return first
        if not first:
            break
        first = line_start(text, first - 1)
    return start


def _closes_earlier(text: str, language: Language) -> bool:
    """Whether a bracket is closed that is not opened in `text`; braces count where they are none
    of blocks."""
    depth = 0
    for character in _STRING.sub("", text):
        if character in "([" or (character == "{" and language.blocks == "indent"):
            depth += 1
        elif character in ")]" or (character == "}" and language.blocks == "indent"):
            depth -= 1
            if depth < 0:
                return True
    return False


def _opens(line: str, header: str, language: Language) -> bool:
    if language.opener is not None and language.opener.search(line):
        return True
    if language.blocks != "indent" or language.header is None:
        return False
    plain = _plain(header)
    return plain.endswith(":") and language.header.match(header) is not None


def _begins_header(header: str, language: Language) -> bool:
    if language.header is None or language.header.match(header) is None:
        return False
    return not re.search(r":" if language.blocks == "indent" else r"[{};]|\bend\b", _plain(header))


def _plain(header: str) -> str:
    """Return a header without its strings and without what is in brackets, closed or not."""
    plain = _STRING.sub("''", header)
    while True:
        shorter = _BRACKETED.sub("", plain)
        if shorter == plain:
            return plain
        plain = shorter


def _has_body(text: str, offset: int, indent: int) -> bool:
    rest = text[first_code(text, offset) :][:1]
    if rest == "}":
        return False
    end = line_end(text, offset)
    for match in _LINE.finditer(text, end):
        line = match.group().strip()
        if line:
            closes = _CLOSES.match(line) is not None
            return not closes and indent_of(match.group()) > indent
    return False
