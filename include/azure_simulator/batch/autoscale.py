"""Autoscale formulas: assignments of whole-number arithmetic to the three variables that a formula sets."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from include.azure_simulator.batch.errors import BatchServiceError

_OPERATORS: dict[type[ast.AST], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_FUNCTIONS: dict[str, Callable[..., float]] = {"min": min, "max": max}
_OPTIONS = frozenset({"requeue", "terminate", "taskcompletion", "retaineddata"})
_PREFIX = "service_"


@dataclass(frozen=True, slots=True)
class AutoScaleRun:
    """One evaluation: what the formula asked for, or why it could not be evaluated."""

    at: datetime
    dedicated: int
    low_priority: int
    option: str
    results: str
    error: BatchServiceError | None = None


def evaluate(formula: str, at: datetime, variables: Mapping[str, int]) -> AutoScaleRun:
    """Evaluate a formula.

    Assignments, ``+ - * /``, ``min``, ``max`` and the given service variables are understood. Samples (``GetSample``)
    are not modelled, and a formula that uses them is refused rather than answered with invented numbers.

    :param variables: service-defined variables without ``$``, such as ``CurrentDedicatedNodes``.
    :raises BatchServiceError: 400 ``AutoScalingFormulaSyntaxError``.
    """
    known: dict[str, float | str] = {_PREFIX + name: value for name, value in variables.items()}
    for statement in filter(None, (part.strip() for part in formula.replace("\n", " ").split(";"))):
        name, equals, expression = statement.partition("=")
        if not equals or not expression.strip():
            raise _syntax_error(statement)
        known[_variable(name.strip())] = _value(expression.strip(), known)
    dedicated = _count(known, "TargetDedicatedNodes", "TargetDedicated", default=variables["CurrentDedicatedNodes"])
    low = _count(known, "TargetLowPriorityNodes", "TargetSpotNodes", default=variables["CurrentLowPriorityNodes"])
    option = str(known.get(_PREFIX + "NodeDeallocationOption", "requeue"))
    results = f"$TargetDedicatedNodes={dedicated};$TargetLowPriorityNodes={low};$NodeDeallocationOption={option}"
    return AutoScaleRun(at, dedicated, low, option, results)


def _count(known: Mapping[str, float | str], *names: str, default: int) -> int:
    for name in names:
        value = known.get(_PREFIX + name)
        if isinstance(value, int | float):
            return max(0, int(value))
    return default


def _variable(name: str) -> str:
    return _PREFIX + name[1:] if name.startswith("$") else name


def _value(expression: str, known: Mapping[str, float | str]) -> float | str:
    if expression.lower() in _OPTIONS:
        return expression.lower()
    try:
        tree = ast.parse(expression.replace("$", _PREFIX), mode="eval")
    except SyntaxError as error:
        raise _syntax_error(expression) from error
    try:
        return _number(tree.body, known)
    except ZeroDivisionError as error:
        raise _syntax_error(expression) from error


def _number(node: ast.expr, known: Mapping[str, float | str]) -> float:
    match node:
        case ast.Constant(value=int() | float() as constant):
            return constant
        case ast.Name(id=name) if isinstance(value := known.get(name), int | float):
            return value
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_number(left, known), _number(right, known))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_number(operand, known)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _FUNCTIONS and len(arguments) > 1:
            return _FUNCTIONS[name](*(_number(argument, known) for argument in arguments))
        case _:
            raise _syntax_error(ast.unparse(node).replace(_PREFIX, "$"))


def _syntax_error(part: str) -> BatchServiceError:
    return BatchServiceError(
        400,
        "AutoScalingFormulaSyntaxError",
        "The specified autoscale formula has a syntax error.",
        [("Reason", f"This part is not understood: {part}")],
    )
