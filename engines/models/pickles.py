"""Reads what a pickle would do without doing it. Only pickles that hold weights and plain data pass.

A pickle is a program: whoever loads one runs it. This walks its instructions, as `pickletools` does, and
refuses every name that it would call or build but for those that tensors and arrays are made of.
"""

from __future__ import annotations

import pickletools
from typing import BinaryIO

from engines.models.base import ModelUnfit

LARGEST = 512_000_000
"""Octets of one pickle; weights lie beside it, not in it."""

_TORCH_MAGIC = 0x1950A86A20F9469CFC6C
"""First object of a file as torch.save wrote it before it wrote zip files."""
_TORCH_PICKLES = 5
"""Magic, version, machine, the object, the list of its storages; then the weights themselves."""

_STORAGES = (
    "Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool", "ComplexFloat",
    "ComplexDouble", "QInt8", "QUInt8", "QInt32",
)  # fmt: skip
_DTYPES = (
    "float16", "float32", "float64", "bfloat16", "int8", "int16", "int32", "int64", "uint8", "bool",
    "complex64", "complex128",
)  # fmt: skip
_PLAIN = ("set", "frozenset", "dict", "list", "tuple", "int", "float", "complex", "bool", "str", "bytes",
          "bytearray", "slice", "range")  # fmt: skip

HARMLESS = frozenset({
    *(f"torch.{name}Storage" for name in _STORAGES),
    *(f"torch.{name}" for name in _DTYPES),
    *(f"{module}.{name}" for module in ("builtins", "__builtin__") for name in _PLAIN),
    "torch.Size", "torch.device", "torch.Tensor", "torch.nn.parameter.Parameter",
    "torch.storage.UntypedStorage", "torch.storage.TypedStorage", "torch.serialization._get_layout",
    "torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_qtensor", "torch._tensor._rebuild_from_type_v2",
    "collections.OrderedDict", "collections.defaultdict", "collections.Counter",
    "numpy.ndarray", "numpy.dtype", "_codecs.encode",
    "numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar",
    "numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer",
    # Settings that older Coqui checkpoints carry beside their weights: records of plain values.
    "TTS.tts.configs.xtts_config.XttsConfig", "TTS.tts.models.xtts.XttsAudioConfig",
    "TTS.tts.models.xtts.XttsArgs", "TTS.config.shared_configs.BaseDatasetConfig", "TTS.utils.radam.RAdam",
})  # fmt: skip
"""What a pickle of a model may name."""

_STRINGS = frozenset({"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE"})
_MEMO_IN = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})
_MEMO_OUT = frozenset({"GET", "BINGET", "LONG_BINGET"})
_EXTENSIONS = frozenset({"EXT1", "EXT2", "EXT4"})


def is_pickle(head: bytes) -> bool:
    """Whether a file that begins so is a pickle of protocol 2 or later."""
    return len(head) >= 2 and head[0] == 0x80 and 2 <= head[1] <= 5


def check_pickle(file: BinaryIO, shown: str) -> None:
    """Raises `ModelUnfit` for a pickle that names anything but what tensors are made of, or is broken."""
    first = _check_one(file, shown)
    if first == _TORCH_MAGIC:
        for _ in range(_TORCH_PICKLES - 1):
            _check_one(file, shown)


def _check_one(file: BinaryIO, shown: str) -> object:
    """One pickle of perhaps several; returns the last integer in it."""
    begin, number = file.tell(), None
    names = _Names(shown)
    try:
        for opcode, argument, _ in pickletools.genops(file):
            if file.tell() - begin > LARGEST:
                raise ModelUnfit(f"{shown}: its pickle is larger than {LARGEST // 1_000_000} MB")
            names.see(opcode.name, argument)
            if isinstance(argument, int):
                number = argument
    except (ValueError, UnicodeDecodeError, IndexError, OverflowError, AttributeError):
        raise ModelUnfit(f"{shown}: is a broken pickle") from None
    return number


class _Names:
    """Follows a pickle's strings just as far as is needed to know what it names; in doubt, it refuses."""

    def __init__(self, shown: str) -> None:
        self._shown = shown
        self._recent: list[str] = []
        """Strings pushed without anything else in between: the top of the stack, for certain."""
        self._memo: dict[int, str] = {}
        self._memos = 0

    def see(self, name: str, argument: object) -> None:
        """The next instruction. Raises `ModelUnfit`."""
        if name in ("GLOBAL", "INST"):
            self._check(".".join(str(argument).split(" ", 1)))
        elif name == "STACK_GLOBAL":
            if len(self._recent) < 2:
                raise ModelUnfit(f"{self._shown}: hides what it names; {_CURE}")
            self._check(".".join(self._recent[-2:]))
        elif name in _EXTENSIONS:
            raise ModelUnfit(f"{self._shown}: names things by number; {_CURE}")
        self._follow(name, argument)

    def _follow(self, name: str, argument: object) -> None:
        if name in _STRINGS:
            self._recent.append(str(argument))
        elif name == "MEMOIZE" or name in _MEMO_IN:
            place = int(str(argument)) if name in _MEMO_IN else self._memos
            self._memos += 1
            self._memo.pop(place, None)
            if self._recent:
                self._memo[place] = self._recent[-1]
        elif name in _MEMO_OUT and (known := self._memo.get(int(str(argument)))) is not None:
            self._recent.append(known)
        elif name not in ("PROTO", "FRAME"):
            self._recent.clear()

    def _check(self, named: str) -> None:
        if named not in HARMLESS:
            raise ModelUnfit(f"{self._shown}: would call {named[:80]} when it is loaded; {_CURE}")


_CURE = "get the weights alone, as safetensors or a torch state_dict"
