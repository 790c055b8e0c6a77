"""Holds JSON against the annotations of the installed `stripe` package.

The package's resource classes are generated from Stripe's OpenAPI description and carry type
annotations, so they say which fields an object has, which of them may be absent or null, and
which words an enumeration knows. `problems` walks an object against its class and returns what
does not fit, as sentences that start with the path.
"""

import importlib
import inspect
import pkgutil
import sys
import typing
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from functools import cache
from types import UnionType
from typing import Any, ClassVar, Literal, Union, get_args, get_origin

import stripe
from stripe import ListObject, StripeObject
from stripe._stripe_object import UntypedStripeObject

_CACHE: dict[str, dict[str, dict[str, Any]]] = {}
_LIST_FIELDS = {"object", "data", "has_more", "url", "total_count"}
_LISTS = {"list": _LIST_FIELDS, "search_result": _LIST_FIELDS | {"next_page"}}


@cache
def _namespace() -> dict[str, Any]:
    """Return every class by name: modules import some only while types are checked."""
    names: dict[str, Any] = {"StripeObject": StripeObject, "Decimal": Decimal}
    for info in pkgutil.walk_packages(stripe.__path__, "stripe."):
        if "._" not in info.name or ".params" in info.name:
            continue
        module = importlib.import_module(info.name)
        for name, value in vars(module).items():
            if inspect.isclass(value) and value.__module__.startswith("stripe."):
                names.setdefault(name, value)
    return names


@cache
def _resources() -> dict[str, type[StripeObject]]:
    """Return the top-level resource class of each ``object`` value."""
    found: dict[str, type[StripeObject]] = {}
    for value in _namespace().values():
        name = getattr(value, "OBJECT_NAME", None)
        module = value.__module__.removeprefix("stripe.").removeprefix("test_helpers.")
        nested = "." in value.__qualname__ or "." in module
        if isinstance(name, str) and issubclass(value, StripeObject) and not nested:
            found[name] = value
    return found


def _fields(cls: type[StripeObject]) -> dict[str, Any]:
    """Return the annotated fields of a class with their types resolved."""
    if cls.__qualname__ not in _CACHE.setdefault(cls.__module__, {}):
        _CACHE[cls.__module__][cls.__qualname__] = _resolved_fields(cls)
    return _CACHE[cls.__module__][cls.__qualname__]


def _resolved_fields(cls: type[StripeObject]) -> dict[str, Any]:
    module = vars(sys.modules[cls.__module__])
    local = {**_namespace(), **module, **_imported_names(cls)}
    hints: dict[str, Any] = {}
    for parent in reversed(cls.__mro__):
        if parent.__module__.startswith("stripe.") and parent is not StripeObject:
            own = inspect.get_annotations(parent)
            hints.update({name: _resolve(text, local) for name, text in own.items()})
    return {
        n: t for n, t in hints.items() if not n.startswith("_") and get_origin(t) is not ClassVar
    }


def _imported_names(cls: type) -> dict[str, Any]:
    """Return names that a module imports for type checkers, which can shadow (`Card`)."""
    from ast import ImportFrom, parse, walk

    names: dict[str, Any] = {}
    source = inspect.getsource(sys.modules[cls.__module__])
    for node in walk(parse(source)):
        if isinstance(node, ImportFrom) and (node.module or "").startswith("stripe."):
            module = importlib.import_module(str(node.module))
            for alias in node.names:
                if hasattr(module, alias.name):
                    names[alias.asname or alias.name] = getattr(module, alias.name)
    for part in _enclosing(cls):
        names.update({n: v for n, v in vars(part).items() if inspect.isclass(v)})
    return names


def _enclosing(cls: type) -> Iterator[type]:
    """Yield the classes around a nested class, outermost first, and itself."""
    holder: Any = sys.modules[cls.__module__]
    for name in cls.__qualname__.split("."):
        holder = getattr(holder, name)
        yield holder


def _resolve(annotation: Any, names: dict[str, Any]) -> Any:
    if isinstance(annotation, str):
        annotation = eval(annotation, dict(names))  # noqa: S307 - the package's own annotations
    return typing._eval_type(annotation, dict(names), {})  # type: ignore[attr-defined]  # no public way to resolve nested references


