"""Who may know whom: the layers of the design, checked in the source of every module."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from include.airflow_settings import ROOT

# By layer: the layers that it may import, itself included.
PURE = {"words", "errors", "spec", "rules"}
MAY_IMPORT = {
    "words": {"words"},
    "errors": {"errors", "words"},
    "spec": {"spec", "errors", "words"},
    "rules": PURE,
    "failures": {"failures", "errors"},
    "retries": {"retries", "failures", "errors"},
    "assets": {"assets", "spec"},
    "forms": {"forms", "spec"},
    "clearing": {"clearing"},
    "schedules": {"schedules", "spec"},
    # Airflow's stats; whoever sees something that is counted sends it.
    "metrics": {"metrics", "rules"},
    "hooks": PURE | {"hooks", "metrics"},
    "__main__": PURE | {"hooks"},
    "alias": PURE | {"alias", "hooks"},
    "notifications": PURE | {"notifications", "hooks"},
    "links": PURE | {"links", "hooks"},
    "triggers": PURE | {"triggers", "hooks", "metrics"},
    "operators": PURE | {"operators", "triggers", "hooks", "retries", "failures", "metrics", "notifications", "links"},
    "image_group": {"image_group", "operators", "spec"},
    "sensors": PURE | {"sensors", "operators", "triggers", "hooks", "retries", "links"},
    # The page reads: what runs do stands in Airflow's database, so it needs no operator and no trigger.
    "ui": PURE | {"ui", "hooks", "assets", "failures"},
    "golden_pools_plugin": {"ui", "deadline", "listener"},
    "listener": PURE | {"listener", "metrics", "ui"},
    "deadline": PURE | {"deadline", "notifications"},
    "dags": PURE
    | {"deadline", "alias", "operators", "sensors", "retries", "assets", "forms", "schedules", "image_group"}
    | {"clearing"},
}
"""``dags`` are the files in ``dags/``; every other name is a module or package of ``golden_pools``."""

AZURE_SDK = ("azure", "msal", "msrest", "airflow.providers.microsoft.azure")
API_SERVER = ("fastapi", "starlette", "airflow.api_fastapi")
HEAVY = (*AZURE_SDK, *API_SERVER, "aiohttp", "httpx", "requests", "numpy", "pandas")
"""What costs a DAG file, the scheduler or the triggerer much time or memory when it is imported."""


@dataclass(frozen=True)
class Import:
    """One imported module.

    :param lazy: it is imported inside a function, not when the module is.
    """

    module: str
    lazy: bool


def _source_files(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts[1:] if parts[0] == "plugins" else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(path: Path) -> list[Import]:
    package = _module(path) if path.name == "__init__.py" else _module(path).rpartition(".")[0]
    return list(_imports_below(ast.parse(path.read_text(encoding="utf-8")), package, lazy=False))


def _imports_below(node: ast.AST, package: str, *, lazy: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, lazy) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            base = _absolute(child, package)
            yield from (Import(f"{base}.{alias.name}", lazy) for alias in child.names)
        elif isinstance(child, ast.If) and _is_type_checking(child.test):
            yield from (Import(found.module, True) for found in _imports_below(child, package, lazy=True))
        else:
            inside = lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _imports_below(child, package, lazy=inside)


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parents = package.split(".")
    base = parents[: len(parents) - node.level + 1]
    return ".".join([*base, *filter(None, [node.module])])


def _is_type_checking(test: ast.expr) -> bool:
    return ast.unparse(test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def _is(module: str, *names: str) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in names)


def _layer(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    if parts[0] == "dags":
        return "dags"
    return parts[2] if len(parts) > 2 else parts[1]


def _imported_layer(found: Import) -> str | None:
    parts = found.module.split(".")
    return parts[1] if parts[0] == "golden_pools" and len(parts) > 1 else None


PRODUCT = [path for path in _source_files("dags", "plugins") if path != ROOT / "plugins/golden_pools/__init__.py"]
SIMULATOR = _source_files("include/azure_simulator")
EVERYTHING = _source_files("dags", "plugins", "include")


def _offences(paths: Iterable[Path], forbidden: Callable[[Path, Import], bool]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)} imports {found.module}"
        for path in paths
        for found in _imports(path)
        if forbidden(path, found)
    ]


def _outside(*layers: str) -> list[Path]:
    return [path for path in PRODUCT if _layer(path) not in layers]


def test_every_layer_says_what_it_may_know() -> None:
    assert {_layer(path) for path in PRODUCT} == MAY_IMPORT.keys()


def test_a_module_knows_only_the_layers_below_it() -> None:
    def is_above(path: Path, found: Import) -> bool:
        layer = _imported_layer(found)
        return layer is not None and layer not in MAY_IMPORT[_layer(path)]

    assert _offences(PRODUCT, is_above) == []


def test_only_hooks_know_the_azure_sdk() -> None:
    assert _offences(_outside("hooks"), lambda _, found: _is(found.module, *AZURE_SDK)) == []


def test_nothing_heavy_is_imported_with_a_module() -> None:
    elsewhere = _offences(_outside("hooks", "ui"), lambda _, found: not found.lazy and _is(found.module, *HEAVY))
    page = [path for path in PRODUCT if _layer(path) == "ui"]
    in_the_page = _offences(
        page, lambda _, found: not found.lazy and _is(found.module, *(set(HEAVY) - set(API_SERVER)))
    )

    assert elsewhere + in_the_page == []


def test_only_the_page_is_made_of_what_the_api_server_has_anyhow() -> None:
    assert _offences(_outside("ui"), lambda _, found: _is(found.module, *API_SERVER)) == []


def test_hooks_are_imported_inside_functions() -> None:
    eager = _offences(_outside("hooks"), lambda _, found: not found.lazy and _is(found.module, "golden_pools.hooks"))

    assert eager == []


def test_spec_rules_and_errors_know_no_airflow() -> None:
    pure = [path for path in PRODUCT if _layer(path) in PURE]

    assert _offences(pure, lambda _, found: _is(found.module, "airflow")) == []


def test_the_simulator_knows_nothing_of_the_product() -> None:
    strangers = ("golden_pools", "airflow", *AZURE_SDK)

    assert _offences(SIMULATOR, lambda _, found: _is(found.module, *strangers)) == []


def test_the_product_knows_nothing_of_what_runs_it() -> None:
    assert _offences(PRODUCT, lambda _, found: _is(found.module, "include")) == []


def test_nothing_that_is_delivered_knows_the_tests() -> None:
    assert _offences(EVERYTHING, lambda _, found: _is(found.module, "tests", "pytest")) == []


def test_an_import_below_a_function_is_lazy_and_one_in_a_class_is_not() -> None:
    tree = ast.parse(
        "import a\n"
        "from .b import c\n"
        "class K:\n    import d\n    def f(self):\n        import e\n"
        "if TYPE_CHECKING:\n    import f\n"
        "try:\n    from ..g import h\nexcept ImportError:\n    pass\n"
    )

    assert list(_imports_below(tree, "pkg.sub", lazy=False)) == [
        Import("a", lazy=False),
        Import("pkg.sub.b.c", lazy=False),
        Import("d", lazy=False),
        Import("e", lazy=True),
        Import("f", lazy=True),
        Import("pkg.g.h", lazy=False),
    ]
