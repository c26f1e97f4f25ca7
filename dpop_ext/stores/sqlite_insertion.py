"""The insertion of the replay store, with the connections of SQLite as they are.

What SQLAlchemy does around a statement takes longer than SQLite does for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Engine


class SQLiteInsertion:
    """One statement, compiled once.

    :param engine: of SQLite; its connections commit each statement.
    :param statement: changes rows.
    """

    def __init__(self, engine: Engine, statement: Any) -> None:
        compiled = statement.compile(dialect=engine.dialect)
        self._engine = engine
        self._text = str(compiled)
        #: What the question marks in it stand for.
        self._names: list[str] = compiled.positiontup

    def __call__(self, parameters: dict[str, Any]) -> int:
        """Execute it, and return how many rows it changed.

        :raises Exception: whatever the driver raises. The connection is good after it:
            there is no transaction to end, and no server that went away.
        """
        values = [parameters[name] for name in self._names]
        lent = self._engine.raw_connection()
        try:
            connection: Any = lent.driver_connection
            changed: int = connection.execute(self._text, values).rowcount
        finally:
            lent.close()
        return changed
