"""The command line: a file for each command, with the name of the command.

`main.py` is the command `dockgate`; it loads a command's file when it is called, and turns errors into text and exit
codes. `client.py` and `http_calls.py` call the server. Options and arguments that commands share are in `options.py`,
`report_options.py` and `image_argument.py`, their output in `output.py` and the files named `*_output.py`.
"""
