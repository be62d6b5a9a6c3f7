"""The model host: a process of its own that runs a GGUF model and speaks OpenAI's API.

Rule: the only importer of `llama_cpp`. It is found or started on demand, shared by every
editor window, and leaves when it is idle.
"""
