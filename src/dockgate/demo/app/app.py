"""A small web application: one page that lists its dependencies."""

from importlib.metadata import version

import jinja2
import waitress

PARTS = ("Jinja2", "MarkupSafe", "urllib3", "waitress")
templates = jinja2.Environment(loader=jinja2.FileSystemLoader("templates"), autoescape=True)


def application(environ, start_response):
    if environ["PATH_INFO"] == "/health":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"ok\n"]
    page = templates.get_template("index.html").render(parts={name: version(name) for name in PARTS})
    start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
    return [page.encode()]


if __name__ == "__main__":
    waitress.serve(application, host="0.0.0.0", port=8080)
