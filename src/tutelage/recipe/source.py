"""A plug-in's class `Settings`, built from its source. No line of the file is run, so a stranger's recipe can be shown.

Read are annotated fields with literal defaults and the strings below them. Methods, validators among them, are left
to the module itself, which runs when the recipe does.
"""

import ast
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NoReturn

from pydantic import ConfigDict, Field, create_model

from tutelage.errors import UserError
from tutelage.recipe.section import Section

PLAIN: dict[str, Any] = {"str": str, "int": int, "float": float, "bool": bool, "Any": Any, "None": None, "object": Any}
GENERIC: dict[str, Any] = {"tuple": tuple, "list": list, "dict": dict, "Tuple": tuple, "List": list, "Dict": dict}
LIMITS = frozenset(
    {"default", "ge", "gt", "le", "lt", "multiple_of", "min_length", "max_length", "pattern", "description", "strict"}
)
"""What `Field` may be given in a `Settings`."""


def section_in(path: Path) -> type[Section]:
    """The class `Settings` of the Python file `path` as a Section; an empty one where the file has none."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError) as error:
        raise UserError(f"{path} is not Python source ({error})", "A module with a class `Settings`") from error
    node = next((n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Settings"), None)
    return _Reader(path).section(node) if node else Section


class _Reader:
    """Turns the syntax of one file into types and values."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def section(self, node: ast.ClassDef) -> type[Section]:
        bases = [ast.unparse(base).rpartition(".")[2] for base in node.bases]
        if bases != ["Section"]:
            self._refuse(node, f"Settings({', '.join(bases)})")
        fields: Any = {name: (self._type(field.annotation), info) for name, field, info in self._fields(node)}
        # pydantic would look for the docstrings in this file; they are taken from the source instead.
        base = type("Section", (Section,), {"model_config": ConfigDict(use_attribute_docstrings=False)})
        return create_model("Settings", __base__=base, __doc__=ast.get_docstring(node), **fields)

    def _fields(self, node: ast.ClassDef) -> Iterator[tuple[str, ast.AnnAssign, Any]]:
        """(name, assignment, pydantic's field) of every setting."""
        following: list[ast.stmt | None] = [*node.body[1:], None]
        for field, after in zip(node.body, following, strict=True):
            if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
                continue
            if "ClassVar" in ast.unparse(field.annotation) or field.target.id.startswith("_"):
                continue
            documented = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            text = {"description": str(after.value.value)} if documented else {}  # pyright: ignore
            yield field.target.id, field, self._default(field.value, **text)

    def _default(self, node: ast.expr | None, **more: Any) -> Any:
        """The default of a field, or the call of `Field`, as pydantic's field. more: further arguments of `Field`."""
        if node is None:
            return Field(**more)
        if not (isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "Field"):
            return Field(default=self._literal(node), **more)
        if unknown := {str(keyword.arg) for keyword in node.keywords} - LIMITS:
            self._refuse(node, f"Field({', '.join(sorted(unknown))}=...)")
        positional = {"default": self._literal(node.args[0])} if node.args else {}
        named = {str(keyword.arg): self._literal(keyword.value) for keyword in node.keywords}
        given = more | positional | named
        return Field(**{key: value for key, value in given.items() if value is not Ellipsis})

    def _literal(self, node: ast.expr) -> Any:
        try:
            return ast.literal_eval(node)
        except (ValueError, TypeError, RecursionError):
            self._refuse(node, ast.unparse(node))

    def _type(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Constant) and node.value is None:
            return None
        if isinstance(node, ast.Constant) and isinstance(node.value, str):  # a quoted annotation
            return self._type(ast.parse(node.value, mode="eval").body)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            return self._type(node.left) | self._type(node.right)
        if isinstance(node, ast.Subscript):
            return self._subscripted(node)
        name = ast.unparse(node).rpartition(".")[2]
        if name not in PLAIN | GENERIC:
            self._refuse(node, name)
        return (PLAIN | GENERIC)[name]

    def _subscripted(self, node: ast.Subscript) -> Any:
        name = ast.unparse(node.value).rpartition(".")[2]
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if name == "Literal":
            return typing.Literal[tuple(self._literal(part) for part in parts)]
        if name == "Annotated":
            return Annotated[self._type(parts[0]), self._default(parts[1])]
        if name in ("Optional", "Union"):
            choices = [self._type(part) for part in parts] + ([None] if name == "Optional" else [])
            return typing.Union[tuple(choices)]  # noqa: UP007  # the choices are known here only
        if name not in GENERIC:
            self._refuse(node, name)
        arguments = [
            ... if isinstance(part, ast.Constant) and part.value is ... else self._type(part) for part in parts
        ]
        return types.GenericAlias(GENERIC[name], tuple(arguments))

    def _refuse(self, node: ast.AST, text: str) -> NoReturn:
        raise UserError(
            f"{self.path}, line {getattr(node, 'lineno', 0)}: the class `Settings` uses {text[:80]}",
            "A Section of fields with plain types (str, int, float, bool, Literal, tuple, list, dict, Any, Annotated "
            "with Field) and literal defaults, because it is read without running the file",
            "Compute values in the plug-in itself",
        )
