"""Messages as values: encoded when sent, decoded by the receiver's own annotations.

What is delivered is what would be read back after a crash: mutable arguments are fresh copies,
so a sender that changes what it has sent changes nothing, and a message that could not be read
back is refused on the sender's line.
"""

from __future__ import annotations

import functools
import inspect
import re
import typing
from collections.abc import Callable
from types import GenericAlias
from typing import Any, Final

import msgspec
from pykka import Actor
from pykka.messages import ProxyCall

from ...persistence.codec.codec import Codec
from ...persistence.errors import KeyMissing, StateError
from ...persistence.records.records import DeadLetter
from ...persistence.secrets.codec import SecretCodec, codec_for, holds_secrets
from ...persistence.secrets.detector import SHORTEST, SecretWatch, sensitive
from ...persistence.secrets.place import IN_CALLS, Place, in_mail
from ...persistence.secrets.tokens import PREFIX
from ...persistence.secrets.vault import Vault

ON_RECEIVE: Final = ""
"""The name under which a message to ``on_receive`` is stored."""
ON_DEAD: Final = "on_dead"
"""What is called with a dead letter, whatever its parameter is declared as."""

_raw_call: Final = msgspec.json.Decoder(tuple[list[msgspec.Raw], dict[str, msgspec.Raw]]).decode
_POSITION: Final = re.compile(r"\[0\]\[(\d+)\]")
_KEYWORD: Final = re.compile(r"\[1\](?:\.|\[['\"]?)(\w+)(?:['\"]?\])?")
_typed_dict: Final[Any] = typing.TypedDict  # made of a signature, where a checker expects a text
_SIMPLE: Final[frozenset[type]] = frozenset({int, str, bool, type(None)})
_LARGE: Final = 10 ** (SHORTEST - 2)
"""An integer of fewer digits, with its sign, is no form of a secret either."""


