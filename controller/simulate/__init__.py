"""The engine that runs a whole controller in virtual time against simulated services, the judge, and
scenarios of users on top.

Needs the distribution ``hf-runner-simulators``: the extra ``hf-runner-controller[simulate]`` installs it.
Only the commands ``simulate``, ``demo`` and ``sim`` import it, when they are called; nothing else of the
controller may. It may import what the wiring may, and nothing of ``tests``.
"""
