"""Syntax trees: an incremental parse is a fresh one, whatever happened to the text before."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnj_lsp.source import Document, Node, Syntax, syntax
from rnj_lsp.source.syntax import LONGEST_PARSED
from tests.source.cursor import document, parsed
from tests.source.samples import SAMPLES

COMMENTS = [
    "a",
    "é",
    "🦀",
    "e\u0301",
    "\u2028",
    "\x85",
    "\x0c",
    "中文",
    " ",
    "'",
    '"',
    "(",
    "{",
    ":",
]
STATEMENTS = {
    "python": [
        "x = [1, 2, (3, 4)]\n",
        "def f(a, b=1):\n    if a:\n        return b\n    return {'a': 🦀}\n".replace("🦀", "'🦀'"),
        "class A(B):\n    x: int = 1\n\n    async def m(self):\n        await self.é()\n",
        "for i in range(3):\r\n    print(f'{i} é')\r\n",
        "s = '''a\nb🦀'''\n",
        "\n",
    ],
    "javascript": [
        "const x = { a: 1, b: [2, 3] };\n",
        "function f(a, b = 1) {\n  if (a) { return b; }\n  return `é ${a}`;\n}\n",
        "class A extends B {\n  m() { return '🦀'; }\n}\n",
        "for (const i of xs) {\r\n  g(i);\r\n}\r\n",
        "x => x + 1;\n",
        "\n",
    ],
    "rust": [
        "const X: [u8; 2] = [1, 2];\n",
        'fn f(a: u32) -> &\'static str {\n    if a > 1 { return "é"; }\n    "🦀"\n}\n',
        "impl A {\n    fn m(&self) -> u32 { self.x }\n}\n",
        "struct A {\r\n    x: u32,\r\n}\r\n",
        'static S: &str = r#"é"#;\n',
        "\n",
    ],
}
LINE_COMMENT = {"python": "#", "javascript": "//", "rust": "//"}
JUNK = st.text(st.sampled_from("ab(){}[]\"'`#/*\\:;,.=<>\n\r\t \0é🦀\u2028\x0c\ud83d"), max_size=8)


@st.composite
def histories(draw: st.DrawFn) -> tuple[str, list[str]]:
    """Draw a language and versions of a text: well-formed ones, and broken ones between them."""
    language = draw(st.sampled_from(sorted(STATEMENTS)))
    comment = st.lists(st.sampled_from(COMMENTS), max_size=5).map(
        lambda parts: f"{LINE_COMMENT[language]}{''.join(parts)}\n"
    )
    well_formed = st.lists(st.sampled_from(STATEMENTS[language]) | comment, max_size=8)
    versions = []
    for _ in range(draw(st.integers(2, 5))):
        text = "".join(draw(well_formed))
        versions.append(text)
        start, end = sorted((draw(st.integers(0, len(text))), draw(st.integers(0, len(text)))))
        if draw(st.booleans()):
            versions.append(text[:start] + draw(JUNK) + text[end:])
            versions.append(text)
    return language, versions


def shape(node: Node) -> list[object]:
    """Return all that a tree says: types, spans, errors."""
    span = (node.span.start, node.span.end)
    return [node.type, node.named, node.is_missing, span, *map(shape, node.children)]


@given(histories(), st.booleans())
def test_an_incremental_parse_is_a_fresh_one(history: tuple[str, list[str]], every: bool) -> None:
    language, versions = history
    it = document(versions[0], language)
    syntax(it)
    for number, text in enumerate(versions):
        it = it.with_text(text, number)
        # Versions may pass without a parse; the edit is then made from the last parsed one.
        if not every and number % 3 == 1:
            continue
        incremental, fresh = syntax(it), parsed(text, language)
        assert incremental is not None
        assert incremental.text == text
        # How tree-sitter recovers from errors may depend on the tree it had before, in about one
        # of ten thousand broken texts; a well-formed one has one tree.
        if fresh.error_count == 0:
            assert shape(incremental.root) == shape(fresh.root)
        assert (incremental.error_count == 0) == (fresh.error_count == 0)


@given(st.sampled_from(sorted(SAMPLES)), st.text(max_size=40), st.floats(0, 1), JUNK)
def test_no_text_makes_the_parser_raise(language: str, text: str, place: float, junk: str) -> None:
    it = parsed(text + "\ud83d\0" + SAMPLES[language], language)
    offset = round(place * len(it.text))
    after = it.with_insertion(offset, junk)
    assert after.text == it.text[:offset] + junk + it.text[offset:]
    assert after.error_count >= 0
    for syntax_ in (it, after):
        syntax_.boundaries()
        syntax_.in_comment(offset)
        syntax_.in_string(offset)
        syntax_.opens_block(offset)
        syntax_.enclosing_block(offset)
        assert 0 <= syntax_.scope_end(offset, junk) <= len(junk)


@given(st.sampled_from(["é🦀", "a", "\ud83d"]), st.integers(0, 9000))
def test_offsets_and_bytes_agree_in_long_texts(letter: str, length: int) -> None:
    text = f'x = "{letter * length}"\ny = 1\n'
    it = parsed(text, "python")
    last = text.index("y")
    assert it.node_at(last).text == "y"
    assert it.node_at(last).span.start == last
    assert it.node_at(4 + length // 2).type in ("string_content", "string_start")


def walk(node: Node) -> list[Node]:
    return [node, *(inner for child in node.children for inner in walk(child))]


def test_a_node_tells_its_place_and_its_relatives() -> None:
    it = parsed("def é(a):\n    return a\n", "python")
    function = it.root.children[0]
    assert function.type == "function_definition"
    name = function.field("name")
    assert name is not None
    assert (name.text, name.named, name.parent) == ("é", True, function)
    assert function.field("nothing") is None
    assert it.root.parent is None
    keyword = function.children[0]
    assert (keyword.type, keyword.named, keyword.next_sibling) == ("def", False, name)
    assert function.named_children[0] == name
    assert function.first_child_after(5) == function.field("parameters")
    assert function.first_child_after(99) is None
    assert len({name, function.children[1]}) == 1
    assert repr(name) == "<identifier 4..5>"


def test_ancestors_lead_from_the_smallest_node_to_the_root() -> None:
    it = parsed("def f(a):\n    return a", "python")
    types = [node.type for node in it.ancestors(21)]
    assert types == ["identifier", "return_statement", "block", "function_definition", "module"]
    assert [node.type for node in it.ancestors(99)] == types
    assert it.node_at(6).text == "a"
    assert it.node_at(9).type == "function_definition"


def test_the_syntax_is_kept_with_its_document() -> None:
    it = document("x = 1\n", "python")
    assert syntax(it) is syntax(it)
    same = it.with_text("x = 1\n", 2)
    assert syntax(same) is syntax(it)


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 0), ("x = 1\n", 0), ("x = (1\n", 1), ("x = )\n", 1), ("x = )\ny = 1\ny = )\n", 2)],
)
def test_errors_are_counted(text: str, count: int) -> None:
    assert parsed(text, "python").error_count == count


def test_what_is_missing_counts_as_an_error() -> None:
    it = parsed("f(1;\n", "javascript")
    missing = [node.type for node in walk(it.root) if node.is_missing]
    assert (missing, it.error_count, it.root.has_error) == ([")"], 1, True)


def test_an_empty_document_has_a_syntax() -> None:
    it = parsed("", "python")
    assert it.root.span.end == 0
    assert it.node_at(0) == it.root
    assert it.boundaries() == []


def test_an_insertion_leaves_the_syntax_it_is_made_from_alone() -> None:
    it = parsed("x = 1\n", "python")
    before = shape(it.root)
    after = it.with_insertion(4, "(")
    assert (it.error_count, shape(it.root)) == (0, before)
    assert after.error_count == 1


def test_a_document_of_a_megabyte_is_parsed_and_a_huge_one_is_not() -> None:
    large = SAMPLES["python"] * (1_000_000 // len(SAMPLES["python"]))
    assert parsed(large, "python").error_count == 0
    assert syntax(document("x" * (LONGEST_PARSED + 1), "python")) is None


def test_a_very_long_line_and_deep_nesting_are_parsed() -> None:
    line = parsed("x = " + "é + " * 50_000 + "1\n", "python")
    assert line.node_at(100_000).type in ("binary_operator", "identifier", "+")
    assert line.error_count == 0
    deep = parsed("[" * 3000 + "]" * 3000, "json")
    assert len(list(deep.ancestors(2999))) >= 3000


def test_a_link_to_an_earlier_parse_holds_no_earlier_document() -> None:
    first = document("x = 1\n", "python")
    syntax(first)
    later = first
    for number in range(50):
        later = later.with_text(later.text + "y", number)
    held: Syntax | None = later._parsed
    assert held is syntax(first)
    assert not any(isinstance(value, Document) for value in vars(held).values())
    syntax(later)
    assert later._parsed is not held
