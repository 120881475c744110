"""Advisory feeds: when each is updated, how it does, and the database that is made from them.

`updates.py` fetches feeds that are due in the server, `requests.py` asks for it earlier. `attempts.py` stores successes
and failures, `status.py` describes them. `advisories.py` builds, exports, imports and opens the advisory database, for
commands and for the server.
"""
