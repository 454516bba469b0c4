"""What the commands ``simulate``, ``demo`` and ``sim`` do.

Needs the extra ``simulate``, so each command imports its module when it is called, and nothing else may
import from here.
"""
