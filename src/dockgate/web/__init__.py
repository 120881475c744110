"""The server's HTTP endpoints, for programs and browsers.

`app.py` makes the ASGI application and turns errors into responses; `routes.py` lists every route. `api/` is the REST
API, `console/` the pages for people. `git_endpoints.py` and `git_push.py` are the git host, `registry_endpoints.py`
issues registry tokens and takes notifications, `registry_proxy.py` serves the registry to other machines.
`authorization.py` decides who may call what, `browser_sessions.py` keeps browsers signed in; `request_limits.py` and
`threads.py` set limits.
"""
