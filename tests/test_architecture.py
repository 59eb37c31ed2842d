"""The source keeps its own rules: who may import whom, and what stands where."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "sim" / "fallwise"
ORDER = [
    *("errors", "scenario", "tables", "draw", "policies", "engines", "theory"),
    *("analysis", "planning", "plots", "report", "gateway", "cli"),
]
GATEWAY_SEES = {"errors", "scenario", "tables", "policies", "gateway"}
HOMES = {
    "simpy": {"engines"},
    "numba": {"engines"},
    "seaborn": {"plots"},
    "matplotlib": {"plots"},
    "starlette": {"gateway"},
    "uvicorn": {"gateway", "cli"},
    "aiohttp": {"gateway"},
    "jinja2": {"report"},
    "locust": set(),
    "optuna": {"planning"},
    "time": {"gateway"},
    "random": {"draw"},
}
SLOW = {
    "seaborn",
    "matplotlib",
    "pandas",
    "pyarrow",
    "numba",
    "simpy",
    "sklearn",
    "rich",
    "dask",
    "optuna",
}


class Module(NamedTuple):
    """One file of the package: its dotted name without `fallwise.`, and its syntax tree."""

    name: str
    tree: ast.Module
    lines: int = 0
    folder: bool = False

    @property
    def part(self) -> str:
        """Return the part of the package that it belongs to: errors, scenario, ..., cli."""
        return self.name.partition(".")[0]


def module(name: str, source: str, *, folder: bool = False) -> Module:
    return Module(name, ast.parse(source), source.count("\n"), folder)


def modules() -> list[Module]:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        folder = path.name == "__init__.py"
        parts = (path.parent if folder else path.with_suffix("")).relative_to(PACKAGE).parts
        found.append(module(".".join(parts), path.read_text(), folder=folder))
    return found


def imports(tree: ast.AST) -> Iterator[tuple[str, ast.stmt]]:
    """Yield the full name of everything that is imported, in functions too, and the statement."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield f"{node.module}.{alias.name}", node


def own(name: str) -> str | None:
    """Return the name inside fallwise, or None for other packages and for fallwise itself."""
    package, _, rest = name.partition(".")
    return rest if package == "fallwise" and not rest.startswith("__") else None


def import_order(file: Module) -> Iterator[str]:
    for name, _ in imports(file.tree):
        inner = own(name)
        part = (inner or "").partition(".")[0]
        if not inner or not file.name or part == file.part:
            continue
        if part not in ORDER or file.part not in ORDER:
            yield f"{file.name}: {file.part} or {part} is not in the order"
        elif ORDER.index(part) > ORDER.index(file.part):
            yield f"{file.name}: {file.part} may not import {part}"
        elif file.part == "gateway" and part not in GATEWAY_SEES:
            yield f"{file.name}: gateway may not import {part}"


def packages_at_home(file: Module) -> Iterator[str]:
    for name, _ in imports(file.tree):
        package = name.partition(".")[0]
        if package in HOMES and file.part not in HOMES[package]:
            yield f"{file.name}: {package} may not be imported in {file.part}"


def slow_imports_wait(file: Module) -> Iterator[str]:
    """Only a module that is itself imported late may import slow packages at its top."""
    late = file.part in ("plots", "report", "gateway") or file.part == "engines"
    for node in file.tree.body:
        for name, _ in imports(node) if isinstance(node, ast.Import | ast.ImportFrom) else ():
            slow = name.partition(".")[0] in SLOW or name.startswith(("scipy.stats", "scipy.opt"))
            if slow and not late:
                yield f"{file.name}: import {name} where it is used: it is slow"


