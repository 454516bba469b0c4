"""Which runners must end: the only place where that is decided.

* :mod:`.choose` puts one pool's retirements together, in this order.
* :mod:`.why` looks at one runner alone: the pool leaves, the spec has changed, a deadline is over, the other
  half is gone, the container never ends. Also what must be proved before a runner may be retired.
* :mod:`.surplus` compares all runners of a pool with what is wanted: warm runners that are replaced, capacity
  that is given back, runners that idle for too long.
* :mod:`.consequences` says what follows for the next launches, and what people hear of it.
* :mod:`.strays` has the runners whose pool does not exist.

A retirement deregisters at GitHub first and cancels the HF Job only when GitHub agreed, so a runner that took
a job in the meantime is left alone. What is decided here is therefore a wish, never a kill. Where the
registration is gone already GitHub cannot be asked: :func:`.why.has_no_job` says what proves that the HF Job
may go, and all others are left to the deadlines inside their container.
"""
