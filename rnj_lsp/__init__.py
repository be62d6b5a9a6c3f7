"""Ghost-text completion and checked AI edits for every editor, on open models."""

__version__ = "0.1.0"
