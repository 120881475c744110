"""Sources of commits, one file each: `git.py`. The interface is `delivery.source_ports.Source`.

`git_files.py` reads and changes files of the repositories, `git_run.py` runs git within limits, `pre_receive.py` is the
hook that refuses harmful pushes.
"""