class CallCodec:
    """Encode and decode the calls of one agent class."""

    def __init__(self, agent_class: type, largest: int, vault: Vault | None = None) -> None:
        """Read annotations of ``agent_class`` when needed; bodies take ``largest`` characters."""
        self._class = agent_class
        self.first: Callable[[], object] = _nothing
        """Called when a message is about to be stored or read in a form that is new here."""
        self._largest = largest
        self._vault = vault or Vault()
        self._watch = self._vault.watch
        self._sensitive: dict[str, dict[int, str]] = {}
        self._kinds: dict[tuple[tuple[str, ...], int], list[frozenset[type]] | None] = {}
        self._codecs: dict[tuple[str, int, tuple[str, ...]], Codec[Any]] = {}

    def encode(self, message: object, key: str) -> tuple[str, str, object]:
        """Return ``(name, body, message as the receiver gets it)``, for the agent of ``key``.

        Raises TypeError for a call the method does not take, AttributeError for a method that
        does not exist, StateError for arguments that cannot be stored exactly.
        """
        if not isinstance(message, ProxyCall):
            where = f"message to {self._class.__name__}"
            codec = self._message_codec.at(*self._place(key, ON_RECEIVE))
            body, fresh = codec.encode_copy(message, where)
            if self._watch is not None:
                shown = self._watch.examine(body, where)
                if shown != body:
                    body, fresh = shown, codec.decode(shown)
            return ON_RECEIVE, self._checked(body, where), fresh
        path, args, kwargs = message
        name = ".".join(path)
        codec = self._call_codec(name, len(args), tuple(kwargs))
        if codec.bound:
            codec = codec.at(*self._place(key, name))
        where = f"{self._class.__name__}.{name}"
        try:
            body, (args, kwargs) = codec.encode_copy((args, kwargs), where)
        except StateError as error:
            told = _of_argument(error, where, _method(self._class, name))
            # What no part of them explains is told of the arguments as a whole, whose type is ours.
            told.problem = told.problem.replace(str(codec.declared), "arguments")
            raise StateError(told.path, told.problem) from error
        if self._watch is not None:
            shown = self._examined(self._watch, body, where, self._sensitive[name])
            if shown != body:
                body, (args, kwargs) = shown, codec.decode(shown)
        return name, self._checked(body, where), ProxyCall(path, args, kwargs)

    def _examined(
        self, watch: SecretWatch, body: str, where: str, sensitive_parameters: dict[int, str]
    ) -> str:
        """Return the body to store; arguments by position count under their parameters' names."""
        body = watch.examine(body, where)
        if not sensitive_parameters:
            return body
        args, kwargs = _raw_call(body)
        for position, name in sensitive_parameters.items():
            if position < len(args):
                text = bytes(args[position]).decode()
                shown = watch.examine(text, f"{where}({name})", name)
                args[position] = msgspec.Raw(shown.encode())
        return msgspec.json.encode((args, kwargs)).decode()

    def _checked(self, body: str, where: str) -> str:
        if len(body) > self._largest:
            problem = f"takes {len(body):,} characters, more than the limit of {self._largest:,}"
            raise StateError(where, problem)
        return body

    def written(self, message: object, key: str) -> tuple[str, str]:
        """Return the name and the body of ``encode``; sooner for what is proven."""
        if isinstance(message, ProxyCall) and self.proven(message):
            path, args, kwargs = message
            return ".".join(path), msgspec.json.encode((args, kwargs)).decode()
        name, body, _ = self.encode(message, key)
        return name, body

    def decode(self, name: str, body: str, key: str) -> object:
        """Return the message that was stored for the agent of ``key``.

        ValueError, TypeError or AttributeError if that is no longer possible.
        """
        if name == ON_RECEIVE:
            return self._message_codec.at(*self._place(key, name)).decode(body)
        raw_args, raw_kwargs = _raw_call(body)
        codec = self._call_codec(name, len(raw_args), tuple(raw_kwargs))
        args, kwargs = codec.at(*self._place(key, name)).decode(body)
        return ProxyCall(tuple(name.split(".")), args, kwargs)

    def alike(self, name: str, one: str, other: str, key: str) -> bool:
        """Tell whether two bodies hold the same arguments: a new token may be of an old secret."""
        if one == other or PREFIX not in one:
            return one == other
        try:
            return self.decode(name, one, key) == self.decode(name, other, key)
        except (ValueError, TypeError, AttributeError, KeyMissing):
            return False

    def _place(self, key: str, name: str) -> Place:
        return in_mail(self._class.kind, key, name)  # type: ignore[attr-defined]

    def proven(self, message: object) -> bool:
        """Tell whether ``encode`` would certainly take a message, and give it back as it is.

        When used: what waits in memory first, and is stored only if it is still there at a pause
        or at the end, need not be encoded by its sender. True for a few short numbers and texts, by
        position, of exactly the types that the method declares.
        """
        if message.__class__ in self._message_kinds:
            return _is_proven(message)
        if not isinstance(message, ProxyCall):
            return False
        path, args, kwargs = message
        place = (path, len(args))
        try:
            parameters = self._kinds[place]
        except KeyError:
            parameters = self._kinds[place] = self._kinds_of(".".join(path), len(args))
        if kwargs or parameters is None:
            return False
        for value, kinds in zip(args, parameters, strict=True):
            if value.__class__ not in kinds or not _is_proven(value):
                return False
        return True

    def _kinds_of(self, name: str, count: int) -> list[frozenset[type]] | None:
        """Return the classes each parameter takes as they are; None if calls need a closer look."""
        try:
            codec = self._call_codec(name, count, ())
        except (TypeError, AttributeError):
            return None  # ``encode`` says what is wrong
        if isinstance(codec, SecretCodec) or self._sensitive[name] or not self._roomy(count):
            return None
        return [
            _kinds(declared) for declared in typing.get_args(typing.get_args(codec.declared)[0])
        ]

    @functools.cached_property
    def _message_kinds(self) -> frozenset[type]:
        codec = self._message_codec
        simple = not isinstance(codec, SecretCodec) and self._roomy(1)
        return _kinds(codec.declared) if simple else frozenset()

    def _roomy(self, count: int) -> bool:
        """Tell whether so many proven values are below the limit, also with all they escape."""
        return count * 8 * SHORTEST < self._largest

    @functools.cached_property
    def _message_codec(self) -> Codec[Any]:
        self.first()
        handler = self._class.on_receive  # type: ignore[attr-defined]
        parameters = [p for p in inspect.signature(handler).parameters if p != "self"]
        hints = hints_of(handler)
        declared = hints.get(parameters[0], object) if parameters else object
        where = f"message to {self._class.__name__}"
        return codec_for(object if declared is Any else declared, self._vault, where)

    def _call_codec(self, name: str, count: int, keywords: tuple[str, ...]) -> Codec[Any]:
        place = (name, count, keywords)
        codec = self._codecs.get(place)
        if codec is None:
            codec = self._codecs[place] = self._build(name, count, keywords)
            self.first()
        return codec

    def _build(self, name: str, count: int, keywords: tuple[str, ...]) -> Codec[Any]:
        method = _method(self._class, name)
        signature = inspect.signature(method)
        parameters = list(signature.parameters)[1:]
        self._sensitive[name] = {
            position: parameter
            for position, parameter in enumerate(parameters)
            if sensitive(parameter)
        }
        try:
            signature.bind(None, *[None] * count, **dict.fromkeys(keywords))
        except TypeError as error:
            message = f"{self._class.__name__}.{name}: {error}"
            raise TypeError(message) from None
        hints = hints_of(method)
        types = (DeadLetter,) if name == ON_DEAD else _positional_types(signature, hints, count)
        rest = _variadic(signature)
        keyword_types = {
            keyword: hints.get(keyword if _by_name(signature, keyword) else rest, object)
            for keyword in keywords
        }
        fields = {k: object if t is Any else t for k, t in keyword_types.items()}
        keyword_type = _typed_dict(f"{name} keywords", fields)
        # Not shared through codec_of: the typed dict is made anew for each signature.
        declared = GenericAlias(tuple, (GenericAlias(tuple, types), keyword_type))
        if any(map(holds_secrets, (*types, *fields.values()))):
            where = f"{self._class.__name__}.{name}"
            return SecretCodec(declared, self._vault, where, levels=IN_CALLS)
        return Codec(declared)


