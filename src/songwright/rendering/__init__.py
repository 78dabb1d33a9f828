"""Scores to sound, and to the page."""
