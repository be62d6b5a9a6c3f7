"""Where a suggestion's statement or block ends: `‸` is the cursor, `┤` the end in the stream."""

from __future__ import annotations

import pytest

from rnj_lsp.source import Node, language, scope_end_by_indent
from rnj_lsp.source.scope_end import unclosed
from rnj_lsp.source.scopes import is_block
from tests.source.cursor import at_cursor, parsed
from tests.source.samples import SAMPLES

SCOPES = [
    # The body after a header, whole, from the header's line and from the line below it.
    ("python", "def f():‸\n", "\n    a = 1\n    return a┤\n\n\ndef g(): pass\n"),
    ("python", "def f():\n    ‸\n", "a = 1\n    return a┤\n\n\ndef g(): pass\n"),
    ("python", "def f(‸)\n", "a):\n    return a┤\n\n\ndef g(): pass\n"),
    ("python", "class A:\n    ‸\n", "x = 1\n\n    def f(self):\n        a()┤\n\n\nclass B: pass\n"),
    ("python", 'def f():\n    """Doc."""\n    ‸\n', "a = 1\n    return a┤\n\nx = 1\n"),
    # One member, where the class has some; one statement, where the body has some.
    (
        "python",
        "class A:\n    def f(self): pass\n\n    ‸\n",
        "def g(self):\n        a()\n\n        b()┤\n\n    def h(self): pass\n",
    ),
    ("python", "class A:\n    def f(self):‸\n", "\n        a()┤\n\n    def g(self): pass\n"),
    ("python", "def f():\n    a()\n    ‸\n", "b(\n        c,\n    )┤\n    d()\n"),
    ("python", "def f():\n    ‸\n    return a\n", "a = [\n        1,\n    ]┤\n    b = 2\n"),
    # What continues a statement belongs to it.
    ("python", "if x:‸\n", "\n    a()\nelif y:\n    b()\nelse:\n    c()┤\nd()\n"),
    ("python", "try:\n    ‸\n", "a()\nexcept E:\n    b()\nfinally:\n    c()┤\nd()\n"),
    (
        "python",
        "def f():\n    if x:‸\n",
        "\n        a()\n\n        # note\n        b()┤\n    c()\n",
    ),
    ("python", "x = ‸\n", 'f(\n    """\na\n""",\n    b,\n)┤\ny = 1\n'),
    ("python", "x = f(‸)\n", "a,\n      b)┤\ny = 2\n"),
    # Comments, attributes and decorators belong to what they stand above.
    ("python", "‸\n", "# About f.\n@a\ndef f():\n    b()┤\n\n\nc()\n"),
    ("python", "@a\n‸\n", "def f(\n    b,\n):\n    c()┤\n\n\nd()\n"),
    ("rust", "‸\n", "/// About f.\n#[test]\nfn f() {\n    a();\n}┤\n\nfn g() {}\n"),
    (
        "java",
        "class A {\n    int a;\n\n    ‸\n}\n",
        "@B\n    int f() {\n        c();\n    }┤\n\n    int d;\n",
    ),
    # A bracket that closes behind the cursor stays there; one that does not comes with the text.
    ("javascript", "function f() {‸}\n", "\n  a();\n  b();\n┤}\n\nfunction g() {}\n"),
    ("javascript", "function f() {\n  ‸\n}\n", "a();\n  b();┤\n}\n\nfunction g() {}\n"),
    ("javascript", "function f() {‸\n\ng();\n", "\n  a();\n  b();\n}┤\n\nfunction g() {}\n"),
    ("javascript", "f(function() {\n  ‸\n});\n", "a();\n  b();┤\n});\n\ng();\n"),
    ("javascript", "f(function() {‸\n\ng();\n", "\n  a();\n  b();\n});┤\n\nh();\n"),
    ("javascript", "class A {\n  f() {‸\n  g() {}\n}\n", "\n    a();\n  }┤\n\n  h() {}\n"),
    ("go", "func f() {\n\t‸\n}\n", "a()\n\tif b {\n\t\tc()\n\t}┤\n}\n\nfunc g() {}\n"),
    ("rust", "fn f() -> u32 {‸}\n", "\n    a();\n    b()\n┤}\n\nfn g() {}\n"),
    ("ruby", "def f\n  ‸\nend\n", "a\n  b do |c|\n    d c\n  end┤\nend\n\ndef g\nend\n"),
    ("ruby", "def f\n  ‸\n", "a\n  b\nend┤\n\ndef g\nend\n"),
    ("lua", "local function f()‸\n", "\n  a()\n  b()\nend┤\n\nc()\n"),
    ("lua", "if x then\n  ‸\nend\n", "a()\n  b()┤\nend\n\nc()\n"),
    ("shellscript", "f() {\n  ‸\n}\n", "a\n  b┤\n}\n\ng() {\n"),
    # Other statements, in other languages.
    ("javascript", "const x = ‸\n", "{\n  a: 1,\n};┤\nf();\n"),
    ("javascript", "a();‸\n", "\nb();┤\nc();\n"),
    ("javascript", "f(‸)\n", "function() {\n  a();\n}, 2)┤\ng()\n"),
    ("javascript", "const x = a‸\n", "\n  .b()\n  .c();┤\nd();\n"),
    (
        "javascript",
        "switch (x) {\n  case 1:‸\n}\n",
        "\n    a();\n    break;┤\n  case 2:\n    b();\n",
    ),
    ("typescript", "‸\n", "interface A {\n  a: string;\n}┤\n\ninterface B {}\n"),
    ("css", "‸\n", ".a {\n  color: red;\n}┤\n\n.b {}\n"),
    ("html", "<div>\n  ‸\n</div>\n", "<p>\n    a\n  </p>┤\n  <p>b</p>\n"),
    ("yaml", "a:\n  ‸\nb: 1\n", "c: 1\n  d:\n    - 2┤\ne: 3\n"),
    ("sql", "‸\n", "SELECT a\nFROM b\nWHERE c = 1;┤\n\nSELECT 2;\n"),
    ("toml", "[a]\n‸\n", "b = [\n  1,\n]┤\nc = 2\n"),
    ("markdown", "# A\n\n‸\n", "One\ntwo.┤\n\nThree.\n"),
    ("python", "# a‸\nb()\n", " c┤\nd()\n"),
    ("csharp", "class A\n{\n    void F()\n    ‸\n}\n", "{\n        a();\n    }┤\n\n    int b;\n"),
]


