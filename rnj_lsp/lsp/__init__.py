"""The protocol edge: the language server and its conversions.

Rule: the only importer of `pygls` and `lsprotocol`; a handler converts, calls, converts.
"""
