"""The web console: pages for people, made by the server.

`pages/` has one module a kind of page, `templates/` their HTML, `static/` the style and the scripts. `rendering` fills
templates, `formats` writes times, states and text from outside. Pages call the same use cases as the API.
"""
