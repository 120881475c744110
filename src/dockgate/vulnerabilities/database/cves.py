"""Write what feeds say about CVEs: scores, exploitation, predictions."""

import sqlite3

from dockgate.shared.errors import UnreadableError
from dockgate.vulnerabilities.database.parts import Part
from dockgate.vulnerabilities.database.schema import encode_score
from dockgate.vulnerabilities.feed import CvePrediction, CveScore, ExploitedCve


def write_cve(
    sql: sqlite3.Connection, part: Part, number: int, statement: CveScore | ExploitedCve | CvePrediction
) -> bool:
    """Write a statement of a part under its number, and return whether it is new: equal copies count once.

    UnreadableError if the part says something else about this CVE, too.
    """
    row: tuple[object, ...]
    if isinstance(statement, CveScore):
        rating = statement.rating
        table, row = "score", (rating.severity.value, encode_score(rating.score), rating.vector or "")
    elif isinstance(statement, ExploitedCve):
        table, row = "exploited", (statement.since, statement.due or "")
    else:
        table, row = "predicted", (statement.epss, statement.percentile)
    row = (statement.cve, number, *row)
    try:
        sql.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)  # noqa: S608 - named here
    except sqlite3.IntegrityError as error:
        present_row = sql.execute(f"SELECT * FROM {table} WHERE cve = ? AND part = ?", row[:2]).fetchone()  # noqa: S608 - as above
        if present_row == row:
            return False
        reason = f"{part.title} has {statement.cve} twice, with different values; its source: {part.source}"
        advice = "The database is unchanged. It is updated when the source publishes a correct file."
        raise UnreadableError(reason, advice) from error
    return True
