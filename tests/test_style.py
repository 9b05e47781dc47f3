# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The hard stops of CONTRIBUTING.md that no linter knows; sizes, suppressions, paths, imports."""

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
PACKAGES = ("lingshu_jax", "data_tools")
FOLDERS = (*PACKAGES, "configs", "benchmarks", "tests", "tools")
SOURCES = sorted(path for folder in FOLDERS for path in (REPO / folder).rglob("*.py"))
TEXTS = [
    *SOURCES,
    *REPO.glob("*.md"),
    *REPO.glob("*.toml"),
    *REPO.glob("docs/*.md"),
    *REPO.glob("envs/*.txt"),
    REPO / "Makefile",
    REPO / ".ci" / "run",
]

FILE_LINES = 500
FUNCTION_LINES = 60  # without the docstring
CLASS_LINES = 300
POSITIONAL_PARAMETERS = 4
PARAMETERS = 10
NESTING = 4
SUPPRESSIONS = 0  # may only fall

SINGLE_HOMES = ("orbax", "tensorboardX", "grain")  # each known to one module alone
OURS = re.compile(r"\b(lingshu_jax|data_tools|benchmarks)\b|\bconfigs/")
HEADER = ["# Copyright 2026 The lingshu_jax authors", "# SPDX-License-Identifier: Apache-2.0"]

Function = ast.FunctionDef | ast.AsyncFunctionDef


def lines_of(node: Function | ast.ClassDef) -> int:
    """Lines of a definition without its decorators and its docstring."""
    first = node.body[0]
    doc = 0
    if ast.get_docstring(node, clean=False) is not None:
        doc = (first.end_lineno or first.lineno) - first.lineno + 1
    return (node.end_lineno or node.lineno) - node.lineno + 1 - doc


def nesting_of(node: ast.AST) -> int:
    """Blocks inside blocks; `elif` stands beside its `if`."""
    deepest = 0
    for field, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or isinstance(child, Function | ast.ClassDef):
                continue
            is_elif = field == "orelse" and isinstance(node, ast.If) and isinstance(child, ast.If)
            opens = isinstance(child, ast.If | ast.For | ast.While | ast.With | ast.Try | ast.Match)
            deepest = max(deepest, nesting_of(child) + (opens and not is_elif))
    return deepest


