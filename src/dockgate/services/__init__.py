"""The use cases of Dockgate: a folder for each subject, a file for each group of verbs.

Each is handed the adapters that it needs. Directly here lies what all share: time, effects that may be repeated, errors
of one item among many, and what the web application is handed (`web_services.py`).
"""