def inner_imports_are_for_speed(file: Module) -> Iterator[str]:
    """An import inside a function makes a start faster; it never breaks a ring."""
    for function in ast.walk(file.tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for name, _ in imports(function):
            if own(name) and file.part != "cli" and file.name != "engines.engine":
                yield f"{file.name}: import {name} at the top of the module"


def chance_lives_in_draw(file: Module) -> Iterator[str]:
    if file.part == "draw":
        return
    for node in ast.walk(file.tree):
        if not isinstance(node, ast.Attribute):
            continue
        name = ast.unparse(node)
        if re.fullmatch(r"(np|numpy)\.random\.(?!Generator)\w+", name):
            yield f"{file.name}:{node.lineno}: no chance outside draw: {name}"
    for name, _ in imports(file.tree):
        if name.startswith("numpy.random") and name != "numpy.random.Generator":
            yield f"{file.name}: no chance outside draw: {name}"


def no_print(file: Module) -> Iterator[str]:
    for node in ast.walk(file.tree):
        if isinstance(node, ast.Name) and node.id == "print" and file.part != "cli":
            yield f"{file.name}:{node.lineno}: no print outside cli"


def sizes(file: Module) -> Iterator[str]:
    if file.lines > 400:
        yield f"{file.name}: {file.lines} lines, at most 400"
    for node in ast.walk(file.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            if lines > 60:
                yield f"{file.name}: {node.name} has {lines} lines, at most 60"


def _natural(name: str) -> tuple[Any, ...]:
    """Return the key by which names are sorted: CONSTANTS, Classes, functions; A8 before A16."""
    numbers = [(int(part) if part.isdigit() else part) for part in re.split(r"(\d+)", name)]
    return (not name.isupper(), not name[0].isupper(), *numbers)


def public_names(file: Module) -> Iterator[str]:
    """__all__ is sorted, and has every public function and class of the module."""
    listed: list[str] | None = None
    defined = set()
    for node in file.tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            listed = ast.literal_eval(node.value)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            defined.add(node.name)
        elif file.folder and isinstance(node, ast.ImportFrom):
            defined |= {alias.name for alias in node.names if node.module != "__future__"}
    public = {name for name in defined if not name.startswith("_")}
    if listed is None:
        if public:
            yield f"{file.name}: has no __all__"
        return
    if listed != sorted(listed, key=_natural):
        yield f"{file.name}: __all__ is not sorted"
    if missing := public - set(listed):
        yield f"{file.name}: __all__ lacks {', '.join(sorted(missing))}"


def policies_never_see_the_truth(file: Module) -> Iterator[str]:
    for node in ast.walk(file.tree):
        if file.part == "policies" and isinstance(node, ast.Attribute) and node.attr == "correct":
            yield f"{file.name}:{node.lineno}: a policy may not see correct"


def engines_only_schedule(file: Module) -> Iterator[str]:
    unseen = {"score", "correct", "passes", "call_usd", "router_score"}
    for node in ast.walk(file.tree):
        if file.name == "engines.jit":  # numba calls the steps of its compiler passes.
            return
        if file.part == "engines" and isinstance(node, ast.Attribute) and node.attr in unseen:
            yield f"{file.name}:{node.lineno}: an engine may not see {node.attr}"


RULES: dict[Callable[[Module], Iterator[str]], tuple[str, str, str]] = {
    import_order: ("gateway.app", "from fallwise.engines import plan", "gateway may not import"),
    packages_at_home: ("analysis.x", "def f():\n    import simpy", "simpy may not be imported"),
    slow_imports_wait: ("draw.x", "from scipy.stats import norm", "it is slow"),
    inner_imports_are_for_speed: (
        "draw.x",
        "def f():\n    from fallwise.tables import x",
        "at the top of the module",
    ),
    chance_lives_in_draw: ("analysis.x", "np.random.default_rng(1)", "no chance outside draw"),
    no_print: ("report", "print(1)", "no print outside cli"),
    sizes: ("theory", "def f():\n" + "    x = 1\n" * 60, "at most 60"),
    public_names: ("theory", "__all__ = ['a']\ndef a(): ...\ndef b(): ...", "__all__ lacks b"),
    policies_never_see_the_truth: ("policies.x", "requests.correct", "may not see correct"),
    engines_only_schedule: ("engines.x", "requests.score[0]", "may not see score"),
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_source_keeps_the_rule(rule: Callable[[Module], Iterator[str]]) -> None:
    assert [message for file in modules() for message in rule(file)] == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_rule_finds_a_planted_fault(rule: Callable[[Module], Iterator[str]]) -> None:
    name, source, message = RULES[rule]
    assert any(message in found for found in rule(module(name, source)))


def rings(graph: dict[str, set[str]]) -> list[list[str]]:
    """Return the rings of a graph of imports, one for each module that closes one."""
    found: list[list[str]] = []
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> None:
        if name in path:
            found.append([*path[path.index(name) :], name])
        elif name not in done:
            for target in sorted(graph.get(name, ())):
                visit(target, [*path, name])
            done.add(name)

    for name in sorted(graph):
        visit(name, [])
    return found


def test_no_modules_import_each_other_in_a_ring() -> None:
    names = {file.name for file in modules()}
    graph: dict[str, set[str]] = {}
    for file in modules():
        targets = {own(name) for name, _ in imports(file.tree)}
        near = {t if t in names else t.rpartition(".")[0] for t in targets if t}
        graph[file.name] = near - {file.name, ""}
    assert rings(graph) == []
    assert rings({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == [["a", "b", "c", "a"]]


def test_the_page_on_architecture_has_every_module_and_no_other() -> None:
    there: set[tuple[str, str]] = set()
    for file in modules():
        if "." in file.name:
            there.add((file.part, file.name.split(".")[1]))
    named = set()
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    for first, second in re.findall(r"^\| (`.*?) \|(.*)\|$", page, re.M):
        # A row is a part and its modules or, in the table of the compiled engine, modules alone.
        part = first.strip("`")
        mine, text = (part, second) if part in ORDER else ("engines", first)
        named |= {(mine, name) for name in re.findall(r"`(\w+)`", text)}
    assert named ^ there == set()


def test_every_part_has_tests() -> None:
    tested = [path.relative_to(ROOT / "tests").as_posix() for path in ROOT.glob("tests/**/test_*")]
    inside: dict[str, set[str]] = {}
    for file in modules():
        inside.setdefault(file.part, set()).add(file.name.rpartition(".")[2])
    for part, names in inside.items():
        pattern = rf"{part}/test_|(.*/)?test_({'|'.join(sorted(names))})"
        assert not part or any(re.match(pattern, path) for path in tested), part


@pytest.mark.parametrize("path", sorted(ROOT.glob("scenarios/**/*.yaml")), ids=lambda p: p.stem)
def test_every_scenario_is_read_and_says_where_its_numbers_come_from(path: Path) -> None:
    from fallwise.scenario import read

    scenario = read(path)
    comments = " ".join(re.findall(r"#.*", path.read_text())).lower()
    assert scenario.name == path.stem
    assert scenario.about
    assert re.search(r"source|measured|assum|published|exact|closed form", comments)


def test_folders_that_are_no_packages_have_no_init_file() -> None:
    for folder in ("sim", "tests", "scenarios", "loadtests", "notebooks", "benchmarks"):
        assert not list((ROOT / folder).glob("**/__init__.py")) or folder == "sim"
    assert not (ROOT / "sim" / "__init__.py").exists()
    assert not list(PACKAGE.rglob("sim.py"))


@pytest.mark.parametrize(
    "name", ["fallwise", "fallwise.scenario", "fallwise.cli", "fallwise.analysis"]
)
def test_an_import_does_not_load_what_is_slow(name: str) -> None:
    code = f"import sys, {name}; print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(out.stdout.split())
    assert name in loaded
    assert not loaded & {"seaborn", "matplotlib", "pandas", "numba", "simpy", "scipy.stats"}
