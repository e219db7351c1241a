"""A spec file as plain data, with the line of everything in it.

YAML's own readers keep the last of two equal keys, make dates of text and stop at the first fault. This one takes the
node tree of PyYAML's C parser, turns it into plain data and collects every fault on the way. The tree is kept: it knows
the lines, and is asked for them only where there is a fault.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import yaml
from yaml.reader import Reader, ReaderError

from golden_pools.words import shortened

LARGEST_FILE_BYTES = 16 * 1024
"""Several times a long spec. It also bounds the nesting, which the C parser follows on the machine's stack: some 30,000
open brackets would end the whole process, and with it the parsing of every other DAG."""

Location: TypeAlias = tuple[str | int, ...]

_CORE = "tag:yaml.org,2002:"
_TEXT = {_CORE + "str", _CORE + "timestamp", _CORE + "value"}  # an unquoted 2026-11-22 is text here, as it looks
_KINDS = {
    _CORE + "int": "a whole number",
    _CORE + "float": "a number",
    _CORE + "bool": "true or false",
    _CORE + "null": "nothing",
}
_MERGE = _CORE + "merge"


class Remark(NamedTuple):
    """One fault of a spec, or one warning. ``line`` counts from 1 and is 0 where no line is meant."""

    location: Location
    text: str
    line: int = 0

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line else ""
        return where + (f"{dotted(self.location)}: " if self.location else "") + self.text


class Document:
    """The content of one spec file.

    :param text: the YAML

    ``data`` has None where a value could not be read, as a whole or in part; ``unreadable`` says where, ``faults`` why.
    """

    def __init__(self, text: str) -> None:
        self.data: Any = None
        self.faults: list[Remark] = []
        self.unreadable: set[Location] = set()
        self._root: yaml.Node | None = None
        self._values: dict[int, Any] = {}
        loader = yaml.CSafeLoader(text)
        try:
            self._root = loader.get_single_node()
            if self._root is None:
                self._unreadable(Remark((), "the file is empty; allowed: a pool spec", 1))
            else:
                self.data = self._value(loader, self._root, ())
        except ReaderError:
            position = Reader.NON_PRINTABLE.search(text)
            line = text.count("\n", 0, position.start()) + 1 if position else 1
            self._unreadable(Remark((), "a character that YAML does not allow; allowed: printable text", line))
        except yaml.MarkedYAMLError as error:
            self._unreadable(self._syntax_fault(error, text))
        except RecursionError:
            self._unreadable(Remark((), "nested too deeply; allowed: the nesting of a pool spec", 1))
        finally:
            loader.dispose()

    def line(self, location: Location) -> int:
        """Return the line of a field, or of the nearest part around it where the field is absent."""
        return self._find(location)[0]

    def found(self, location: Location, *, wants_text: bool = False) -> str:
        """Say what stands at ``location``.

        :param wants_text: text is allowed there: say why an unquoted word is none
        """
        _, node = self._find(location, exact=True)
        if node is None:
            return "nothing"
        if isinstance(node, yaml.MappingNode):
            return "a mapping"
        if isinstance(node, yaml.SequenceNode):
            return "a list"
        if node.tag == _CORE + "null":
            return "nothing"
        if wants_text and node.tag in _KINDS:
            return f"{node.value}, which YAML reads as {_KINDS[node.tag]} (put it in quotes)"
        return quoted(node.value) if node.tag in _TEXT else shortened(node.value)

    def has(self, location: Location) -> bool:
        """Return whether something stands at ``location``."""
        return self._find(location, exact=True)[1] is not None

    def _find(self, location: Location, *, exact: bool = False) -> tuple[int, yaml.Node | None]:
        node, line = self._root, 1
        for segment in location:
            child = _child(node, segment)
            if child is None:
                return line, None if exact else node
            line, node = child
        return line, node

    def _value(self, loader: yaml.CSafeLoader, node: yaml.Node, location: Location) -> Any:
        if id(node) in self._values:  # an alias
            return self._values[id(node)]
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(loader, node, location)
        if isinstance(node, yaml.SequenceNode) and node.tag == _CORE + "seq":
            items: list[Any] = []
            self._values[id(node)] = items  # before its items: an alias may stand inside of what it means
            items += [self._value(loader, item, (*location, index)) for index, item in enumerate(node.value)]
            return items
        if isinstance(node, yaml.MappingNode) and node.tag == _CORE + "map":
            fields: dict[str, Any] = {}
            self._values[id(node)] = fields
            self._check_keys(node, location)
            loader.flatten_mapping(node)
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode) and key.tag in _TEXT:
                    fields[key.value] = self._value(loader, value, (*location, key.value))
            return fields
        self._unreadable(Remark(location, _foreign_tag(node), _line(node)))
        return None

    def _scalar(self, loader: yaml.CSafeLoader, node: yaml.ScalarNode, location: Location) -> Any:
        if node.tag in _TEXT:
            return node.value
        if node.tag in _KINDS:
            try:
                return loader.construct_object(node)
            except (ValueError, LookupError):  # `!!int x`, `!!bool x`, `0x_`, a number of 5,000 digits
                text = f"found {quoted(node.value)}, which is not {_KINDS[node.tag]}"
        else:
            text = _foreign_tag(node)
        self._unreadable(Remark(location, text, _line(node)))
        return None

    def _check_keys(self, node: yaml.MappingNode, location: Location) -> None:
        first_lines: dict[str, int] = {}
        for key, _ in node.value:
            if key.tag == _MERGE:
                continue
            if not isinstance(key, yaml.ScalarNode) or key.tag not in _TEXT:
                text = f"found the key {_key_in_words(key)}; allowed: text (put it in quotes)"
                self.faults.append(Remark(location, text, _line(key)))
            elif key.value in first_lines:
                text = f"found a second time, first on line {first_lines[key.value]}; allowed: once"
                self.faults.append(Remark((*location, key.value), text, _line(key)))
            else:
                first_lines[key.value] = _line(key)

    def _unreadable(self, fault: Remark) -> None:
        self.faults.append(fault)
        self.unreadable.add(fault.location)

    def _syntax_fault(self, error: yaml.MarkedYAMLError, text: str) -> Remark:
        mark = error.problem_mark or error.context_mark
        lines = max(1, len(text.splitlines()))
        line = min(mark.line + 1, lines) if mark else 1  # what is missing at the end is missed behind it
        if "\t" in _line_start(text, line):
            return Remark((), "not YAML: a tab in the indentation; allowed: spaces", line)
        begun = f"{error.context} from line {error.context_mark.line + 1}" if error.context_mark else error.context
        said = ", ".join(part for part in (begun, error.problem) if part)
        return Remark((), f"not YAML: {said}" + (f" (column {mark.column + 1})" if mark else ""), line)


def read_document(path: Path) -> Document | Remark:
    """Return the content of a file, or the fault that keeps it from being read at all."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE_BYTES + 1)
    except OSError as error:
        return Remark((), f"cannot be read: {error.strerror}")
    if len(content) > LARGEST_FILE_BYTES:
        return Remark((), f"found more than {LARGEST_FILE_BYTES:,} bytes; allowed: a pool spec, which is far shorter")
    try:
        return Document(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return Remark((), f"found the byte 0x{content[error.start]:02x}; allowed: text in UTF-8", line)


def dotted(location: Location) -> str:
    """Return a location as people write it: ``image.target_regions[0].name``."""
    words = "".join(f"[{segment}]" if isinstance(segment, int) else f".{segment}" for segment in location)
    return words.removeprefix(".")


def quoted(text: str) -> str:
    """Return ``text`` in quotes, on one line and not too long."""
    return repr(shortened(text))


def _child(node: yaml.Node | None, segment: str | int) -> tuple[int, yaml.Node] | None:
    """Return line and node of a mapping's field (the last of that name, which counts) or of a list's item."""
    if isinstance(node, yaml.SequenceNode) and isinstance(segment, int) and segment < len(node.value):
        item = node.value[segment]
        return _line(item), item
    if isinstance(node, yaml.MappingNode):
        for key, value in reversed(node.value):
            if isinstance(key, yaml.ScalarNode) and key.value == segment:
                return _line(key), value
    return None


def _foreign_tag(node: yaml.Node) -> str:
    return f"found the YAML tag {shortened(node.tag)}; allowed: plain text, numbers, lists and mappings"


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _key_in_words(key: yaml.Node) -> str:
    return shortened(key.value) if isinstance(key, yaml.ScalarNode) else "that is no word"


def _line_start(text: str, line: int) -> str:
    """Return the white space at the beginning of a line."""
    lines = text.splitlines()
    whole = lines[line - 1] if line <= len(lines) else ""
    return whole[: len(whole) - len(whole.lstrip())]
