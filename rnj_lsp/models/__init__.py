"""Who is asked: the protocol of a model, the catalogue, and the one client.

Rule: the only room with network access; every library's error leaves it as a `ModelError`.
"""
