"""What a trace says of an op's inputs, read with distrust: the file may be anybody's."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

Shape: TypeAlias = tuple[int, ...]

Work: TypeAlias = tuple[int | None, int | None]
"""Operations, and bytes moved; None: unknown."""

_INTEGER = re.compile(r"-?\d{1,18}")

_SIZES = {
    "bool": 1, "unsigned char": 1, "signed char": 1, "char": 1,
    "short": 2, "short int": 2, "unsigned short": 2, "short unsigned int": 2,
    "int": 4, "unsigned int": 4, "long": 8, "long int": 8, "long long": 8, "__int64": 8,
    "unsigned long": 8, "long unsigned int": 8, "unsigned long long": 8,
    "float": 4, "double": 8, "c10::Half": 2, "c10::BFloat16": 2,
    "c10::Float8_e4m3fn": 1, "c10::Float8_e5m2": 1, "c10::Float8_e4m3fnuz": 1, "c10::Float8_e5m2fnuz": 1,
    "c10::Float8_e8m0fnu": 1, "c10::Float4_e2m1fn_x2": 1,
    "c10::complex<c10::Half>": 4, "c10::complex<float>": 8, "c10::complex<double>": 16,
    "c10::qint8": 1, "c10::quint8": 1, "c10::qint32": 4,
}  # fmt: skip
"""Bytes of an element, by the C++ compiler's name of the type (several compilers' names)."""

_NO_TENSOR = frozenset({"", "Scalar", "ScalarList", "TensorList", "GenericList"})

DTYPES = {
    0: "unsigned char", 1: "signed char", 2: "short int", 3: "int", 4: "long int", 5: "c10::Half", 6: "float",
    7: "double", 8: "c10::complex<c10::Half>", 9: "c10::complex<float>", 10: "c10::complex<double>", 11: "bool",
    15: "c10::BFloat16", 23: "c10::Float8_e5m2", 24: "c10::Float8_e4m3fn",
}  # fmt: skip
"""Types by the number that a dtype argument has in a trace (``c10/core/ScalarType.h``)."""


class Unknown(ValueError):
    """The signature does not say what a formula asks for."""


@dataclass(frozen=True, slots=True)
class OpSignature:
    """An op with all that `record_shapes=True` tells of its inputs; equal signatures cost the same.

    Element types are known of single tensors only: of a list of tensors the trace has the shapes (none, if it
    is longer than 30), and of a list with gaps (the indices of ``aten::index``) nothing.
    """

    name: str
    shapes: tuple[Any, ...]
    """``Input Dims``: a shape for each input, a tuple of shapes for a list of tensors."""
    types: tuple[str, ...]
    """``Input type``: of a tensor its C++ element type, else "Scalar", "ScalarList", "TensorList" or ""."""
    concrete: tuple[str, ...]
    """``Concrete Inputs``: what is no tensor, as text."""

    @classmethod
    def of(cls, name: str, dims: object, types: object, concrete: object) -> OpSignature:
        """From the lists of a decoded trace; whatever does not fit becomes empty."""
        return cls(name, _shapes(dims), _texts(types), _texts(concrete))

    @property
    def in_place(self) -> bool:
        return self.name.endswith("_") and not self.name.endswith("__")

    def type(self, at: int) -> str:
        return self.types[at] if 0 <= at < len(self.types) else ""

    def is_tensor(self, at: int) -> bool:
        return self.type(at) not in _NO_TENSOR and _is_shape(self._dims(at))

    def shape(self, at: int) -> Shape:
        """Shape of the tensor that is input `at`.

        Raises:
            Unknown: it is no tensor, or has no shape in the trace (a nested one).
        """
        if not self.is_tensor(at):
            raise Unknown
        return self._dims(at)  # type: ignore[no-any-return]  # is_tensor has looked at it

    def shapes_in(self, at: int) -> tuple[Shape, ...]:
        """Shapes of the tensors in the list that is input `at`; an empty list is an unknown one."""
        found = self._dims(at)
        if self.type(at) != "TensorList" or not isinstance(found, tuple) or not found:
            raise Unknown
        if not all(_is_shape(shape) for shape in found):
            raise Unknown
        return found

    def _dims(self, at: int) -> Any:
        return self.shapes[at] if 0 <= at < len(self.shapes) else None

    def text(self, at: int) -> str:
        return self.concrete[at] if 0 <= at < len(self.concrete) else ""

    def integers(self, at: int, count: int | None = None) -> tuple[int, ...]:
        """The integers that are input `at`; one stands for `count` of them, as torch has it."""
        parts = [part.strip() for part in self.text(at).strip("[]").split(",")]
        if self.text(at) == "[]" and not count:
            return ()
        if not all(_INTEGER.fullmatch(part) for part in parts):
            raise Unknown
        found = tuple(int(part) for part in parts)
        if count is not None and len(found) == 1:
            found *= count
        if count is not None and len(found) != count:
            raise Unknown
        return found

    def integer(self, at: int) -> int:
        return self.integers(at, 1)[0]

    def flag(self, at: int) -> bool:
        if self.text(at) not in {"True", "False"}:
            raise Unknown
        return self.text(at) == "True"

    def flags(self, at: int, count: int) -> tuple[bool, ...]:
        """The booleans in the list that is input `at`."""
        parts = [part.strip() for part in self.text(at).strip("[]").split(",")]
        if len(parts) != count or not set(parts) <= {"True", "False"}:
            raise Unknown
        return tuple(part == "True" for part in parts)

    def nonzero(self, at: int) -> bool:
        """Whether the number that is input `at` is another than 0."""
        try:
            return float(self.text(at)) != 0
        except ValueError:
            raise Unknown from None


Formula: TypeAlias = Callable[[OpSignature], Work]
"""Raises Unknown where the signature does not fit."""


def each_of(names: str, formula: Formula) -> dict[str, Formula]:
    """The formula under each of the names."""
    return dict.fromkeys(names.split(), formula)


def _is_shape(found: object) -> bool:
    return isinstance(found, tuple) and all(
        isinstance(size, int) and not isinstance(size, bool) and 0 <= size < 2**63 for size in found
    )


def _shapes(dims: object) -> tuple[Any, ...]:
    def shape(found: object) -> Any:
        if isinstance(found, Sequence) and all(isinstance(each, int) for each in found):
            return tuple(found)
        return None  # what hostile nesting there is ends here

    def entry(found: object) -> Any:
        if isinstance(found, Sequence) and found and all(isinstance(each, Sequence) for each in found):
            return tuple(shape(each) for each in found)
        return shape(found)

    return tuple(entry(each) for each in dims) if isinstance(dims, list | tuple) else ()


def _texts(found: object) -> tuple[str, ...]:
    if not isinstance(found, list | tuple):
        return ()
    return tuple(each if isinstance(each, str) else "" for each in found)


def element_bytes(type_name: str) -> int | None:
    """Bytes of one element of that C++ type, or None for a type that is not known."""
    return _SIZES.get(type_name)


def moved(parts: Iterable[tuple[Shape, str]]) -> int | None:
    """Bytes of tensors given as shape and element type; None where a type is unknown."""
    total = 0
    for shape, type_name in parts:
        size = element_bytes(type_name)
        if size is None:
            return None
        total += prod(shape) * size
    return total


def read(op: OpSignature, *inputs: int) -> list[tuple[Shape, str]]:
    """Shape and type of those of the inputs that are tensors: an absent bias is not read."""
    return [(op.shape(at), op.type(at)) for at in inputs if op.is_tensor(at)]


def broadcast(shapes: Sequence[Shape]) -> Shape:
    """The shape that those shapes broadcast to.

    Raises:
        Unknown: they do not.
    """
    rank = max(map(len, shapes), default=0)
    aligned = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    result = []
    for sizes in zip(*aligned, strict=True):
        wide = {size for size in sizes if size != 1}
        if len(wide) > 1:
            raise Unknown
        result.append(wide.pop() if wide else 1)
    return tuple(result)
