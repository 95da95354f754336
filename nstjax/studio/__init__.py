"""nstjax in the browser: a server for this machine, and the page that it serves.

What a person does there becomes a command line of ``nstjax`` or ``nstjax-fast``, which
a process of its own runs: the page has no second way to make a picture. May import
every other room.
"""
