"""Whether a mixin stands before the class of Authlib whose methods it extends."""

from __future__ import annotations


def require_first(cls: type, mixin: type, method: str) -> None:
    """Refuse a class in which *method* of *mixin* would never be called.

    Python takes a method from the first base that has it, and those of Authlib do not
    pass the call on: the mixin would do nothing, and nobody would notice.

    :param cls: a subclass of *mixin*.
    :raises TypeError: *mixin* stands after a class of Authlib, or of this package, that
        has *method*.
    """
    for base in cls.__mro__[: cls.__mro__.index(mixin)]:
        package = base.__module__.partition(".")[0]
        known = package in {"authlib", "dpop_ext"} and not issubclass(base, mixin)
        if known and method in vars(base):
            raise TypeError(
                f"{mixin.__name__} stands before the class that it extends: "
                f"class {cls.__name__}({mixin.__name__}, ...)"
            )