def _nothing() -> None:
    """Stand for nobody who wants to know."""


def _kinds(declared: object) -> frozenset[type]:
    """Return the classes whose values a type takes as they are."""
    return frozenset(kind for kind in _SIMPLE if declared is object or kind is declared)


def _is_proven(value: object) -> bool:
    """Tell whether a value of a class in ``_SIMPLE`` can be stored exactly, and is no secret."""
    if isinstance(value, str):
        # A shorter text without a colon has no form of a secret; ASCII has no surrogates.
        return len(value) < SHORTEST and value.isascii() and ":" not in value
    return value is None or (isinstance(value, int) and -_LARGE < value < _LARGE)


def _method(agent_class: type, name: str) -> Callable[..., object]:
    """Return the method that a message names; AttributeError for anything else.

    Names come from the store too: one must not lead to the inside of Python (``__setattr__``,
    ``add.__globals__.setdefault``) or of the actor itself.
    """
    inside = name.startswith("__") or (name.startswith("_") and hasattr(Actor, name))
    if "." in name or inside:
        message = f"{agent_class.__name__} takes no messages for {name!r}"
        raise AttributeError(message)
    method: Callable[..., object] = getattr(agent_class, name)
    return method


def _of_argument(error: StateError, where: str, method: Callable[..., object]) -> StateError:
    """Return the error in the words of the method: its parameter instead of our tuple of both."""
    own = list(inspect.signature(method).parameters.values())[1:]
    path = error.path.removeprefix(where)
    if found := _POSITION.match(path):
        # Beyond the named ones stands a ``*args``, which takes the rest.
        parameter = own[min(int(found[1]), len(own) - 1)]
    elif found := _KEYWORD.match(path):
        named = {each.name: each for each in own}
        parameter = named.get(found[1], own[-1])  # beyond them stands a ``**kwargs``
    else:
        return error
    problem, typed, _ = error.problem.partition("; the field is declared ")
    if typed:
        problem += f"; it is declared {_written(parameter.annotation)}"
    name = parameter.name if found.re is _POSITION else found[1]
    return StateError(f"{where}({name}){path[found.end() :]}", problem)


def _written(annotation: object) -> str:
    if annotation is inspect.Parameter.empty:
        return "without a type"
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def hints_of(function: Callable[..., object]) -> dict[str, Any]:
    """Return the annotations of a method; none where they name what only type checkers see."""
    try:
        return typing.get_type_hints(function)
    except NameError:
        # Names that exist only while type checking: those parameters count as untyped.
        return {}


def _positional_types(
    signature: inspect.Signature, hints: dict[str, Any], count: int
) -> tuple[Any, ...]:
    types: list[Any] = []
    parameters = list(signature.parameters.values())[1:]
    for parameter in parameters:
        if len(types) == count:
            break
        declared = hints.get(parameter.name, object)
        declared = object if declared is Any else declared
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            types += [declared] * (count - len(types))
        else:
            types.append(declared)
    return tuple(types)


def _by_name(signature: inspect.Signature, keyword: str) -> bool:
    """Tell whether a name is that of a parameter, and not one of any others."""
    found = signature.parameters.get(keyword)
    return found is not None and found.kind is not inspect.Parameter.POSITIONAL_ONLY


def _variadic(signature: inspect.Signature) -> str:
    for parameter in signature.parameters.values():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            return parameter.name
    return ""
