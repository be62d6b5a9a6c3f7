"""Comments, strings, blocks and declarations at a cursor: `‸`."""

from __future__ import annotations

import pytest

from rnj_lsp.source import Span, language, languages
from rnj_lsp.source.indentation import block_header_by_indent, indent_of
from tests.source.cursor import at_cursor, parsed
from tests.source.samples import SAMPLES


@pytest.mark.parametrize(
    ("id", "marked", "expected"),
    [
        ("python", "x = 1  # a ‸", True),
        ("python", "x = 1  # a‸b\ny", True),
        ("python", "x = 1  ‸# a", False),
        ("python", "# a\n‸", False),
        ("python", "x = '# a‸'", False),
        ("python", "def f():\n    # a‸\n    pass\n", True),
        ("python", "x = 1‸", False),
        ("python", "‸", False),
        ("javascript", "f(); // a ‸\ng();", True),
        ("javascript", "/* a ‸ */ f();", True),
        ("javascript", "/* a */‸ f();", False),
        ("javascript", "f();\n/* a\n ‸\n b */", True),
        ("javascript", "f();\n/** a ‸", True),
        ("javascript", "f('/* a');‸", False),
        ("javascript", "// a /* b\n‸f();", False),
        ("javascript", "/**/‸", False),
        ("rust", "/// a‸\nfn f() {}", True),
        ("rust", "/// a\n‸fn f() {}", False),
        ("rust", "//‸", True),
        ("c", "/* a\n * ‸\n */\nint x;", True),
        ("go", "func f() {\n\t// a‸\n}", True),
        ("lua", "-- a‸", True),
        ("lua", "--[[ a\n‸ ]]", True),
        ("sql", "SELECT 1; -- a‸", True),
        ("ruby", "a # b‸", True),
        ("shellscript", "a # b ‸", True),
        ("html", "<!-- a ‸ -->", True),
        ("html", "<!-- a -->‸", False),
        ("css", "/* a‸ */", True),
        ("kotlin", "fun f() {} // a‸", True),
        ("zig", "// a‸\nconst x = 1;", True),
    ],
)
def test_in_comment(id: str, marked: str, expected: bool) -> None:
    text, offset = at_cursor(marked)
    assert parsed(text, id).in_comment(offset) is expected


@pytest.mark.parametrize(
    ("id", "marked", "expected"),
    [
        ("python", "x = 'a‸b'", True),
        ("python", "x = '‸'", True),
        ("python", "x = ‸'a'", False),
        ("python", "x = 'a'‸", False),
        ("python", "x = 'a‸", True),
        ("python", "x = 'a' + ‸", False),
        ("python", "f('a', \"b‸\ny = 1\n", True),
        ("python", "x = f'a {b‸} c'", False),
        ("python", "x = f'a {b} c‸'", True),
        ("python", 'def f():\n    """a\n    ‸\n    """\n', True),
        ("python", "# it's‸", False),
        ("javascript", "x = `a ${b‸} c`;", False),
        ("javascript", "x = `a ${b} c‸`;", True),
        ("javascript", 'x = "a \\" ‸', True),
        ("javascript", "x = <p>don't ‸</p>;", False),
        ("rust", "fn f<'a>(x: &'a str‸) {}", False),
        ("rust", 'fn f() { g("a‸") }', True),
        ("go", "var x = `a\n‸b`", True),
        ("c", "char c = 'a‸';", True),
        ("sql", "SELECT 'a‸b';", True),
        ("sql", "SELECT 1‸2;", False),
        ("json", '{"a": "b‸"}', True),
        ("yaml", "a: b‸c\n", False),
        ("yaml", 'a: "b‸c"\n', True),
        ("kotlin", 'val x = "a‸b"', True),
        ("ruby", 'x = "a #{b‸}"', False),
        ("html", '<p class="a‸b">', True),
        ("shellscript", 'x="a‸b"', True),
    ],
)
def test_in_string(id: str, marked: str, expected: bool) -> None:
    text, offset = at_cursor(marked)
    assert parsed(text, id).in_string(offset) is expected