def imports_of(tree: ast.AST) -> Iterator[str]:
    """Every imported module, `a.b` as well for `from a import b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def faults_in(rule: Callable[[Path], Iterable[str]], paths: Iterable[Path] = SOURCES) -> list[str]:
    """Every fault that a rule finds, named with its file."""
    return [f"{path.relative_to(REPO)}: {fault}" for path in paths for fault in rule(path)]


def expect_none(rule: Callable[[Path], Iterable[str]], paths: Iterable[Path] = SOURCES) -> None:
    faults = faults_in(rule, paths)
    assert not faults, "\n".join(["", *faults])


def comments_of(path: Path) -> list[str]:
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text()).readline)
    return [token.string for token in tokens if token.type == tokenize.COMMENT]


def size_faults(source: str) -> list[str]:
    faults = []
    if source.count("\n") > FILE_LINES:
        faults.append(f"file: {source.count(chr(10))} lines")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef) and lines_of(node) > CLASS_LINES:
            faults.append(f"class {node.name}: {lines_of(node)} lines")
        if not isinstance(node, Function) or node.name.startswith("test_"):
            continue
        positional = [*node.args.posonlyargs, *node.args.args]
        positional = [a for a in positional if a.arg not in ("self", "cls")]
        counts = {
            "lines": (lines_of(node), FUNCTION_LINES),
            "positional parameters": (len(positional), POSITIONAL_PARAMETERS),
            "parameters": (len(positional) + len(node.args.kwonlyargs), PARAMETERS),
            "levels of nesting": (nesting_of(node), NESTING),
        }
        faults += [f"{node.name}: {n} {what}" for what, (n, limit) in counts.items() if n > limit]
    return faults


def test_sizes() -> None:
    expect_none(lambda path: size_faults(path.read_text()))


def test_sizes_notices_a_long_function() -> None:
    body = "    x = 1\n" * FUNCTION_LINES
    assert size_faults(f"def f():\n{body}") == [f"f: {FUNCTION_LINES + 1} lines"]
    assert size_faults("def f(a, b, c, d, e): ...\n") == ["f: 5 positional parameters"]


def test_headers_and_docstrings() -> None:
    def rule(path: Path) -> Iterator[str]:
        source = path.read_text()
        if path.name == "__init__.py" and not source:
            return
        if source.splitlines()[:2] != HEADER:
            yield "no SPDX header"
        if not path.name.startswith("test_") and not ast.get_docstring(ast.parse(source)):
            yield "no module docstring"

    expect_none(rule)


def test_suppressions() -> None:
    marks = re.compile(r"noqa|type:\s*ignore|pyright:|pylint:|fmt:\s*(off|skip)|no cover")
    found = faults_in(lambda path: filter(marks.search, comments_of(path)))
    assert len(found) <= SUPPRESSIONS, found


def test_no_stray_todo() -> None:
    marks = re.compile(r"\b(TODO(?!\(#\d+\))|FIXME|XXX|HACK)\b")
    expect_none(lambda path: filter(marks.search, comments_of(path)))


def test_no_machine_paths() -> None:
    absolute = re.compile(r"(?<![\w.~*>)}-])/(?:root|work|tmp|Users|home/\w+)/\S*")
    expect_none(lambda path: absolute.findall(path.read_text()), TEXTS)


def test_nothing_unsafe_is_loaded() -> None:
    unpicklers = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}

    def rule(path: Path) -> Iterator[str]:
        tree = ast.parse(path.read_text())
        yield from unpicklers & {name.split(".")[0] for name in imports_of(tree)}
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg in ("allow_pickle", "trust_remote_code"):
                if ast.unparse(node.value) != "False":
                    yield ast.unparse(node)
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                if "weights_only=True" not in map(ast.unparse, node.keywords):
                    yield ast.unparse(node)

    expect_none(rule)


def test_imports_name_modules() -> None:
    def rule(path: Path) -> Iterator[str]:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.ImportFrom) or not node.module:
                continue
            folder = REPO / node.module.replace(".", "/")
            ours = node.module.split(".")[0] in PACKAGES
            modules = [folder / alias.name for alias in node.names]
            if ours and not all(m.is_dir() or m.with_suffix(".py").is_file() for m in modules):
                yield ast.unparse(node)
            if node.module == "__future__":
                yield ast.unparse(node)

    expect_none(rule)


def test_no_blind_except() -> None:
    def rule(path: Path) -> Iterator[str]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ExceptHandler):
                caught = ast.unparse(node.type) if node.type else "Exception"
                if re.search(r"\b(Exception|BaseException)\b", caught):
                    yield f"line {node.lineno}"

    expect_none(rule)


def test_no_drawers() -> None:
    drawers = {"utils", "util", "misc", "helpers"}
    names = {path.stem for path in SOURCES} | {path.parent.name for path in SOURCES}
    assert drawers.isdisjoint(names)


@pytest.mark.parametrize("library", SINGLE_HOMES)
def test_one_module_knows(library: str) -> None:
    homes = [
        str(path.relative_to(REPO))
        for path in SOURCES
        if path.is_relative_to(REPO / "lingshu_jax")
        and library in {n.split(".")[0] for n in imports_of(ast.parse(path.read_text()))}
    ]
    assert len(homes) <= 1, homes


def test_every_test_file_uses_our_code() -> None:
    def rule(path: Path) -> Iterator[str]:
        tree = ast.parse(path.read_text())
        # A command is tested by running it, a config by reading its file.
        strings = (str(n.value) for n in ast.walk(tree) if isinstance(n, ast.Constant))
        if not any(OURS.search(name) for name in (*imports_of(tree), *strings)):
            yield "neither imports nor runs our code"

    tests = [path for path in SOURCES if path.name.startswith("test_")]
    expect_none(rule, [p for p in tests if p.name != "test_style.py"])
