"""Where functions and classes stand in a source text, by tree-sitter, in many languages.

What a diff does to them belongs to `domain/diff`. The parsers are native code and texts may mean
harm, so the library is only ever loaded in the worker process that `apart.py` starts.
"""
