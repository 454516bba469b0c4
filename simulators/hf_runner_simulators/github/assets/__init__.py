"""Files that the simulated GitHub hands out: the stand-in runner and the public test key.
Nothing here is imported.
"""
