"""How the approvals of a round of `bench/chaos.py` were answered, as triggers of its database recorded it."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

# Records every change of an approval's state.
AUDIT = {
    "postgres": """
        CREATE TABLE chaos_answers (id text, before text, after text);
        CREATE FUNCTION chaos_answer() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN INSERT INTO chaos_answers VALUES (OLD.id, OLD.state, NEW.state); RETURN NEW; END $$;
        CREATE TRIGGER chaos_answers AFTER UPDATE ON approvals FOR EACH ROW
            WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION chaos_answer();
        """,
    "sqlite": """
        CREATE TABLE chaos_answers (id text, before text, after text);
        CREATE TRIGGER chaos_answers AFTER UPDATE ON approvals WHEN OLD.state <> NEW.state
            BEGIN INSERT INTO chaos_answers VALUES (OLD.id, OLD.state, NEW.state); END;
        """,
}


@dataclass(frozen=True)
class AnswerAudit:
    """The answers in a database: of Postgres if it has a URL, else in a file of SQLite."""

    url: str | None
    file: Path

    def install(self) -> None:
        if self.url is not None:
            with psycopg.connect(self.url, autocommit=True) as connection:
                connection.execute(AUDIT["postgres"])
        else:
            with closing(sqlite3.connect(self.file, timeout=30)) as sqlite:
                sqlite.executescript(AUDIT["sqlite"])

    def read_answers(self) -> dict[str, list[tuple[str, str]]]:
        """By approval, its state before and after each change."""
        query = "SELECT id, before, after FROM chaos_answers"
        rows: Sequence[Any]
        if self.url is not None:
            with psycopg.connect(self.url) as connection:
                rows = connection.execute(query).fetchall()
        else:
            with closing(sqlite3.connect(self.file, timeout=30)) as sqlite:
                rows = sqlite.execute(query).fetchall()
        answers: dict[str, list[tuple[str, str]]] = {}
        for name, before, after in rows:
            answers.setdefault(name, []).append((before, after))
        return answers