def problems(obj: Any, cls: type[StripeObject] | None = None, path: str = "") -> list[str]:
    """Return what of an object does not fit its class; without one ``object`` names it."""
    if cls is None:
        if not isinstance(obj, dict) or obj.get("object") not in {*_resources(), *_LISTS}:
            return [f"{path or 'object'}: no resource is called {obj!r:.80}"]
        if obj["object"] in _LISTS:
            return list(_list_problems(obj, Any, path))
        cls = _resources()[obj["object"]]
    return list(_object_problems(obj, cls, path or str(obj.get("object"))))


def _object_problems(obj: Any, cls: type[StripeObject], path: str) -> Iterator[str]:
    if not isinstance(obj, dict):
        yield f"{path}: {obj!r:.60} is no {cls.__qualname__}"
        return
    fields = _fields(cls)
    if obj.get("deleted") is True:
        fields = {n: fields[n] for n in ("id", "object", "deleted")}
    for name in obj.keys() - fields.keys():
        yield f"{path}.{name}: unknown to {cls.__qualname__}"
    for name, expected in fields.items():
        if name in obj:
            yield from _value_problems(obj[name], expected, f"{path}.{name}")
        elif type(None) not in get_args(expected):
            yield f"{path}.{name}: missing"
    if cls is stripe.Event:
        yield from problems(obj["data"]["object"], None, f"{path}.data.object")


def _value_problems(value: Any, expected: Any, path: str) -> Iterator[str]:
    """Check one value; of a union's parts one must fit, and the nearest one's problems are told."""
    origin = get_origin(expected)
    if origin in {Union, UnionType}:
        parts = [part for part in get_args(expected) if value is None or part is not type(None)]
        parts.sort(key=lambda part: part is str)
        if str in parts and any(get_origin(part) is Literal for part in parts):
            parts.remove(str)  # "or some later word": the words known today are what we may send
        attempts = [list(_value_problems(value, part, path)) for part in parts]
        if all(attempts):
            yield from min(attempts, key=len) if value is not None else [f"{path}: is null"]
    elif origin is Literal:
        if value not in get_args(expected):
            yield f"{path}: {value!r} is none of {get_args(expected)!r:.120}"
    elif origin is list:
        yield from _items_problems(value, get_args(expected)[0], path)
    elif inspect.isclass(origin) and issubclass(origin, ListObject):
        yield from _list_problems(value, get_args(expected)[0], path)
    elif inspect.isclass(origin) and issubclass(origin, UntypedStripeObject):
        yield from _untyped_problems(value, get_args(expected)[0], path)
    else:
        yield from _plain_problems(value, expected, path)


def _plain_problems(value: Any, expected: Any, path: str) -> Iterator[str]:
    if expected is Any:
        return
    if expected is Decimal:
        try:
            fits = isinstance(value, str) and Decimal(value).is_finite()
        except InvalidOperation:
            fits = False
    elif inspect.isclass(expected) and issubclass(expected, StripeObject):
        yield from _object_problems(value, expected, path)
        return
    elif expected is float:
        fits = isinstance(value, int | float) and not isinstance(value, bool)
    else:
        fits = isinstance(value, expected) and (expected is bool or not isinstance(value, bool))
    if not fits:
        yield f"{path}: {value!r:.60} is no {getattr(expected, '__name__', expected)}"


def _items_problems(value: Any, item: Any, path: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{path}: {value!r:.60} is no list"
        return
    for index, entry in enumerate(value):
        yield from _value_problems(entry, item, f"{path}[{index}]")


def _untyped_problems(value: Any, item: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path}: {value!r:.60} is no hash"
        return
    for key, entry in value.items():
        yield from _value_problems(entry, item, f"{path}[{key}]")


def _list_problems(value: Any, item: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict) or value.get("object") not in _LISTS:
        yield f"{path}: {value!r:.60} is no list object"
        return
    for name in value.keys() - _LISTS[value["object"]]:
        yield f"{path}.{name}: unknown to a list"
    for name in {"data", "has_more", "url"} - value.keys():
        yield f"{path}.{name}: missing"
    for index, entry in enumerate(value.get("data", [])):
        at = f"{path}.data[{index}]"
        yield from problems(entry, None, at) if item is Any else _value_problems(entry, item, at)
