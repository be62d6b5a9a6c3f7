"""Ghost text: the prompt, the session, the cache, and what is cut and filtered.

Rule: latency first. Every wait has a deadline; the answer is one suggestion, several when
asked for, or none with a reason.
"""