@pytest.mark.parametrize(("id", "marked", "streamed"), SCOPES)
def test_scope_ends(id: str, marked: str, streamed: str) -> None:
    text, offset = at_cursor(marked)
    inside, _, after = streamed.partition("┤")
    it = parsed(text, id)
    whole = inside + after
    end = it.scope_end(offset, whole)
    assert (whole[:end], whole[end:]) == (inside, after)
    for length in range(len(whole) + 1):
        # While it streams in nothing of the scope is cut, and when it is cut, then at its end.
        end = it.scope_end(offset, whole[:length])
        assert end == length or (end == len(inside) < length)


def blocks(node: Node) -> list[Node]:
    inner = [block for child in node.children for block in blocks(child)]
    return [node, *inner] if is_block(node) else inner


@pytest.mark.parametrize(
    "id", [id for id in SAMPLES if language(id).blocks == "brace" and id != "json"]
)
def test_the_body_of_every_block_is_found_again(id: str) -> None:
    text = SAMPLES[id]
    seen = 0
    for block in blocks(parsed(text, id).root):
        body = block.text.removeprefix("{").removesuffix("}")
        lines = body.strip("\n").splitlines()
        if len(body) != len(block.text) - 2 or len(lines) < 1 or not body.startswith("\n"):
            continue
        seen += 1
        start = block.span.start + 1 + len(body) - len(body.lstrip())
        end = block.span.end - 1 - len(body) + len(body.rstrip())
        it = parsed(text[:start] + text[end:], id)
        assert it.opens_block(start)
        streamed = text[start:]
        result = it.scope_end(start, streamed)
        assert streamed[:result] == text[start:end]
    assert seen or id == "typescriptreact"


def test_a_file_without_its_last_brace_is_cut_by_indentation() -> None:
    it = parsed(
        "class A {\n  f() {\n    ‸".replace("‸", "") + "\n\n  g() {\n    x(;\n  }\n", "java"
    )
    offset = len("class A {\n  f() {\n    ")
    streamed = "a();\n    b();\n  }\n\n  void h() {\n"
    assert streamed[: it.scope_end(offset, streamed)] == "a();\n    b();\n  }"


@pytest.mark.parametrize(
    ("indent", "streamed"),
    [
        (0, " a\n  b\n\n  c┤\nd\n"),
        (0, "\n  a\n}┤\nb\n"),
        (0, "\n  a\n} else {\n  b\n}┤\nc\n"),
        (0, "\n  a\nend┤\n\nb\n"),
        (0, "\n  a\nelse\n  b\nend┤\nc\n"),
        (4, "\n        a┤\n    b\n"),
        (4, "\n        a┤\nb\n"),
        (4, "\r\n        a\r\n        b┤\r\n    c\r\n"),
        (8, "\n\t\ta┤\n\tb\n"),
        (0, "\n  a\n#endif\n  b┤\nc\n"),
        (0, "\n  a\n  b┤"),
        (0, "a┤"),
        (0, "┤"),
    ],
)
def test_scope_ends_by_indentation(indent: int, streamed: str) -> None:
    inside, _, after = streamed.partition("┤")
    assert scope_end_by_indent(indent, inside + after) == len(inside)


@pytest.mark.parametrize("half", ["e", "els", "end", "}", "\n  ", "  "])
def test_a_half_written_line_that_may_belong_is_not_cut(half: str) -> None:
    text = "\n  a\n" + half
    assert scope_end_by_indent(0, text) == len(text)


@pytest.mark.parametrize(
    ("id", "text", "closing"),
    [
        ("python", "f(a, [1, {2: ", "}])"),
        ("python", "f('a(", "')"),
        ("python", 'f("""a\n(', '""")'),
        ("python", "f(  # (", "\n)"),
        ("python", "a # (", ""),
        ("python", "f('a\\'(') + g(", ")"),
        ("python", "a)", ""),
        ("python", "'it\n(", ")"),
        ("javascript", "f(`a\n${(", "`)"),
        ("javascript", "f(/* (", "*/)"),
        ("javascript", "f(/* ( */", ")"),
        ("rust", "fn f<'a>(x: &'a str) {", "}"),
        ("json", "", ""),
    ],
)
def test_unclosed(id: str, text: str, closing: str) -> None:
    assert unclosed(text, language(id)) == closing