OPENS_BLOCK = [
    ("python", "def f():‸", True),
    ("python", "def f():\n    ‸", True),
    ("python", "def f():\n‸\n\nx = 1\n", True),
    ("python", "def f(a):‸\n    return a\n", False),
    ("python", "def f(a):\n    ‸\n    return a\n", False),
    ("python", "def f(a):\n    return a\n    ‸", False),
    ("python", 'def f():\n    """Doc."""\n    ‸\n', True),
    ("python", "def f():\n    # First.\n    # Second.\n    ‸\n", True),
    ("python", "def f():  # note\n    ‸\n", True),
    ("python", "def f():  # note‸\n", False),
    ("python", "def f(\n    a,\n    b,\n) -> int:‸\n\nx = 1\n", True),
    ("python", "def f(a,\n      b):\n    ‸\n", True),
    ("python", "def f(a‸)", True),
    ("python", "def f(a‸, b):\n    pass", False),
    ("python", "class A‸", True),
    (
        "python",
        "class A:\n    x = 1\n\n    async def f(self):\n        ‸\n\n    def g(self): ...\n",
        True,
    ),
    ("python", "if x:\n    pass\nelse:‸\n", True),
    ("python", "if x == [1,\n        2]:‸\n", True),
    ("python", "if x: return‸", False),
    ("python", "x = {'a':‸", False),
    ("python", "x = {'a':‸}", False),
    ("python", "x = y[1:‸]", False),
    ("python", "f = lambda x:‸", False),
    ("python", "def f() -> '‸'", False),
    ("python", "x = 1‸", False),
    ("python", "‸", False),
    ("javascript", "function f() {‸}", True),
    ("javascript", "function f() {‸", True),
    ("javascript", "function f() {\n  ‸\n}", True),
    ("javascript", "function f() {\n  // todo\n  ‸\n}", True),
    ("javascript", "function f() {\n  ‸\n  a();\n}", False),
    ("javascript", "function f() {‸ a(); }", False),
    ("javascript", "if (a) {\n  ‸\n}", True),
    ("javascript", "if (a) {\n  b();\n} else {\n  ‸\n}", True),
    ("javascript", "if (a) {\n    ‸\n    }", True),
    ("javascript", "if (a) return‸;", False),
    ("javascript", "f(() => {‸});", True),
    ("javascript", "f(‸);", False),
    ("javascript", "export default class A‸", True),
    ("javascript", "class A {\n  ‸\n}", True),
    ("javascript", "const x = '{‸'", False),
    ("typescript", "interface A {‸}", True),
    ("rust", "fn f() -> u32 {\n    ‸\n}", True),
    ("rust", "pub(crate) async fn f()‸", True),
    ("rust", "fn f();‸", False),
    ("rust", "match x {\n    1 => {‸}\n}", True),
    ("go", "func f() {\n\t‸\n}", True),
    ("go", "func f() {\n\tfor {\n\t\t‸\n\t}\n}", True),
    ("go", "switch x {\ncase 1:\n\t‸\n}", True),
    ("java", "class A {\n    void f() {‸\n    }\n}", True),
    ("c", "int f(void)\n{\n    ‸\n}", True),
    ("cpp", "namespace a {‸}", True),
    ("csharp", "class A\n{\n    ‸\n}", True),
    ("ruby", "def f‸\nend", True),
    ("ruby", "def f\n  ‸\nend", True),
    ("ruby", "xs.each do |x|\n  ‸\nend", True),
    ("ruby", "def f\n  x\n  ‸\nend", False),
    ("ruby", "return x if y‸", False),
    ("php", "<?php\nfunction f() {\n    ‸\n}", True),
    ("shellscript", "if x; then\n  ‸\nfi", True),
    ("shellscript", "for x in a b; do‸\ndone", True),
    ("shellscript", "case $x in\n  a)\n    ‸\n", True),
    ("lua", "function f(a)\n  ‸\nend", True),
    ("lua", "if x then‸ end", True),
    ("lua", "f(x)‸", False),
    ("kotlin", "fun f() {\n    ‸\n}", True),
    ("kotlin", "xs.map { x ->\n    ‸\n}", True),
    ("swift", "func f() {\n    ‸\n}", True),
    ("scala", "def f(x: Int): Int = {\n  ‸\n}", True),
    ("zig", "fn f() void {\n    ‸\n}", True),
    ("css", ".a {‸}", True),
    ("json", '{\n  "a": {‸}\n}', True),
    ("yaml", "a:\n  ‸\nb: 1\n", True),
    ("yaml", "a: 1‸\n", False),
    ("toml", "[a]\n‸", False),
    ("markdown", "# A‸", False),
]


@pytest.mark.parametrize(("id", "marked", "expected"), OPENS_BLOCK)
def test_opens_block(id: str, marked: str, expected: bool) -> None:
    text, offset = at_cursor(marked)
    assert parsed(text, id).opens_block(offset) is expected


@pytest.mark.parametrize(
    ("id", "marked", "expected"),
    [
        ("python", "def f():  # note\n    ‸", True),
        ("python", "def f(a):\n    return a‸", False),
        ("perl", "sub f {\n    # note\n    ‸\n}", True),
        ("perl", "sub f {\n    return '# {‸", False),
        ("perl", "sub f {  # note‸", False),
        ("perl", "sub f {  # note\n    # more\n\n    ‸\n}", True),
        ("plaintext", "‸", False),
        ("julia", "function f(x)\n    ‸\nend", True),
        ("elixir", "def f(x) do\n  ‸\nend", True),
        ("haskell", "f x = do\n  ‸", True),
        ("makefile", "all: a b\n\t‸", True),
        ("r", "f <- function(x) {‸}", True),
        ("gdscript", "func f():\n\t‸", True),
        ("cmake", "if(A)\n  ‸\nendif()", True),
        ("dockerfile", "RUN a‸", False),
        ("plaintext", "some text:‸", False),
    ],
)
def test_opens_block_without_a_tree(id: str, marked: str, expected: bool) -> None:
    text, offset = at_cursor(marked)
    assert (block_header_by_indent(text, offset, language(id)) is not None) is expected


