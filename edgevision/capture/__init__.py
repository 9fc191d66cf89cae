"""Frames come in: one file per source, `camera.py` keeps the decoder child alive, `trigger.py` says when a part is due."""
