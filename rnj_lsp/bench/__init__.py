"""Measurements of speed and memory that print their figures.

Rule: it measures the functions that the server uses, and no others.
"""