@pytest.mark.parametrize(
    ("id", "marked", "expected"),
    [
        ("python", "def f():\n    a\n    b‸\nc", "a\n    b"),
        ("python", "def f():\n    a\n    ‸\n\nc", "a"),
        ("python", "class A:\n    def f(self):\n        a\n\n    ‸\n", "def f(self):\n        a"),
        ("python", "class A:\n    def f(self):\n        a\n        ‸\n", "a"),
        ("python", "def f():\n    a\n\n‸", None),
        ("python", "a‸", None),
        ("javascript", "function f() { a(); ‸ }", "{ a(); ‸ }"),
        ("javascript", "function f() {‸}", "{‸}"),
        ("javascript", "function f() {}‸", None),
        ("javascript", "function f() ‸{}", None),
        ("javascript", "class A { f() { a(‸) } }", "{ a(‸) }"),
        ("rust", "impl A {\n    ‸\n}", "{\n    ‸\n}"),
        ("go", "func f() {\n\tif x {\n\t\t‸\n\t}\n}", "{\n\t\t‸\n\t}"),
        ("ruby", "def f\n  a‸\nend", "a"),
        ("lua", "if x then\n  a()‸\nend", "a()"),
    ],
)
def test_enclosing_block(id: str, marked: str, expected: str | None) -> None:
    text, offset = at_cursor(marked)
    span = parsed(text, id).enclosing_block(offset)
    if expected is None:
        assert span is None
    else:
        assert span is not None
        assert text[span.start : span.end] == expected.replace("‸", "")
        assert isinstance(span, Span)


@pytest.mark.parametrize(
    ("id", "text"),
    [
        (
            "python",
            "|import a\n\n|# About A.\n# More.\n@b\nclass A:\n|    x = 1\n\n|    # About f.\n"
            "    def f(self):\n        y = 1\n\n# Alone.\n\n|def g():\n    pass\n|z = 1\n",
        ),
        (
            "rust",
            "|use a;\n\n|/// About A.\n#[derive(Debug)]\nstruct A {\n|    x: u32,\n}\n"
            "|impl A {\n|    #[inline]\n    fn f(&self) {\n        g();\n    }\n}\n",
        ),
        (
            "typescript",
            "|/** About A. */\nexport class A {\n|  x = 1;\n|  f() {\n    g();\n  }\n}\n"
            "|const y = { a: 1,\n  b: 2 };\n",
        ),
        ("cpp", "|namespace a {\n|class B {\n|  void f() {\n    g();\n  }\n};\n}\n"),
        ("go", "|package a\n|type A struct {\n|\tx int\n}\n|func (a A) f() {\n\tg()\n}\n"),
        ("ruby", "|module A\n|  class B\n|    def f\n      g\n    end\n  end\nend\n"),
        ("markdown", "|# A\n\n|Text\nmore.\n\n|## B\n\n|- c\n"),
        ("yaml", "|a:\n|  b: 1\n|  c:\n|    - d\n|e: 2\n"),
        ("python", "|a = 1; b = 2\n|c = (\n|def f():\n    pass\n"),
    ],
)
def test_boundaries(id: str, text: str) -> None:
    expected, place = [], 0
    for part in text.split("|")[:-1]:
        place += len(part)
        expected.append(place)
    assert list(parsed(text.replace("|", ""), id).boundaries()) == expected


@pytest.mark.parametrize("id", SAMPLES)
def test_boundaries_are_sorted_starts_of_lines_with_code(id: str) -> None:
    sample = parsed(SAMPLES[id], id)
    places = list(sample.boundaries())
    assert places == sorted(set(places))
    assert places
    for place in places:
        assert place == 0 or sample.text[place - 1] == "\n"
        assert sample.text[place:].partition("\n")[0].strip()


@pytest.mark.parametrize(
    ("line", "columns"), [("", 0), ("  x", 2), ("\tx", 8), ("  \tx", 8), ("   ", 3)]
)
def test_indentation_is_counted_in_columns(line: str, columns: int) -> None:
    assert indent_of(line) == columns


def test_every_pattern_of_the_table_bears_a_long_line() -> None:
    line = "if (a, b) { case " * 100 + "def " + "(" * 1000
    for known in languages().values():
        for pattern in (known.opener, known.header):
            if pattern is not None:
                pattern.search(line)
                pattern.match(line)
