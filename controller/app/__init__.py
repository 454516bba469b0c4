"""One real process, wired: election, one term of leadership, order of start and shutdown.

Imported by the commands; :mod:`controller.app.clock` also by those that need nothing but the time.
Imports everything below.
"""
