"""What the controller decides: matching, lifecycle, planning, retiring, money,
and the words for all of it.

Pure: standard library only, no event loop, client, logging, clock or randomness; everything comes in as an
argument. Every other layer may import it, and it imports none of them.
"""
