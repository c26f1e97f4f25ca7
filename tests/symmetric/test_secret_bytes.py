from __future__ import annotations

import copy
import dataclasses
import logging
import pickle
import traceback

import pytest

from dpop_ext.symmetric.secret_bytes import SecretBytes

VALUE = bytes(range(100, 132))


@dataclasses.dataclass(frozen=True)
class Holder:
    secret: SecretBytes


def spellings(value: bytes) -> list[str]:
    return [value.hex(), repr(value), repr(value)[2:-1]]


def test_the_secret_is_there_for_who_asks() -> None:
    assert SecretBytes(VALUE).reveal() == VALUE
    assert len(SecretBytes(VALUE)) == 32


@pytest.mark.requirement("T20")
def test_repr_names_length_and_digest_only() -> None:
    text = repr(SecretBytes(VALUE))
    assert text == "<32 bytes, sha256 e3e16780>"
    assert str(SecretBytes(VALUE)) == text
    assert f"{SecretBytes(VALUE)}" == text


@pytest.mark.requirement("T20")
def test_no_secret_in_dataclasses_logs_and_tracebacks(
    caplog: pytest.LogCaptureFixture,
) -> None:
    holder = Holder(SecretBytes(VALUE))
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("test").warning("%s %r", holder, holder.secret)
    try:
        raise RuntimeError(holder)
    except RuntimeError as error:
        report = "".join(
            traceback.TracebackException.from_exception(
                error, capture_locals=True
            ).format()
        )
    assert "32 bytes, sha256" in caplog.text
    assert "32 bytes, sha256" in report
    for spelling in spellings(VALUE):
        assert spelling not in caplog.text
        assert spelling not in report


@pytest.mark.requirement("T20")
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_secret_is_not_pickled(protocol: int) -> None:
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(SecretBytes(VALUE), protocol)
    with pytest.raises(TypeError, match="not pickled"):
        copy.deepcopy(Holder(SecretBytes(VALUE)))


@pytest.mark.requirement("T20")
def test_a_secret_does_not_turn_into_bytes_by_itself() -> None:
    secret: object = SecretBytes(VALUE)
    with pytest.raises(TypeError):
        bytes(secret)  # type: ignore[call-overload]
    with pytest.raises(TypeError):
        hash(secret)


def test_secrets_are_equal_by_value() -> None:
    assert SecretBytes(VALUE) == SecretBytes(bytes(range(100, 132)))
    assert SecretBytes(VALUE) != SecretBytes(VALUE[::-1])
    assert SecretBytes(VALUE) != VALUE


@pytest.mark.parametrize("value", ["text", bytearray(32), None, 32])
def test_only_bytes_are_a_secret(value: object) -> None:
    with pytest.raises(TypeError):
        SecretBytes(value)  # type: ignore[arg-type]
